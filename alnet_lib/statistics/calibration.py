"""How far a probability can be believed, and what acting on it is worth: reliability, temperature, decision curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from alnet_lib.statistics.classification import interval


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
    probability : ndarray
        (n, classes), predicted probabilities; rows sum to 1.
    labels : ndarray
        (n,), index of the reference class.
    bins : int
        Number of bins over [0, 1].

    Returns
    -------
    DataFrame
        One row a bin: from, to, n, confidence (mean), accuracy, low, high (95% Wilson).

    Raises
    ------
    ValueError
        Shapes do not fit, a row does not sum to 1, or a label is no column.
    """
    probability, labels = _checked(probability, labels)
    confidence = probability.max(axis=1)
    correct = probability.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = []
    for b in np.unique(bin_of):
        of_bin = bin_of == b
        n, successes = int(of_bin.sum()), int(correct[of_bin].sum())
        rows.append((b / bins, (b + 1) / bins, n, confidence[of_bin].mean(), successes / n, *interval(successes, n)))
    return pd.DataFrame(rows, columns=["from", "to", "n", "confidence", "accuracy", "low", "high"])


def expected_calibration_error(probability: np.ndarray, labels: np.ndarray, bins: int = 10) -> float:
    """Mean distance of accuracy and confidence over the bins of `reliability`, weighted by cells.

    Naeini, Cooper and Hauskrecht, AAAI 2015; Guo et al., ICML 2017, equation 3.

    Parameters
    ----------
    probability : ndarray
        (n, classes), predicted probabilities; rows sum to 1.
    labels : ndarray
        (n,), index of the reference class.
    bins : int
        Number of bins over [0, 1].

    Returns
    -------
    float
        In [0, 1]; 0 is perfectly calibrated.
    """
    table = reliability(probability, labels, bins)
    return float(np.average((table["accuracy"] - table["confidence"]).abs(), weights=table["n"]))


def temper(probability: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities after dividing the logits by a temperature; the most probable class stays what it was.

    Parameters
    ----------
    probability : ndarray
        (n, classes), in [0, 1]. A class of probability 0 (one the network does not know) keeps 0.
    temperature : float
        Above 0; above 1 makes the probabilities less certain.

    Returns
    -------
    ndarray
        (n, classes), rows sum to 1.
    """
    with np.errstate(divide="ignore"):
        scaled = np.log(np.asarray(probability, float)) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probability: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature that minimises the negative log-likelihood (Guo et al., ICML 2017).

    Parameters
    ----------
    probability : ndarray
        (n, classes), predicted probabilities of validation cells; rows sum to 1.
    labels : ndarray
        (n,), index of the reference class.

    Returns
    -------
    float
        In 0.05 to 20.

    Raises
    ------
    ValueError
        As `reliability`.
    """
    probability, labels = _checked(probability, labels)
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        of_reference = temper(probability, float(np.exp(log_temperature)))[rows, labels]
        return -float(np.log(np.maximum(of_reference, np.finfo(float).tiny)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def decision_curve(reference: np.ndarray, score: np.ndarray, thresholds: Sequence[float]) -> pd.DataFrame:
    """Net benefit of acting on a score, against acting on everyone or on no one (Vickers and Elkin 2006).

    At threshold probability t, net benefit = TP/n - FP/n * t/(1 - t): a false alarm costs t/(1 - t) of a case found.

    Parameters
    ----------
    reference : ndarray
        (n,) bool, whether it is a case, e.g. APL.
    score : ndarray
        (n,), predicted probability in [0, 1]; acted on when at least t.
    thresholds : sequence of float
        Threshold probabilities in [0, 1).

    Returns
    -------
    DataFrame
        One row a threshold: threshold, score, everyone, no_one (always 0).

    Raises
    ------
    ValueError
        There is no score, a score is outside [0, 1], or a threshold is outside [0, 1).
    """
    reference, score = np.asarray(reference, bool), np.asarray(score, float)
    t = np.asarray(thresholds, float)
    if not len(reference) or len(reference) != len(score) or not ((score >= 0) & (score <= 1)).all():
        raise ValueError("a decision curve needs one probability in [0, 1] for each reference label")
    if not ((t >= 0) & (t < 1)).all():
        raise ValueError("threshold probabilities must be in [0, 1)")
    acted = score[None, :] >= t[:, None]
    cost = t / (1 - t)
    benefit = (acted & reference).mean(axis=1) - (acted & ~reference).mean(axis=1) * cost
    everyone = reference.mean() - (~reference).mean() * cost
    return pd.DataFrame({"threshold": t, "score": benefit, "everyone": everyone, "no_one": 0.0})
