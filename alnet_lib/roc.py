"""ROC over smears (paper section 3.3, Fig. 4): a curve a class, their average, Hand and Till's M, the threshold."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve


@dataclass(frozen=True)
class Curve:
    """fpr, tpr: rising from (0, 0) to (1, 1). auc in [0, 1]."""

    fpr: np.ndarray
    tpr: np.ndarray
    auc: float


@dataclass(frozen=True)
class MulticlassRoc:
    """classes: name -> curve of that class against the rest. average: mean true-positive rate at equal false-positive
    rate, steps kept, so that the area under it is the mean of the classes' areas. hand_till: M of Hand and Till (2001).
    threshold: lowest and highest share that are equally best. youden: there, the mean over classes of sensitivity +
    specificity - 1.
    """

    classes: dict[str, Curve]
    average: Curve
    hand_till: float
    threshold: tuple[float, float]
    youden: float


def curve(truth: np.ndarray, score: np.ndarray) -> Curve:
    """ROC of a score (higher means positive) against a boolean truth.

    Raises
    ------
    ValueError
        only one of the two truths is there.
    """
    truth = np.asarray(truth, bool)
    if truth.all() or not truth.any():
        raise ValueError("a ROC curve needs cases and controls")
    fpr, tpr, _ = roc_curve(truth, score, drop_intermediate=False)
    return Curve(fpr, tpr, float(roc_auc_score(truth, score)))


def hand_till(truth: pd.Series, shares: pd.DataFrame) -> float:
    """M of Hand and Till, Mach. Learn. 45:171 (2001), equation 7: the mean over pairs of classes of A(i, j).

    A(i, j) averages the AUC of class i's score and of class j's score among the members of both classes.
    shares: one column a class. truth: class names.
    """
    present = [name for name in shares.columns if (truth == name).any()]
    values = []
    for a, b in combinations(present, 2):
        among = truth.isin([a, b]).to_numpy()
        is_a = (truth[among] == a).to_numpy()
        first = roc_auc_score(is_a, shares[a][among])
        second = roc_auc_score(~is_a, shares[b][among])
        values.append((first + second) / 2)
    return float(np.mean(values)) if values else float("nan")


def best_threshold(truth: pd.Series, shares: pd.DataFrame) -> tuple[float, float, float]:
    """Lowest and highest equally best threshold on a class's share, and Youden's index there.

    At threshold t a smear is called class c when its share of c exceeds t. The criterion is the mean over classes of
    sensitivity + specificity - 1. With perfect separation a whole interval of thresholds is best.
    """
    present = [name for name in shares.columns if (truth == name).any()]
    values = np.unique(np.concatenate([[0.0], shares[present].to_numpy().ravel(), [1.0]]))
    middles = (values[:-1] + values[1:]) / 2
    index = []
    for t in middles:
        called = shares[present].to_numpy() > t
        actual = np.stack([(truth == name).to_numpy() for name in present], 1)
        tpr = (called & actual).sum(0) / actual.sum(0)
        fpr = (called & ~actual).sum(0) / np.maximum((~actual).sum(0), 1)
        index.append((tpr - fpr).mean())
    index = np.array(index)
    best = np.flatnonzero(np.isclose(index, index.max(), atol=1e-12))
    # Best values may fall apart into several runs; the widest is the one that a new smear is least likely to leave.
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    longest = max(runs, key=lambda run: values[run[-1] + 1] - values[run[0]])
    return float(values[longest[0]]), float(values[longest[-1] + 1]), float(index.max())


def multiclass_roc(truth: pd.Series, shares: pd.DataFrame) -> MulticlassRoc:
    """The analysis behind Fig. 4.

    Parameters
    ----------
    truth: (n,) class of each smear. shares: (n, classes), share of the smear's cells given to each class, in [0, 1].

    Raises
    ------
    ValueError
        fewer than two classes have smears.
    """
    truth = truth.reset_index(drop=True)
    shares = shares.reset_index(drop=True)
    present = [name for name in shares.columns if (truth == name).any()]
    if len(present) < 2:
        raise ValueError(f"a multiclass ROC needs smears of two classes, there are {present}")
    curves = {name: curve((truth == name).to_numpy(), shares[name].to_numpy()) for name in present}
    grid = np.unique(np.concatenate([c.fpr for c in curves.values()]))
    # Curves step up: the average needs both ends of a step at its false-positive rate, or slopes replace the steps.
    ends = np.mean([_step_ends(c, grid) for c in curves.values()], axis=0)
    average = Curve(np.repeat(grid, 2), ends.ravel(), float(np.mean([c.auc for c in curves.values()])))
    low, high, youden = best_threshold(truth, shares)
    return MulticlassRoc(curves, average, hand_till(truth, shares), (low, high), youden)


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
    frame: pd.DataFrame, truth: str, score: str, *, cluster: str, replicates: int, rng: np.random.Generator
) -> tuple[float, float]:
    """95% bootstrap interval of an AUC, drawing whole clusters (patients) within cases and within controls.

    truth: boolean column. score: column, higher means positive. Stratified, so that every replicate has both.

    Raises
    ------
    ValueError
        cases or controls are missing, a score is NaN, or a row has no cluster.
    """
    values = _bootstrap(frame, truth, [score], cluster, replicates, rng)[:, 0]
    return float(np.percentile(values, 2.5)), float(np.percentile(values, 97.5))


def auc_difference(
    frame: pd.DataFrame, truth: str, scores: tuple[str, str], *, cluster: str, replicates: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """AUC of the first score less that of the second, and its 95% interval: a paired bootstrap of whole clusters.

    Both scores see the same draws, so that what they share cancels. Rest as `auc_interval`.
    """
    values = _bootstrap(frame, truth, list(scores), cluster, replicates, rng)
    low, high = np.percentile(values[:, 0] - values[:, 1], [2.5, 97.5])
    first, second = (roc_auc_score(frame[truth], frame[score]) for score in scores)
    return float(first - second), float(low), float(high)


def _bootstrap(
    frame: pd.DataFrame, truth: str, scores: list[str], cluster: str, replicates: int, rng: np.random.Generator
) -> np.ndarray:
    """(replicates, scores): AUCs of stratified draws of whole clusters."""
    y, s = frame[truth].to_numpy(bool), frame[scores].to_numpy(float)
    if np.isnan(s).any() or frame[cluster].isna().any():
        raise ValueError(f"rows without {' or '.join(scores)}, or without {cluster}")
    if y.all() or not y.any():
        raise ValueError("an AUC needs cases and controls")
    members = frame[cluster].to_numpy()
    sides = [
        [rows[part] for part in pd.Series(members[rows]).groupby(members[rows]).indices.values()]
        for rows in (np.flatnonzero(~y), np.flatnonzero(y))
    ]
    values = np.empty((replicates, len(scores)))
    for r in range(replicates):
        rows = np.concatenate([part[i] for part in sides for i in rng.integers(0, len(part), len(part))])
        values[r] = [roc_auc_score(y[rows], s[rows, j]) for j in range(len(scores))]
    return values


@dataclass(frozen=True)
class DeLong:
    """aucs: of both scores. difference: first less second. low, high: its 95% interval. p: two-sided."""

    aucs: tuple[float, float]
    difference: float
    low: float
    high: float
    p: float


def delong(truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> DeLong:
    """Two correlated AUCs compared: DeLong, DeLong and Clarke-Pearson, Biometrics 44:837 (1988).

    Parameters
    ----------
    truth: (n,) boolean. first, second: (n,) scores of the same, independent subjects (one row a patient), higher
    means positive.

    Raises
    ------
    ValueError
        fewer than two cases or controls: a variance needs two.
    """
    truth = np.asarray(truth, bool)
    if min(truth.sum(), (~truth).sum()) < 2:
        raise ValueError("DeLong's test needs two cases and two controls at least")
    cases, controls = [], []
    for score in (np.asarray(first, float), np.asarray(second, float)):
        psi = (np.sign(score[truth][:, None] - score[~truth][None, :]) + 1) / 2
        cases.append(psi.mean(axis=1))
        controls.append(psi.mean(axis=0))
    covariance = np.cov(cases) / truth.sum() + np.cov(controls) / (~truth).sum()
    aucs = float(cases[0].mean()), float(cases[1].mean())
    difference = aucs[0] - aucs[1]
    error = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)))
    half = float(stats.norm.ppf(0.975)) * error
    # Without any variance (two perfect scores, or the same one twice) there is nothing to test against.
    p = 2 * float(stats.norm.sf(abs(difference) / error)) if error > 1e-12 else float("nan")
    return DeLong(aucs, difference, difference - half, difference + half, p)
