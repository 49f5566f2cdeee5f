"""Confusion matrices and rates of cells (paper section 3.2), with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from sklearn.metrics import confusion_matrix
from statsmodels.stats.proportion import proportion_confint


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
    index = pd.Index(classes, name="reference")
    if not len(reference):
        return pd.DataFrame(0, index=index, columns=names)
    counts = confusion_matrix(list(reference), list(predicted), labels=names)[: len(classes)]
    return pd.DataFrame(counts, index=index, columns=names)


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


def interval(successes: int, n: int) -> tuple[float, float]:
    """95% Wilson interval of a proportion.

    Parameters
    ----------
    successes : int
        0 to `n`.
    n : int
        Number of trials.

    Returns
    -------
    tuple of float
        Lower and upper end in [0, 1]; (NaN, NaN) when `n` is 0.
    """
    if n == 0:
        return float("nan"), float("nan")
    low, high = proportion_confint(int(successes), int(n), method="wilson")
    return float(low), float(high)


def rates(counts: pd.DataFrame) -> pd.DataFrame:
    """Sensitivity, specificity and precision of each class, by the formulas of section 3.2.

    Parameters
    ----------
    counts : DataFrame
        As `confusion` returns it. Predictions in columns beyond the classes count as negative for every class.

    Returns
    -------
    DataFrame
        One row a class and rate: class, rate, value in [0, 1], low and high (95% Wilson), successes, n. A rate whose
        denominator is 0 is NaN.
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
    """Overall accuracy: correctly classified cells over all.

    The paper's formula (TP + TN over all) is this for two classes; for more it prints the same quantity as we do
    (Table 4's 88.4% is the share of images on the diagonal).

    Parameters
    ----------
    counts : DataFrame
        As `confusion` returns it.

    Returns
    -------
    tuple
        Accuracy in [0, 1], its 95% Wilson interval, and the number of cells.
    """
    n = int(counts.to_numpy().sum())
    correct = int(sum(counts.loc[name, name] for name in counts.index))
    return (correct / n if n else float("nan"), *interval(correct, n), n)
