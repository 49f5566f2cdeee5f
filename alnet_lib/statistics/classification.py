"""Confusion matrices and rates of cells (paper section 3.2), with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from alnet_lib.statistics.intervals import Interval, jackknife, proportion


def confusion(
    reference: Sequence[str], predicted: Sequence[str], classes: Sequence[str], columns: Sequence[str] = ()
) -> pd.DataFrame:
    """Confusion matrix: one row a reference class, one column a predicted class.

    Parameters
    ----------
    reference : sequence of str
        (n,), reference class of each cell.
    predicted : sequence of str
        (n,), predicted class of each cell.
    classes : sequence of str
        All reference classes; one without cells has a row of zeros.
    columns : sequence of str
        Further names that may be predicted and are no reference class, e.g. `unknown`.

    Returns
    -------
    DataFrame
        Counts; index `classes`, columns `classes` and `columns`.

    Raises
    ------
    ValueError
        A name is neither in `classes` nor in `columns`.
    """
    names = [*classes, *columns]
    if strange := (set(reference) - set(classes)) | (set(predicted) - set(names)):
        raise ValueError(f"{', '.join(sorted(map(str, strange)))}: not among {', '.join(names)}")
    counts = pd.crosstab(pd.Series(list(reference), dtype=object), pd.Series(list(predicted), dtype=object))
    return counts.reindex(index=list(classes), columns=names, fill_value=0).rename_axis(index="reference", columns=None)


def percent(counts: pd.DataFrame) -> pd.DataFrame:
    """Row percentages of a confusion matrix.

    Parameters
    ----------
    counts : DataFrame
        As `confusion` returns it.

    Returns
    -------
    DataFrame
        Percent of the reference class, 0 to 100; NaN where a class has no cell.
    """
    totals = counts.sum(axis=1)
    return 100 * counts.div(totals.where(totals > 0), axis=0)


def rates(counts: pd.DataFrame) -> pd.DataFrame:
    """Sensitivity, specificity and precision of each class, by the formulas of section 3.2.

    Parameters
    ----------
    counts : DataFrame
        As `confusion` returns it. Predictions in columns beyond the classes count as negative for every class.

    Returns
    -------
    DataFrame
        One row a class and rate: class, rate, value in [0, 1], successes, n. A rate whose denominator is 0 is NaN.
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
            rows.append((name, rate, good / n if n else float("nan"), int(good), int(n)))
    return pd.DataFrame(rows, columns=["class", "rate", "value", "successes", "n"])


def rate_intervals(predictions: pd.DataFrame, classes: Sequence[str]) -> dict[tuple[str, str], Interval]:
    """The rates of `rates` with their intervals over patients.

    Parameters
    ----------
    predictions : DataFrame
        One row a cell or smear: `reference`, `predicted`, and the columns that `statistics.intervals` reads.
    classes : sequence of str
        The reference classes; other predictions count as negative for every class.

    Returns
    -------
    dict
        (class, rate) to Interval in [0, 1]; a rate whose denominator is 0 is NaN.
    """
    found = {}
    for name in classes:
        case, called = predictions["reference"].eq(name), predictions["predicted"].eq(name)
        for rate, among, good in (
            ("sensitivity", case, called), ("specificity", ~case, ~called), ("precision", called, case),
        ):  # fmt: skip
            found[name, rate] = proportion(good[among], predictions[among])
    return found


def accuracy(predictions: pd.DataFrame) -> Interval:
    """Overall accuracy: correct predictions over all, with its interval over patients.

    The paper's formula (TP + TN over all) is this for two classes; for more it prints the same quantity as we do
    (Table 4's 88.4% is the share of images on the diagonal).

    Parameters
    ----------
    predictions : DataFrame
        As for `rate_intervals`.

    Returns
    -------
    Interval
        In [0, 1]; NaN without a row.
    """
    return proportion(predictions["predicted"].eq(predictions["reference"]), predictions)


def mean_sensitivity(predictions: pd.DataFrame) -> Interval:
    """Mean over the classes of the share of their cells that is predicted correctly, with its interval over patients.

    Parameters
    ----------
    predictions : DataFrame
        As for `rate_intervals`; classes without a row are left out.

    Returns
    -------
    Interval
        In [0, 1].
    """
    correct = predictions["predicted"].eq(predictions["reference"]).astype(float)
    judged = predictions.assign(correct=correct)
    class_of, names = pd.factorize(judged["reference"])

    def without(patient: np.ndarray, k: int) -> np.ndarray:
        # No class goes with a patient: below MINIMUM_PATIENTS patients of a class there is no interval.
        cell, shape = patient * len(names) + class_of, (k, len(names))
        good = np.bincount(cell, correct, minlength=k * len(names)).reshape(shape)
        size = np.bincount(cell, minlength=k * len(names)).reshape(shape)
        return ((good.sum(0) - good) / (size.sum(0) - size)).mean(axis=1)

    return jackknife(
        judged,
        lambda rows: float(rows.groupby("reference")["correct"].mean().mean()),
        groups=judged["reference"],
        without=without,
    )
