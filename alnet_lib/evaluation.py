"""Confusion matrices and rates of cells (paper section 3.2), with intervals."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix
from statsmodels.stats.proportion import proportion_confint


def confusion(
    true: Sequence[str], predicted: Sequence[str], classes: Sequence[str], columns: Sequence[str] = ()
) -> pd.DataFrame:
    """Counts, rows the true class and columns the predicted one; a class without cells has a row of zeros.

    columns: further predicted names that are no true class, e.g. `unknown`.

    Raises
    ------
    ValueError
        a name that is in neither `classes` nor `columns`.
    """
    names = [*classes, *columns]
    if strange := (set(true) - set(classes)) | (set(predicted) - set(names)):
        raise ValueError(f"{', '.join(sorted(map(str, strange)))}: not among {', '.join(names)}")
    if not len(true):
        return pd.DataFrame(0, index=pd.Index(classes, name="true"), columns=names)
    counts = confusion_matrix(list(true), list(predicted), labels=names)[: len(classes)]
    return pd.DataFrame(counts, index=pd.Index(classes, name="true"), columns=names)


def percent(counts: pd.DataFrame) -> pd.DataFrame:
    """Rows as percentages of the true class; NaN where a class has no cell."""
    totals = counts.sum(axis=1)
    return 100 * counts.div(totals.where(totals > 0), axis=0)


def interval(successes: int, n: int) -> tuple[float, float]:
    """95% Wilson interval of a proportion; (NaN, NaN) of nothing."""
    if n == 0:
        return float("nan"), float("nan")
    low, high = proportion_confint(int(successes), int(n), method="wilson")
    return float(low), float(high)


def rates(counts: pd.DataFrame) -> pd.DataFrame:
    """Sensitivity, specificity and precision of each class, in [0, 1], by the formulas of section 3.2.

    Parameters
    ----------
    counts: square confusion matrix (rows true). A rate whose denominator is 0 is NaN.

    Returns
    -------
    One row a class and rate: class, rate, value, low, high (95% Wilson), successes, n.
    """
    matrix = counts[list(counts.index)].to_numpy()
    rejected = counts.to_numpy().sum() - matrix.sum()
    rows = []
    for k, name in enumerate(counts.index):
        tp = matrix[k, k]
        fn = counts.iloc[k].sum() - tp
        fp = matrix[:, k].sum() - tp
        tn = matrix.sum() + rejected - tp - fn - fp
        for rate, good, n in (("sensitivity", tp, tp + fn), ("specificity", tn, tn + fp), ("precision", tp, tp + fp)):
            low, high = interval(good, n)
            value = good / n if n else float("nan")
            rows.append((name, rate, value, low, high, int(good), int(n)))
    return pd.DataFrame(rows, columns=["class", "rate", "value", "low", "high", "successes", "n"])


def accuracy(counts: pd.DataFrame) -> tuple[float, float, float, int]:
    """Overall accuracy in [0, 1], its 95% Wilson interval, and n: correctly classified over all.

    The paper's formula (TP + TN over all) is this for two classes; for more it prints the same quantity as we do
    (Table 4's 88.4% is the share of images on the diagonal).
    """
    n = int(counts.to_numpy().sum())
    correct = int(sum(counts.loc[name, name] for name in counts.index))
    return (correct / n if n else float("nan"), *interval(correct, n), n)


def cluster_bootstrap(
    frame: pd.DataFrame,
    statistic: Callable[[pd.DataFrame], float],
    *,
    cluster: str = "patient_id",
    replicates: int = 1000,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """95% percentile interval of a statistic when whole clusters (patients) are drawn with replacement.

    Replicates on which the statistic is undefined (NaN) are left out, with a warning that says how many;
    (NaN, NaN) when fewer than half are defined.

    Raises
    ------
    ValueError
        the frame is empty, or a row belongs to no cluster (it would be dropped unseen).
    """
    if frame.empty or frame[cluster].isna().any():
        raise ValueError(f"{int(frame[cluster].isna().sum())} of {len(frame)} rows have no {cluster}")
    groups = [index for index in frame.groupby(cluster, sort=True).indices.values()]
    values = []
    for _ in range(replicates):
        drawn = rng.integers(0, len(groups), len(groups))
        values.append(statistic(frame.iloc[np.concatenate([groups[i] for i in drawn])]))
    defined = np.array(values, float)
    defined = defined[~np.isnan(defined)]
    if len(defined) < replicates:
        left_out = replicates - len(defined)
        warnings.warn(f"undefined in {left_out} of {replicates} bootstrap replicates, left out", stacklevel=2)
    if len(defined) < replicates / 2:
        return float("nan"), float("nan")
    return float(np.percentile(defined, 2.5)), float(np.percentile(defined, 97.5))
