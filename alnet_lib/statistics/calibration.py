"""How far a probability can be believed: reliability, scores, slope and intercept, temperature."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, stdtrit

from alnet_lib.statistics import intervals
from alnet_lib.statistics.intervals import Interval

CERTAIN = 1 - 1e-6
"""A confidence above counts as this: float32 rounds a larger one to 1, whose logit is infinite."""

TEMPERATURES = (0.05, 20.0)
"""Lowest and highest temperature that is looked for."""

MOST_FITTED = 20_000_000
"""Cells times patients up to which the temperature is fitted anew without each patient: a minute or two."""

BESIDE = 0.02
"""Distance, on the logarithm, at which the loss beside the temperature is looked at."""


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


def calibration_errors_without(
    probability: np.ndarray, labels: np.ndarray, cluster: np.ndarray, k: int, bins: int = 10
) -> np.ndarray:
    """`expected_calibration_error` without each of the clusters.

    Parameters
    ----------
    probability, labels, bins
        As `expected_calibration_error`.
    cluster : ndarray
        int (n,), cluster of each row, from 0.
    k : int
        Number of clusters.

    Returns
    -------
    ndarray
        (k,), in [0, 1].
    """
    confidence, correct = _confidence(*_checked(probability, labels))
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    apart = np.bincount(cluster * bins + bin_of, correct - confidence, k * bins).reshape(k, bins)
    left = len(labels) - np.bincount(cluster, minlength=k)
    return np.abs(apart.sum(0) - apart).sum(axis=1) / left


def briers_without(probability: np.ndarray, labels: np.ndarray, cluster: np.ndarray, k: int) -> np.ndarray:
    """`brier` without each of the clusters; as `calibration_errors_without`."""
    distance = _distances(*_checked(probability, labels))
    left = len(labels) - np.bincount(cluster, minlength=k)
    return (distance.sum() - np.bincount(cluster, distance, k)) / left


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
    return float(_distances(*_checked(probability, labels)).mean())


def _distances(probability: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return ((probability - np.eye(probability.shape[1])[labels]) ** 2).sum(axis=1)


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
    x, y = _logit_of_confidence(probability, labels)
    one = np.ones((len(y), 1))
    if y.min() == y.max():
        return float("nan"), float("nan")
    intercept = float(logistic(one, y, offset=x)[0])
    if not _overlap(x, y):
        return float("nan"), intercept
    return float(logistic(np.column_stack([one, x]), y)[1]), intercept


def _logit_of_confidence(probability: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    confidence, correct = _confidence(*_checked(probability, labels))
    return logit(np.minimum(confidence, CERTAIN)), correct.astype(float)


def _overlap(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether confidence does not separate correct from wrong completely; else the slope is infinite."""
    right, wrong = x[y == 1], x[y == 0]
    return bool(right.min() < wrong.max() and right.max() > wrong.min())


def slope_and_intercept_intervals(
    probability: np.ndarray, labels: np.ndarray, rows: pd.DataFrame
) -> tuple[Interval, Interval]:
    """Calibration slope and intercept with intervals over patients, from the cluster-robust variance.

    Leaving out one patient may separate correct from wrong cells, so that the slope without it is infinite: the
    jackknife is no way here. The variance is the sandwich with the patient as the cluster, with Student's t at the
    number of patients less one (Liang and Zeger, Biometrika 73:13 (1986); Cameron and Miller, J Hum Resour 50:317
    (2015)).

    Parameters
    ----------
    probability, labels
        As `slope_and_intercept`.
    rows : DataFrame
        (n,) rows, the cells: see `statistics.intervals`.

    Returns
    -------
    tuple of Interval
        Slope and intercept; without low and high where correct cells, or wrong ones, are of fewer than
        `intervals.MINIMUM_PATIENTS` patients, or the estimate is not defined.

    Raises
    ------
    ValueError
        As `reliability`.
    """
    slope, intercept = slope_and_intercept(probability, labels)
    x, y = _logit_of_confidence(probability, labels)
    patients, one = intervals.clusters(rows).to_numpy(), np.ones((len(y), 1))
    fewest = min(len(set(patients[y == outcome])) for outcome in (0, 1))
    if fewest < intervals.MINIMUM_PATIENTS:
        why = f"patients with wrong cells, or with correct ones: {fewest}"
        return intervals.none(slope, rows, why), intervals.none(intercept, rows, why)
    return (
        _clustered(slope, np.column_stack([one, x]), y, rows, 0.0 * x),
        _clustered(intercept, one, y, rows, x),
    )


