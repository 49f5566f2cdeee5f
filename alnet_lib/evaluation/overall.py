"""Proportions of correct predictions in percent, as every table of the evaluation gives them."""

from __future__ import annotations

import pandas as pd

from alnet_lib.statistics import classification


def interval(correct: int, n: int) -> tuple[float, float]:
    """Give the 95% Wilson interval of a proportion in percent.

    Parameters
    ----------
    correct : int
        Successes, 0 to n.
    n : int
        Trials.

    Returns
    -------
    tuple of float
        Lower and upper end in %; (NaN, NaN) where n is 0.
    """
    low, high = classification.interval(correct, n)
    return 100 * low, 100 * high


def accuracy(counts: pd.DataFrame) -> dict[str, float]:
    """Give the overall accuracy of a confusion matrix in percent (paper section 3.2).

    Parameters
    ----------
    counts : DataFrame
        Confusion matrix, rows reference classes, columns predicted ones.

    Returns
    -------
    dict
        `accuracy`, `low`, `high` (%, 95% Wilson interval) and `n` (int); NaN where n is 0.
    """
    value, low, high, n = classification.accuracy(counts)
    return {"accuracy": 100 * value, "low": 100 * low, "high": 100 * high, "n": n}
