"""AUCs and their differences, with intervals over patients: DeLong's variance, and Obuchowski's where rows cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from alnet_lib.statistics import intervals, roc
from alnet_lib.statistics.intervals import MINIMUM_PATIENTS, TAIL, Interval

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def _areas(y: np.ndarray, scores: np.ndarray, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, int]:
    """AUC of each score (m,), their covariance (m, m), and the patients on the smaller side.

    Obuchowski, Biometrics 53:567 (1997), equations 3 to 5; with one row a patient it is DeLong's.
    """
    code, names = pd.factorize(intervals.clusters(rows))
    k, of_case, of_control = len(names), [], []
    for score in scores.T:
        below, above = roc.placements(y, score)
        of_case.append(below / len(above))
        of_control.append(above / len(below))
    areas = np.array([part.mean() for part in of_case])

    def summed(parts: list[np.ndarray], side: np.ndarray) -> tuple[np.ndarray, int]:
        one = np.stack([np.bincount(code[side], part - a, k) for part, a in zip(parts, areas, strict=True)], axis=1)
        return one / side.sum(), len(np.unique(code[side]))

    (d1, k1), (d0, k0) = summed(of_case, y), summed(of_control, ~y)
    if min(k1, k0) < 2:
        return areas, np.full((len(areas),) * 2, np.nan), min(k1, k0)
    cross = d1.T @ d0
    covariance = k1 / (k1 - 1) * d1.T @ d1 + k0 / (k0 - 1) * d0.T @ d0 + k / (k - 1) * (cross + cross.T)
    return areas, covariance, min(k1, k0)


def _checked(reference: ArrayLike, scores: list[ArrayLike]) -> tuple[np.ndarray, np.ndarray]:
    y, s = np.asarray(reference, bool), np.stack([np.asarray(score, float) for score in scores], axis=1)
    if np.isnan(s).any():
        raise ValueError(f"{int(np.isnan(s).any(axis=1).sum())} of {len(y)} rows have no score")
    if y.all() or not y.any():
        raise ValueError("an AUC needs cases and controls")
    return y, s


def auc(reference: ArrayLike, score: ArrayLike, rows: pd.DataFrame) -> Interval:
    """The AUC of a score, with an interval over patients that is symmetric on the logit scale.

    At an AUC of 0 or 1 there is no variance; the smaller of the two groups of patients then counts as that many trials,
    all of one outcome (Clopper and Pearson, one-sided at 2.5%).

    Parameters
    ----------
    reference : array of bool (n,)
        True for cases.
    score : array of float (n,)
        Higher means case.
    rows : DataFrame
        (n,) rows, see `statistics.intervals`; several rows of a patient are a cluster.

    Returns
    -------
    Interval
        In [0, 1]; without low and high below MINIMUM_PATIENTS or with fewer than two patients on either side.

    Raises
    ------
    ValueError
        Cases or controls are missing, a score is NaN, or a row has no patient.

    References
    ----------
    DeLong et al., Biometrics 44:837 (1988); Obuchowski, Biometrics 53:567 (1997); Pepe, The Statistical Evaluation of
    Medical Tests (2003), section 5.2.
    """
    y, s = _checked(reference, [score])
    areas, covariance, fewest = _areas(y, s, rows)
    area, variance, about = float(areas[0]), float(covariance[0, 0]), intervals.behind(rows)
    if about["n_patients"] < MINIMUM_PATIENTS or fewest < 2:
        return intervals.none(area, rows)
    if 0 < area < 1 and variance <= 0:
        return intervals.none(area, rows, "the score is the same for all patients of a side")
    if not 0 < area < 1:
        low, high = (TAIL ** (1 / fewest), 1.0) if area >= 0.5 else (0.0, 1 - TAIL ** (1 / fewest))
        return Interval(area, low, high, "exact at the boundary, over patients", **about)
    half = float(ndtri(1 - TAIL) * np.sqrt(variance))
    ends = intervals.on_logit_scale(area, half)
    return Interval(area, *ends, "DeLong over patients, logit", **about)


def auc_difference(
    reference: ArrayLike, first: ArrayLike, second: ArrayLike, rows: pd.DataFrame
) -> tuple[Interval, float]:
    """The AUC of the first score less that of the second on the same rows, with DeLong's test.

    Parameters
    ----------
    reference : array of bool (n,)
        True for cases.
    first, second : array of float (n,)
        Higher means case.
    rows : DataFrame
        (n,) rows, see `statistics.intervals`; several rows of a patient are a cluster.

    Returns
    -------
    difference : Interval
        In [-1, 1]; without low and high below MINIMUM_PATIENTS, with fewer than two patients on either side, and where
        the difference has no variance (two perfect scores, or the same one twice).
    p : float
        Two-sided p value; NaN where no interval is given.

    Raises
    ------
    ValueError
        As `auc`.
    """
    y, s = _checked(reference, [first, second])
    areas, covariance, fewest = _areas(y, s, rows)
    found, about = float(areas[0] - areas[1]), intervals.behind(rows)
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    if about["n_patients"] < MINIMUM_PATIENTS or fewest < 2 or not variance > 1e-24:
        return intervals.none(found, rows), float("nan")
    error = float(np.sqrt(variance))
    half, p = float(ndtri(1 - TAIL)) * error, 2 * float(ndtr(-abs(found) / error))
    return Interval(found, max(found - half, -1.0), min(found + half, 1.0), "DeLong over patients", **about), p
