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
    at_half : DataFrame
        `operating_points` at a threshold of one half, the paper's.
    """

    classes: dict[str, Curve]
    average: Curve
    hand_till: float
    threshold: tuple[float, float]
    youden: float
    at_half: pd.DataFrame


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


def placements(case: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count for each case the controls below its score, and for each control the cases above; ties count half.

    Parameters
    ----------
    case : ndarray
        bool (n,).
    score : ndarray
        (n,), higher means case.

    Returns
    -------
    tuple of ndarray
        Of the cases, and of the controls, in their order; both sum to the number of pairs times the AUC.
    """
    cases, controls = score[case], score[~case]
    below, above = np.sort(controls), np.sort(cases)
    of_case = (np.searchsorted(below, cases, "left") + np.searchsorted(below, cases, "right")) / 2
    of_control = (np.searchsorted(above, controls, "left") + np.searchsorted(above, controls, "right")) / 2
    return of_case, len(cases) - of_control


def areas_without(case: np.ndarray, score: np.ndarray, cluster: np.ndarray, k: int) -> np.ndarray:
    """AUC without each of the clusters, as `area` gives it for the rows that are left; in n log n steps.

    A cluster takes with it the pairs of its cases, and those of its controls; pairs of its own are then taken twice.

    Parameters
    ----------
    case, score : ndarray
        As `area`.
    cluster : ndarray
        int (n,), cluster of each row, from 0.
    k : int
        Number of clusters.

    Returns
    -------
    ndarray
        (k,), in [0, 1]; NaN where no case or no control is left.
    """
    of_case, of_control = placements(case, score)
    n_cases, n_controls = np.bincount(cluster[case], minlength=k), np.bincount(cluster[~case], minlength=k)
    # Scores as ranks from 0, each cluster's in a range of its own: a search then stays inside the cluster.
    rank = np.unique(score, return_inverse=True)[1]
    key = cluster.astype(np.int64) * (int(rank.max()) + 1) + rank
    controls, cases = np.sort(key[~case]), key[case]
    before = np.concatenate([[0], np.cumsum(n_controls)])[cluster[case]]
    own = (np.searchsorted(controls, cases, "left") + np.searchsorted(controls, cases, "right")) / 2 - before
    pairs = of_case.sum() - np.bincount(cluster[case], of_case - own, k) - np.bincount(cluster[~case], of_control, k)
    with np.errstate(invalid="ignore", divide="ignore"):
        return pairs / ((n_cases.sum() - n_cases) * (n_controls.sum() - n_controls))


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
    areas = [area(case, score) for case, score, _ in _against_the_rest(reference, shares)]
    return float(np.mean(areas)) if len(areas) > 1 else float("nan")


def average_auc_without(reference: pd.Series, shares: pd.DataFrame, cluster: np.ndarray, k: int) -> np.ndarray:
    """`average_auc` without each of the clusters, where no class goes with one.

    Parameters
    ----------
    reference, shares
        As `average_auc`.
    cluster, k
        As `areas_without`.

    Returns
    -------
    ndarray
        (k,).
    """
    return _mean_without(_against_the_rest(reference, shares), cluster, k)


def _against_the_rest(
    reference: pd.Series, shares: pd.DataFrame
) -> list[tuple[np.ndarray, np.ndarray, slice | np.ndarray]]:
    names = reference.to_numpy()
    cases = {name: names == name for name in shares.columns}
    return [(case, shares[name].to_numpy(), slice(None)) for name, case in cases.items() if case.any()]


def _mean_without(
    parts: list[tuple[np.ndarray, np.ndarray, slice | np.ndarray]], cluster: np.ndarray, k: int
) -> np.ndarray:
    return np.mean([areas_without(case, score, cluster[rows], k) for case, score, rows in parts], axis=0)


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
    areas = [area(case, score) for case, score, _ in _by_pair(reference, shares)]
    return float(np.mean(areas)) if areas else float("nan")


def hand_till_without(reference: pd.Series, shares: pd.DataFrame, cluster: np.ndarray, k: int) -> np.ndarray:
    """`hand_till` without each of the clusters, where no class goes with one; as `average_auc_without`."""
    return _mean_without(_by_pair(reference, shares), cluster, k)


def _by_pair(reference: pd.Series, shares: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray, slice | np.ndarray]]:
    names = reference.to_numpy()
    rows_of = {name: np.flatnonzero(names == name) for name in shares.columns}
    parts: list[tuple[np.ndarray, np.ndarray, slice | np.ndarray]] = []
    for pair in combinations([name for name in shares.columns if len(rows_of[name])], 2):
        among = np.sort(np.concatenate([rows_of[name] for name in pair]))
        parts += [(names[among] == name, shares[name].to_numpy()[among], among) for name in pair]
    return parts


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

    def above(score: np.ndarray) -> np.ndarray:
        return len(score) - np.searchsorted(np.sort(score), middles, "right")

    found = []
    for name in present:
        actual, score = (reference == name).to_numpy(), shares[name].to_numpy()
        cases, others = score[actual], score[~actual]
        found.append(above(cases) / len(cases) - above(others) / max(len(others), 1))
    index = np.mean(found, axis=0)
    best = np.flatnonzero(np.isclose(index, index.max(), atol=1e-12))
    # Best values may fall apart into several runs; the widest is the one that a new smear is least likely to leave.
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    longest = max(runs, key=lambda run: values[run[-1] + 1] - values[run[0]])
    return float(values[longest[0]]), float(values[longest[-1] + 1]), float(index.max())


def operating_points(reference: pd.Series, shares: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Where a threshold on the share of a class puts each class on its ROC curve.

    Parameters
    ----------
    reference : Series
        (n,), class of each smear.
    shares : DataFrame
        (n, classes), share of the smear's cells predicted as each class, in [0, 1].
    threshold : float
        A smear is predicted a class when its share of that class exceeds the threshold.

    Returns
    -------
    DataFrame
        Index the classes that have smears and do not have all; `fpr` and `tpr` in [0, 1].
    """
    names = reference.to_numpy()
    points = {}
    for name in shares.columns:
        case, above = names == name, shares[name].to_numpy() > threshold
        if case.any() and not case.all():
            points[name] = {"fpr": float(above[~case].mean()), "tpr": float(above[case].mean())}
    return pd.DataFrame.from_dict(points, orient="index", columns=["fpr", "tpr"])


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
    half = operating_points(reference, shares, 0.5)
    return MulticlassRoc(curves, average, hand_till(reference, shares), (low, high), youden, half)


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
