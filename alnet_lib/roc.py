"""ROC over smears (paper section 3.3, Fig. 4): a curve a class, their average, Hand and Till's M, the threshold."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
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
    rate. hand_till: M of Hand and Till (2001). threshold: lowest and highest share that are equally best.
    youden: mean over classes of sensitivity + specificity - 1 at that threshold.
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
    # At a false-positive rate with a vertical step, the step's top is what can be had.
    mean = np.mean([_upper(c, grid) for c in curves.values()], axis=0)
    average = Curve(np.append(0.0, grid), np.append(0.0, mean), float(np.mean([c.auc for c in curves.values()])))
    low, high, youden = best_threshold(truth, shares)
    return MulticlassRoc(curves, average, hand_till(truth, shares), (low, high), youden)


def _upper(c: Curve, grid: np.ndarray) -> np.ndarray:
    fpr, last = np.unique(c.fpr[::-1], return_index=True)
    return np.interp(grid, fpr, c.tpr[::-1][last])


def auc_interval(
    frame: pd.DataFrame, truth: str, score: str, *, cluster: str, replicates: int, rng: np.random.Generator
) -> tuple[float, float]:
    """95% bootstrap interval of an AUC, drawing whole clusters (patients) within cases and within controls.

    truth: boolean column. score: column, higher means positive. Stratified, so that every replicate has both.
    """
    groups = {
        side: [part.index.to_numpy() for _, part in frame[frame[truth].eq(side)].groupby(cluster)]
        for side in (False, True)
    }
    y, s = frame[truth].to_numpy(bool), frame[score].to_numpy(float)
    position = pd.Series(np.arange(len(frame)), index=frame.index)
    values = []
    for _ in range(replicates):
        drawn = [part[i] for part in groups.values() for i in rng.integers(0, len(part), len(part))]
        rows = position[np.concatenate(drawn)].to_numpy()
        values.append(roc_auc_score(y[rows], s[rows]))
    return float(np.percentile(values, 2.5)), float(np.percentile(values, 97.5))