def _clustered(estimate: float, design: np.ndarray, y: np.ndarray, rows: pd.DataFrame, offset: np.ndarray) -> Interval:
    """The last coefficient of a logistic regression with its cluster-robust interval."""
    if np.isnan(estimate):
        return intervals.none(estimate, rows, "confidence separates correct from wrong cells, or is always the same")
    # Imported on use: statsmodels takes longer to import than all regressions to fit.
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    code, names = pd.factorize(intervals.clusters(rows))
    model = GLM(y, design, family=Binomial(), offset=offset)
    error = float(model.fit(cov_type="cluster", cov_kwds={"groups": code}).bse[-1])
    if not error > 0:
        return intervals.none(estimate, rows)
    half = float(stdtrit(len(names) - 1, 1 - intervals.TAIL)) * error
    method = "cluster-robust variance over patients"
    return Interval(estimate, estimate - half, estimate + half, method, **intervals.behind(rows))


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
        (coefficients,), NaN where Newton's method does not settle, or the offset is not finite.
    """
    if not np.isfinite(offset).all():
        return np.full(design.shape[1], np.nan)
    beta = np.zeros(design.shape[1])
    for turn in range(400):
        p = expit(design @ beta + offset)
        root = design * np.sqrt(p * (1 - p))[:, None]
        inverse = np.linalg.pinv(root.T @ root)
        residual = y - p
        if firth:
            residual = residual + ((root @ inverse) * root).sum(axis=1) * (0.5 - p)
        step = inverse @ (design.T @ residual)
        # Full steps may go to and fro about the solution for ever; shorter ones end that.
        beta = beta + step * min(0.5 ** (turn // 100), 2 / max(float(np.abs(step).max()), 1e-12))
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
        In TEMPERATURES.

    Raises
    ------
    ValueError
        As `reliability`.
    """
    probability, labels = _checked(probability, labels)

    def loss(log_temperature: float) -> float:
        return float(_losses(probability, labels, log_temperature).mean())

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def _losses(probability: np.ndarray, labels: np.ndarray, log_temperature: float) -> np.ndarray:
    of_reference = temper(probability, float(np.exp(log_temperature)))[np.arange(len(labels)), labels]
    return -np.log(np.maximum(of_reference, np.finfo(float).tiny))


def _temperatures_without(
    probability: np.ndarray, labels: np.ndarray, log_temperature: float, cluster: np.ndarray, k: int
) -> np.ndarray:
    """Logarithm of the temperature without each cluster: the lowest point of a parabola through its losses."""
    low, middle, high = (
        (losses.sum() - np.bincount(cluster, losses, k))
        for losses in (_losses(probability, labels, log_temperature + side) for side in (-BESIDE, 0.0, BESIDE))
    )
    return log_temperature + BESIDE / 2 * (low - high) / (low - 2 * middle + high)


def temperature_interval(probability: np.ndarray, labels: np.ndarray, rows: pd.DataFrame) -> Interval:
    """The temperature of `fit_temperature` with an interval over patients: the jackknife of its logarithm.

    Where cells times patients are more than MOST_FITTED, the temperature without a patient is not searched for anew: it
    is the lowest point of a parabola through the loss at the temperature and beside it. One of so many patients moves
    it little.

    Parameters
    ----------
    probability, labels
        As `fit_temperature`.
    rows : DataFrame
        (n,) rows, the cells: see `statistics.intervals`.

    Returns
    -------
    Interval
        Above 0; without low and high as `intervals.jackknife`, and at an end of TEMPERATURES.

    Raises
    ------
    ValueError
        As `reliability`.
    """
    probability, labels = _checked(probability, labels)
    rows = rows.reset_index(drop=True)
    fitted = float(np.log(fit_temperature(probability, labels)))
    many = len(rows) * intervals.behind(rows)["n_patients"] > MOST_FITTED
    found = intervals.jackknife(
        rows,
        lambda left: (
            fitted
            if len(left) == len(rows)
            else float(np.log(fit_temperature(probability[left.index], labels[left.index])))
        ),
        share=False,
        without=partial(_temperatures_without, probability, labels, fitted) if many else None,
    )
    estimate = float(np.exp(found.estimate))
    # The search stops just short of its bounds: what it varies by there is no spread of the temperature.
    if not TEMPERATURES[0] * 1.01 < estimate < TEMPERATURES[1] / 1.01:
        return intervals.none(estimate, rows, "the temperature is at the end of the range that is looked through")
    ends = float(np.exp(found.low)), float(np.exp(found.high))
    method = found.method and f"{found.method}, log"
    return replace(found, estimate=estimate, low=ends[0], high=ends[1], method=method)
