"""ROC over smears (paper section 3.3, Fig. 4): a curve a class, their average, Hand and Till's M, the threshold."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from alnet_lib.statistics.bootstrap import resamples


@dataclass(frozen=True)
class Curve:
    """A ROC curve.

    Attributes
    ----------
    fpr : ndarray
        False-positive rates, rising from 0 to 1.
    tpr : ndarray
        True-positive rates there, rising from 0 to 1.
    auc : float
        Area under the curve, in [0, 1].
    """

    fpr: np.ndarray
    tpr: np.ndarray
    auc: float


@dataclass(frozen=True)
class MulticlassRoc:
    """The analysis behind Fig. 4.

    Attributes
    ----------
    classes : dict of str to Curve
        Curve of each class against the rest.
    average : Curve
        Mean true-positive rate at equal false-positive rate, steps kept, so that the area under it is the mean of the
        classes' areas.
    hand_till : float
        M of Hand and Till (2001), in [0, 1].
    threshold : tuple of float
        Lowest and highest share that are equally best as threshold.
    youden : float
        There, the mean over classes of sensitivity + specificity - 1.
    """

    classes: dict[str, Curve]
    average: Curve
    hand_till: float
    threshold: tuple[float, float]
    youden: float


def curve(reference: np.ndarray | pd.Series, score: np.ndarray | pd.Series) -> Curve:
    """ROC curve of a score.

    Parameters
    ----------
    reference : ndarray or Series
        (n,) bool, True for cases.
    score : ndarray or Series
        (n,), higher means case.

    Raises
    ------
    ValueError
        Cases or controls are missing.
    """
    reference = np.asarray(reference, bool)
    if reference.all() or not reference.any():
        raise ValueError("a ROC curve needs cases and controls")
    fpr, tpr, _ = roc_curve(reference, score, drop_intermediate=False)
    return Curve(fpr, tpr, float(roc_auc_score(reference, score)))


def hand_till(reference: pd.Series, shares: pd.DataFrame) -> float:
    """M of Hand and Till, Mach. Learn. 45:171 (2001), equation 7: the mean over pairs of classes of A(i, j).

    A(i, j) averages the AUC of class i's score and of class j's score among the members of both classes.

    Parameters
    ----------
    reference : Series
        (n,), class names.
    shares : DataFrame
        (n, classes), one column a class.

    Returns
    -------
    float
        In [0, 1]; NaN with fewer than two classes.
    """
    present = [name for name in shares.columns if (reference == name).any()]
    values = []
    for a, b in combinations(present, 2):
        among = reference.isin([a, b]).to_numpy()
        is_a = (reference[among] == a).to_numpy()
        first = roc_auc_score(is_a, shares[a][among])
        second = roc_auc_score(~is_a, shares[b][among])
        values.append((first + second) / 2)
    return float(np.mean(values)) if values else float("nan")


def best_threshold(reference: pd.Series, shares: pd.DataFrame) -> tuple[float, float, float]:
    """Find the interval of equally best thresholds on a class's share, and Youden's index there.

    At threshold t a smear is predicted class c when its share of c exceeds t. The criterion is the mean over classes
    of sensitivity + specificity - 1. With perfect separation a whole interval of thresholds is best.

    Parameters
    ----------
    reference : Series
        (n,), class of each smear.
    shares : DataFrame
        (n, classes), share of the smear's cells predicted as each class, in [0, 1].

    Returns
    -------
    tuple of float
        Lowest and highest best threshold, and the criterion.
    """
    present = [name for name in shares.columns if (reference == name).any()]
    values = np.unique(np.concatenate([[0.0], shares[present].to_numpy().ravel(), [1.0]]))
    middles = (values[:-1] + values[1:]) / 2
    actual = np.stack([(reference == name).to_numpy() for name in present], 1)
    found = []
    for t in middles:
        predicted = shares[present].to_numpy() > t
        tpr = (predicted & actual).sum(0) / actual.sum(0)
        fpr = (predicted & ~actual).sum(0) / np.maximum((~actual).sum(0), 1)
        found.append((tpr - fpr).mean())
    index = np.array(found)
    best = np.flatnonzero(np.isclose(index, index.max(), atol=1e-12))
    # Best values may fall apart into several runs; the widest is the one that a new smear is least likely to leave.
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    longest = max(runs, key=lambda run: values[run[-1] + 1] - values[run[0]])
    return float(values[longest[0]]), float(values[longest[-1] + 1]), float(index.max())


def multiclass_roc(reference: pd.Series, shares: pd.DataFrame) -> MulticlassRoc:
    """Analyse the shares of smears as Fig. 4 does.

    Parameters
    ----------
    reference : Series
        (n,), class of each smear.
    shares : DataFrame
        (n, classes), share of the smear's cells predicted as each class, in [0, 1].

    Raises
    ------
    ValueError
        Fewer than two classes have smears.
    """
    reference = reference.reset_index(drop=True)
    shares = shares.reset_index(drop=True)
    present = [name for name in shares.columns if (reference == name).any()]
    if len(present) < 2:
        raise ValueError(f"a multiclass ROC needs smears of two classes, there are {present}")
    curves = {name: curve((reference == name).to_numpy(), shares[name].to_numpy()) for name in present}
    grid = np.unique(np.concatenate([c.fpr for c in curves.values()]))
    # Curves step up: the average needs both ends of a step at its false-positive rate, or slopes replace the steps.
    ends = np.mean([_step_ends(c, grid) for c in curves.values()], axis=0)
    average = Curve(np.repeat(grid, 2), ends.ravel(), float(np.mean([c.auc for c in curves.values()])))
    low, high, youden = best_threshold(reference, shares)
    return MulticlassRoc(curves, average, hand_till(reference, shares), (low, high), youden)


def _step_ends(c: Curve, grid: np.ndarray) -> np.ndarray:
    """(n, 2): lowest and highest true-positive rate of the curve at each false-positive rate of the grid."""
    fpr, first = np.unique(c.fpr, return_index=True)
    low, high = c.tpr[first], c.tpr[np.append(first[1:], len(c.fpr)) - 1]
    right = np.searchsorted(fpr, grid)
    left = np.maximum(right - 1, 0)
    at_step = fpr[right] == grid
    weight = (grid - fpr[left]) / np.where(at_step, 1, fpr[right] - fpr[left])
    between = high[left] * (1 - weight) + low[right] * weight
    return np.stack([np.where(at_step, low[right], between), np.where(at_step, high[right], between)], axis=1)


def auc_interval(
    frame: pd.DataFrame, reference: str, score: str, *, cluster: str, replicates: int, rng: np.random.Generator
) -> tuple[float, float]:
    """95% bootstrap interval of an AUC, drawing whole clusters (patients) within cases and within controls.

    Parameters
    ----------
    frame : DataFrame
        One row a cell or smear.
    reference : str
        Boolean column, True for cases.
    score : str
        Column, higher means case.
    cluster : str
        Column of the clusters.
    replicates : int
        Number of replicates; being stratified, each has cases and controls.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    tuple of float
        Lower and upper end, in [0, 1].

    Raises
    ------
    ValueError
        Cases or controls are missing, a score is NaN, or a row has no cluster.
    """
    values = _replicated_aucs(frame, reference, [score], cluster, replicates, rng)[:, 0]
    return float(np.percentile(values, 2.5)), float(np.percentile(values, 97.5))


def auc_difference(
    frame: pd.DataFrame,
    reference: str,
    scores: tuple[str, str],
    *,
    cluster: str,
    replicates: int,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """Difference of two AUCs and its 95% interval: a paired bootstrap of whole clusters.

    Both scores see the same draws, so that what they share cancels.

    Parameters
    ----------
    frame : DataFrame
        One row a cell or smear.
    reference : str
        Boolean column, True for cases.
    scores : tuple of str
        The two columns, higher means case.
    cluster : str
        Column of the clusters.
    replicates : int
        Number of replicates.
    rng : numpy.random.Generator
        Source of the draws.

    Returns
    -------
    tuple of float
        AUC of the first score less that of the second, and the ends of the interval.

    Raises
    ------
    ValueError
        As `auc_interval`.
    """
    values = _replicated_aucs(frame, reference, list(scores), cluster, replicates, rng)
    low, high = np.percentile(values[:, 0] - values[:, 1], [2.5, 97.5])
    first, second = (roc_auc_score(frame[reference], frame[score]) for score in scores)
    return float(first - second), float(low), float(high)


def _replicated_aucs(
    frame: pd.DataFrame, reference: str, scores: list[str], cluster: str, replicates: int, rng: np.random.Generator
) -> np.ndarray:
    """(replicates, scores): AUCs of stratified draws of whole clusters."""
    y, s = frame[reference].to_numpy(bool), frame[scores].to_numpy(float)
    if np.isnan(s).any() or frame[cluster].isna().any():
        raise ValueError(f"rows without {' or '.join(scores)}, or without {cluster}")
    if y.all() or not y.any():
        raise ValueError("an AUC needs cases and controls")
    draws = resamples(frame[cluster], replicates, rng, strata=y)
    return np.array([[roc_auc_score(y[rows], s[rows, j]) for j in range(len(scores))] for rows in draws])


@dataclass(frozen=True)
class DeLong:
    """What DeLong's test of two AUCs gives.

    Attributes
    ----------
    aucs : tuple of float
        AUC of the first and of the second score, in [0, 1].
    difference : float
        First less second.
    low : float
        Lower end of its 95% interval.
    high : float
        Upper end.
    p : float
        Two-sided p value; NaN where the difference has no variance.
    """

    aucs: tuple[float, float]
    difference: float
    low: float
    high: float
    p: float


def delong(reference: np.ndarray | pd.Series, first: np.ndarray | pd.Series, second: np.ndarray | pd.Series) -> DeLong:
    """Two correlated AUCs compared: DeLong, DeLong and Clarke-Pearson, Biometrics 44:837 (1988).

    Parameters
    ----------
    reference : ndarray or Series
        (n,) bool, True for cases; independent subjects (one row a patient).
    first : ndarray or Series
        (n,), first score, higher means case.
    second : ndarray or Series
        (n,), second score of the same subjects.

    Raises
    ------
    ValueError
        Fewer than two cases or controls: a variance needs two.
    """
    reference = np.asarray(reference, bool)
    if min(reference.sum(), (~reference).sum()) < 2:
        raise ValueError("DeLong's test needs two cases and two controls at least")
    cases, controls = [], []
    for score in (np.asarray(first, float), np.asarray(second, float)):
        psi = (np.sign(score[reference][:, None] - score[~reference][None, :]) + 1) / 2
        cases.append(psi.mean(axis=1))
        controls.append(psi.mean(axis=0))
    covariance = np.cov(cases) / reference.sum() + np.cov(controls) / (~reference).sum()
    aucs = float(cases[0].mean()), float(cases[1].mean())
    difference = aucs[0] - aucs[1]
    error = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)))
    half = float(stats.norm.ppf(0.975)) * error
    # Without any variance (two perfect scores, or the same one twice) there is nothing to test against.
    p = 2 * float(stats.norm.sf(abs(difference) / error)) if error > 1e-12 else float("nan")
    return DeLong(aucs, difference, difference - half, difference + half, p)
