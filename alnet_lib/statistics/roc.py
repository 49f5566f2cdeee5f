"""ROC over smears (paper section 3.3, Fig. 4): a curve a class, their average, Hand and Till's M, the threshold."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd


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
    # Imported on use: scikit-learn takes longer to import than most curves to draw.
    from sklearn.metrics import roc_curve

    fpr, tpr, _ = roc_curve(reference, score, drop_intermediate=False)
    return Curve(fpr, tpr, area(reference, np.asarray(score, float)))


def area(case: np.ndarray, score: np.ndarray) -> float:
    """AUC by ranks, ties counted half; much faster than by the curve, and the jackknife asks for it hundreds of times.

    Parameters
    ----------
    case : ndarray
        bool (n,), of which some are true and some false.
    score : ndarray
        (n,), higher means case.

    Returns
    -------
    float
        In [0, 1].
    """
    n = int(case.sum())
    return float((pd.Series(score).rank().to_numpy()[case].sum() - n * (n + 1) / 2) / (n * (len(case) - n)))


def average_auc(reference: pd.Series, shares: pd.DataFrame) -> float:
    """Mean over the classes of the AUC of a class against the rest.

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
    names = reference.to_numpy()
    present = [name for name in shares.columns if (names == name).any()]
    if len(present) < 2:
        return float("nan")
    return float(np.mean([area(names == name, shares[name].to_numpy()) for name in present]))


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
    names = reference.to_numpy()
    present = [name for name in shares.columns if (names == name).any()]
    values = []
    for pair in combinations(present, 2):
        among = np.isin(names, pair)
        values += [area(names[among] == name, shares[name].to_numpy()[among]) for name in pair]
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
    average = Curve(np.repeat(grid, 2), ends.ravel(), average_auc(reference, shares))
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
