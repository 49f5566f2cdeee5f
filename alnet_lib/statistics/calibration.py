"""How far a probability can be believed: reliability, scores, slope and intercept, temperature."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from alnet_lib.statistics import intervals

CERTAIN = 1 - 1e-6
"""A confidence above counts as this: float32 rounds a larger one to 1, whose logit is infinite."""


def _checked(probability: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probability, labels = np.asarray(probability, float), np.asarray(labels)
    if probability.ndim != 2 or probability.shape[0] != labels.shape[0] or not len(labels):
        raise ValueError(f"probabilities of shape {probability.shape} for labels of shape {labels.shape}")
    if not (np.isfinite(probability).all() and np.allclose(probability.sum(axis=1), 1, atol=1e-3)):
        raise ValueError("probabilities of a cell must be finite and sum to 1")
    if labels.min() < 0 or labels.max() >= probability.shape[1]:
        raise ValueError(f"labels must be in 0 to {probability.shape[1] - 1}")
    return probability, labels


def reliability(probability: np.ndarray, labels: np.ndarray, rows: pd.DataFrame, bins: int = 10) -> pd.DataFrame:
    """Accuracy against confidence (the largest probability), in bins of equal width; empty bins are left out.

    Parameters
    ----------
    probability : ndarray
        (n, classes), predicted probabilities; rows sum to 1.
    labels : ndarray
        (n,), index of the reference class.
    rows : DataFrame
        (n,) rows, the cells: see `statistics.intervals`.
    bins : int
        Number of bins over [0, 1].

    Returns
    -------
    DataFrame
        One row a bin: from, to, n, confidence (mean), accuracy, and the columns of `Interval.columns`; shares in
        [0, 1], intervals over patients.

    Raises
    ------
    ValueError
        Shapes do not fit, a row does not sum to 1, or a label is no column.
    """
    confidence, correct = _confidence(*_checked(probability, labels))
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    table = []
    for b in np.unique(bin_of):
        of_bin = bin_of == b
        accuracy = intervals.proportion(correct[of_bin], rows[of_bin])
        where = {
            "from": b / bins,
            "to": (b + 1) / bins,
            "n": int(of_bin.sum()),
            "confidence": confidence[of_bin].mean(),
        }
        table.append(where | {"accuracy": accuracy.estimate} | accuracy.columns(1))
    return pd.DataFrame(table)


def _confidence(probability: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return probability.max(axis=1), probability.argmax(axis=1) == labels


def expected_calibration_error(probability: np.ndarray, labels: np.ndarray, bins: int = 10) -> float:
    """Mean distance of accuracy and confidence over the bins of `reliability`, weighted by cells.

    Chance alone makes it larger than 0, the more the fewer cells there are. Naeini, Cooper and Hauskrecht, AAAI 2015;
    Guo et al., ICML 2017, equation 3.

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

    Raises
    ------
    ValueError
        As `reliability`.
    """
    confidence, correct = _confidence(*_checked(probability, labels))
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(bin_of, weights=correct - confidence)).sum() / len(labels))


def brier(probability: np.ndarray, labels: np.ndarray) -> float:
    """Brier score: squared distance of the probabilities from 1 (reference class) and 0 (others), summed over classes.

    Brier, Monthly Weather Review 78:1 (1950). With two classes it is twice the score that counts one class only.

    Parameters
    ----------
    probability : ndarray
        (n, classes), predicted probabilities; rows sum to 1.
    labels : ndarray
        (n,), index of the reference class.

    Returns
    -------
    float
        Mean over cells, in [0, 2]; 0 is best, 1 - 1/classes is what equal probabilities get.

    Raises
    ------
    ValueError
        As `reliability`.
    """
    probability, labels = _checked(probability, labels)
    return float(((probability - np.eye(probability.shape[1])[labels]) ** 2).sum(axis=1).mean())


def slope_and_intercept(probability: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Calibration slope and intercept of `the predicted class is correct` on the logit of its confidence.

    Slope: of the logistic regression of correct on logit(confidence); below 1 the confidences are too extreme.
    Intercept: of the same regression with the slope held at 1 (calibration in the large); below 0 they are too high.
    Cox, Biometrika 45:562 (1958); Van Calster et al., J Clin Epidemiol 74:167 (2016).

    Parameters
    ----------
    probability : ndarray
        (n, classes), predicted probabilities; rows sum to 1. Confidences above CERTAIN count as CERTAIN.
    labels : ndarray
        (n,), index of the reference class.

    Returns
    -------
    tuple of float
        Slope and intercept, 1 and 0 where calibrated. Both NaN where all cells are correct or none is, the slope where
        confidence separates correct from wrong completely or is the same for all.

    Raises
    ------
    ValueError
        As `reliability`.
    """
    confidence, correct = _confidence(*_checked(probability, labels))
    x, y, one = logit(np.minimum(confidence, CERTAIN)), correct.astype(float), np.ones(len(labels))
    if correct.all() or not correct.any():
        return float("nan"), float("nan")
    intercept = logistic(one[:, None], y, offset=x)[0]
    if x[correct].min() >= x[~correct].max() or x[correct].max() <= x[~correct].min():
        return float("nan"), float(intercept)
    return float(logistic(np.column_stack([one, x]), y)[1]), float(intercept)


def logistic(design: np.ndarray, y: np.ndarray, *, offset: np.ndarray | float = 0.0, firth: bool = False) -> np.ndarray:
    """Coefficients of a logistic regression, by Newton's method.

    Parameters
    ----------
    design : ndarray
        (n, coefficients), with a column of ones where an intercept is wanted.
    y : ndarray
        (n,), 0 or 1.
    offset : float or array (n,)
        Added to the log odds.
    firth : bool
        Whether to penalise by Jeffreys's prior, so that the coefficients are finite where groups are separated (Firth,
        Biometrika 80:27 (1993)).

    Returns
    -------
    ndarray
        (coefficients,), NaN where Newton's method does not settle.
    """
    beta = np.zeros(design.shape[1])
    for _ in range(200):
        p = expit(design @ beta + offset)
        root = design * np.sqrt(p * (1 - p))[:, None]
        inverse = np.linalg.pinv(root.T @ root)
        residual = y - p
        if firth:
            residual = residual + ((root @ inverse) * root).sum(axis=1) * (0.5 - p)
        step = inverse @ (design.T @ residual)
        beta = beta + step * min(1.0, 2 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-9:
            return beta
    return np.full(design.shape[1], np.nan)


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
        (n, classes), predicted probabilities of cells whose patients trained nothing; rows sum to 1.
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
