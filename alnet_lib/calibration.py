"""How far a probability can be believed, and what acting on it is worth: reliability, temperature, decision curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from alnet_lib.evaluation import interval


def _checked(probability: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probability, labels = np.asarray(probability, float), np.asarray(labels)
    if probability.ndim != 2 or probability.shape[0] != labels.shape[0] or not len(labels):
        raise ValueError(f"probabilities of shape {probability.shape} for labels of shape {labels.shape}")
    if not (np.isfinite(probability).all() and np.allclose(probability.sum(axis=1), 1, atol=1e-3)):
        raise ValueError("probabilities of a cell must be finite and sum to 1")
    if labels.min() < 0 or labels.max() >= probability.shape[1]:
        raise ValueError(f"labels must be in 0 to {probability.shape[1] - 1}")
    return probability, labels


def reliability(probability: np.ndarray, labels: np.ndarray, bins: int = 10) -> pd.DataFrame:
    """Accuracy against confidence (the largest probability), in bins of equal width; empty bins are left out.

    Parameters
    ----------
    probability: (n, classes), rows sum to 1. labels: (n,) index of the true class.

    Returns
    -------
    One row a bin: from, to, n, confidence (mean), accuracy, low, high (95% Wilson).

    Raises
    ------
    ValueError
        shapes do not fit, a row does not sum to 1, a label is no column.
    """
    probability, labels = _checked(probability, labels)
    confidence = probability.max(axis=1)
    right = probability.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = []
    for b in np.unique(bin_of):
        of_bin = bin_of == b
        n, correct = int(of_bin.sum()), int(right[of_bin].sum())
        rows.append((b / bins, (b + 1) / bins, n, confidence[of_bin].mean(), correct / n, *interval(correct, n)))
    return pd.DataFrame(rows, columns=["from", "to", "n", "confidence", "accuracy", "low", "high"])


def expected_calibration_error(probability: np.ndarray, labels: np.ndarray, bins: int = 10) -> float:
    """Mean distance of accuracy and confidence over the bins of `reliability`, weighted by cells; in [0, 1].

    Naeini, Cooper and Hauskrecht, AAAI 2015; Guo et al., ICML 2017, equation 3.
    """
    table = reliability(probability, labels, bins)
    return float(np.average((table["accuracy"] - table["confidence"]).abs(), weights=table["n"]))


def temper(probability: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities after dividing the logits by a temperature; the most probable class stays what it was.

    probability: (n, classes). A class of probability 0 (one the network does not know) keeps 0.
    """
    with np.errstate(divide="ignore"):
        scaled = np.log(np.asarray(probability, float)) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probability: np.ndarray, labels: np.ndarray) -> float:
    """The temperature, in 0.05 to 20, that minimises the negative log-likelihood (Guo et al., ICML 2017).

    Fit it on validation cells, never on those it is then judged on. Above 1: the network was too sure of itself.
    Raises as `reliability`.
    """
    probability, labels = _checked(probability, labels)
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        true = temper(probability, float(np.exp(log_temperature)))[rows, labels]
        return -float(np.log(np.maximum(true, np.finfo(float).tiny)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def decision_curve(truth: np.ndarray, score: np.ndarray, thresholds: Sequence[float]) -> pd.DataFrame:
    """Net benefit of acting on a score, against acting on everyone or on no one (Vickers and Elkin 2006).

    At threshold probability t, net benefit = TP/n - FP/n * t/(1 - t): a false alarm costs t/(1 - t) of a case found.

    Parameters
    ----------
    truth: (n,) boolean, e.g. APL. score: (n,) predicted probability in [0, 1]; acted on when at least t.
    thresholds: in [0, 1).

    Returns
    -------
    One row a threshold: threshold, score, everyone, no_one (always 0).

    Raises
    ------
    ValueError
        nothing to judge, a score outside [0, 1] or a threshold outside [0, 1).
    """
    truth, score = np.asarray(truth, bool), np.asarray(score, float)
    t = np.asarray(thresholds, float)
    if not len(truth) or len(truth) != len(score) or not ((score >= 0) & (score <= 1)).all():
        raise ValueError("a decision curve needs one probability in [0, 1] for each truth")
    if not ((t >= 0) & (t < 1)).all():
        raise ValueError("threshold probabilities must be in [0, 1)")
    acted = score[None, :] >= t[:, None]
    cost = t / (1 - t)
    benefit = (acted & truth).mean(axis=1) - (acted & ~truth).mean(axis=1) * cost
    everyone = truth.mean() - (~truth).mean() * cost
    return pd.DataFrame({"threshold": t, "score": benefit, "everyone": everyone, "no_one": 0.0})
