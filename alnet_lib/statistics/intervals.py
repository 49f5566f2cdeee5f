"""95% intervals with the patient as the unit: proportions, means, differences, and any statistic by the jackknife.

Cells of a smear and smears of a patient are alike, so the patient is the unit of every interval. Every function takes
`rows`, the frame that the observations were made on, one row an observation (a cell, a smear or a patient), of which it
reads `patient_id` and, where they are there, `smear_id`, `n_cells` (rows are smears or patients), `smear_known` and
`site`. `benchmarks/coverage.py` measures how often each interval covers the true value; docs/statistics.md has the
table, the formulas and the sources.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import betaincinv, stdtrit

from alnet_lib.statistics.patients import MINIMUM_PATIENTS, Interval, behind, clusters, none

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LEVEL = 0.95
TAIL = (1 - LEVEL) / 2


def clopper_pearson(successes: float, n: float) -> tuple[float, float]:
    """Exact 95% interval of a proportion; successes and n may be effective numbers, not whole.

    Parameters
    ----------
    successes, n : float
        0 <= successes <= n.

    Returns
    -------
    tuple of float
        Low and high in [0, 1].

    References
    ----------
    Clopper and Pearson, Biometrika 26:404 (1934).
    """
    low = 0.0 if successes <= 0 else float(betaincinv(successes, n - successes + 1, TAIL))
    high = 1.0 if successes >= n else float(betaincinv(successes + 1, n - successes, 1 - TAIL))
    return low, high


def proportion(correct: ArrayLike, rows: pd.DataFrame) -> Interval:
    """The share of true observations, with an interval clustered by patient.

    The variance is that of a ratio over patients (linearised); it gives the effective number of independent
    observations, corrected for few patients, and Clopper and Pearson's interval is taken at that number. Where fewer
    than MINIMUM_PATIENTS patients hold all false observations, or all true ones, that variance is not to be trusted,
    and each patient counts as one observation.

    Parameters
    ----------
    correct : array of bool (n,)
        One entry a row.
    rows : DataFrame
        (n,) rows, see the module.

    Returns
    -------
    Interval
        In [0, 1]; without low and high below MINIMUM_PATIENTS.

    Raises
    ------
    ValueError
        A row without a patient.

    References
    ----------
    Korn and Graubard, Survey Methodology 24:193 (1998).
    """
    y, n = np.asarray(correct, float), len(rows)
    code, names = pd.factorize(clusters(rows))
    k, p = len(names), float(y.mean()) if n else float("nan")
    if k < MINIMUM_PATIENTS:
        return none(p, rows)
    size, good = np.bincount(code, minlength=k), np.bincount(code, weights=y, minlength=k)
    variance = k / (k - 1) * float(((good - p * size) ** 2).sum()) / n**2
    effective, effect, method = float(k), float("nan"), "exact at the boundary, over patients"
    if 0 < p < 1:
        effect, method = variance * n / (p * (1 - p)), "Korn-Graubard over patients"
    if 0 < p < 1 and variance > 0:
        few = (stdtrit(n - 1, 1 - TAIL) / stdtrit(k - 1, 1 - TAIL)) ** 2
        effective = min(float(p * (1 - p) / variance * few), float(n))
        if min(np.count_nonzero(good), np.count_nonzero(size - good)) < MINIMUM_PATIENTS and effective > k:
            effective, method = float(k), "Clopper-Pearson over patients"
    low, high = clopper_pearson(p * effective, effective)
    return Interval(p, low, high, method, **behind(rows), design_effect=effect)


def mean(values: ArrayLike, rows: pd.DataFrame) -> Interval:
    """The mean of a measurement, with an interval clustered by patient (Student's t, patients less one).

    Parameters
    ----------
    values : array of float (n,)
        NaN entries are left out.
    rows : DataFrame
        (n,) rows, see the module.

    Returns
    -------
    Interval
        In the unit of the values; without low and high below MINIMUM_PATIENTS, and where all values are equal.
    """
    x = np.asarray(values, float)
    known = ~np.isnan(x)
    x, rows = x[known], rows[known]
    m, variance, k = _mean_and_variance(x, rows)
    if k < MINIMUM_PATIENTS or variance == 0:
        return none(m, rows)
    half = float(stdtrit(k - 1, 1 - TAIL) * np.sqrt(variance))
    effect = variance * len(x) / float(x.var(ddof=1)) if len(x) > 1 and x.var() > 0 else float("nan")
    return Interval(m, m - half, m + half, "Student's t over patients", **behind(rows), design_effect=effect)


def _mean_and_variance(x: np.ndarray, rows: pd.DataFrame) -> tuple[float, float, int]:
    """Mean, its variance over patients (a ratio, linearised), number of patients."""
    code, names = pd.factorize(clusters(rows))
    k, n = len(names), len(x)
    m = float(x.mean()) if n else float("nan")
    if k < 2:
        return m, float("nan"), k
    residual = np.bincount(code, weights=x - m, minlength=k)
    return m, k / (k - 1) * float((residual**2).sum()) / n**2, k


def difference(
    first: ArrayLike, rows: pd.DataFrame, second: ArrayLike, second_rows: pd.DataFrame | None = None
) -> Interval:
    """The second share or mean less the first, with an interval over patients.

    Parameters
    ----------
    first, second : array of bool or float
        Outcomes of the two methods, in [0, 1].
    rows : DataFrame
        Rows of `first`, and of `second` too where both methods were evaluated on the same observations (paired).
    second_rows : DataFrame, optional
        Rows of `second` where they are others (unpaired; Welch's degrees of freedom where no patient is on both sides,
        else those of the smaller side).

    Returns
    -------
    Interval
        In [-1, 1]; without low and high below MINIMUM_PATIENTS on either side. Where fewer than MINIMUM_PATIENTS of k
        patients differ, they leave room for 1 - 0.025^(1/k) either way.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    if second_rows is None:
        d, variance, k = _mean_and_variance(b - a, rows)
        freedom, about, fewest = k - 1.0, behind(rows), k
        differing = clusters(rows)[b != a].nunique()
    else:
        d, variance, freedom, fewest = _unpaired(a, rows, b, second_rows)
        about, differing = behind(_union(rows, second_rows)), fewest
    if fewest < MINIMUM_PATIENTS:
        return Interval(
            d, float("nan"), float("nan"), "", **about, why=f"fewer than {MINIMUM_PATIENTS} patients on a side"
        )
    boundary = float(1 - TAIL ** (1 / fewest))
    half, method = float(stdtrit(freedom, 1 - TAIL) * np.sqrt(variance)), "Student's t over patients"
    if variance == 0 or (differing < MINIMUM_PATIENTS and half < boundary):
        half, method = boundary, "exact at the boundary, over patients"
    return Interval(d, max(d - half, -1.0), min(d + half, 1.0), method, **about)


def _union(rows: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """The observations of both sides, those that are on both once."""
    both = pd.concat([rows, others])
    name = "image_id" if "image_id" in both else "smear_id" if "n_cells" in both and "smear_id" in both else None
    return both[~both[name].duplicated()] if name else both


def _unpaired(
    a: np.ndarray, rows: pd.DataFrame, b: np.ndarray, others: pd.DataFrame
) -> tuple[float, float, float, int]:
    """Difference of two means, its variance over patients, degrees of freedom, patients on the smaller side.

    Patients on both sides (two splits of one cohort) take part with the sum of their two influences.
    """
    names = pd.concat([clusters(rows), clusters(others)])
    code, k = pd.factorize(names)[0], names.nunique()
    one, two = code[: len(a)], code[len(a) :]
    k1, k2 = len(np.unique(one)), len(np.unique(two))
    d = float(b.mean() - a.mean()) if len(a) and len(b) else float("nan")
    if min(k1, k2) < 2:
        return d, float("nan"), float("nan"), min(k1, k2)
    first = np.bincount(one, weights=a - a.mean(), minlength=k) / len(a)
    second = np.bincount(two, weights=b - b.mean(), minlength=k) / len(b)
    v1, v2 = k1 / (k1 - 1) * float(first @ first), k2 / (k2 - 1) * float(second @ second)
    variance = max(v1 + v2 - 2 * k / (k - 1) * float(first @ second), 0.0)
    freedom = float(min(k1, k2) - 1)
    if k == k1 + k2 and v1 + v2 > 0:
        freedom = (v1 + v2) ** 2 / (v1**2 / (k1 - 1) + v2**2 / (k2 - 1))
    return d, variance, freedom, min(k1, k2)


def jackknife(
    rows: pd.DataFrame,
    statistic: Callable[[pd.DataFrame], float],
    *,
    share: bool = True,
    groups: pd.Series | None = None,
    without: Callable[[np.ndarray, int], np.ndarray] | None = None,
) -> Interval:
    """Any smooth statistic, with an interval from leaving out one patient at a time.

    Parameters
    ----------
    rows : DataFrame
        One row an observation, see the module.
    statistic : callable
        Rows to a number; not for quantiles and thresholds, whose jackknife variance is wrong.
    share : bool
        The statistic lies in [0, 1]: the interval is symmetric on the logit scale, and at 0 or 1 each patient is one
        trial.
    groups : Series, optional
        (n,), group of each row, where the statistic gives each group the same weight (a mean over classes): the
        smallest group's patients then count as the number of patients.
    without : callable, optional
        Where the statistic without a patient follows from sums: the patient of each row, int (n,) from 0, and their
        number k to the statistic without each of them, (k,). Else it is computed k times.

    Returns
    -------
    Interval
        In the unit of the statistic; without low and high below MINIMUM_PATIENTS, in any of the groups, and where the
        statistic is not defined without one of the patients.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 11.
    """
    estimate, of_row = float(statistic(rows)), clusters(rows)
    code, names = pd.factorize(of_row)
    k = len(names)
    if k < MINIMUM_PATIENTS or np.isnan(estimate):
        return none(estimate, rows)
    fewest = k if groups is None else int(of_row.groupby(groups).nunique().min())
    if fewest < MINIMUM_PATIENTS:
        return none(estimate, rows, f"a class has {fewest} patient{'' if fewest == 1 else 's'}")
    if share and not 0 < estimate < 1:
        ends = clopper_pearson(fewest * round(estimate), fewest)
        return Interval(estimate, *ends, "exact at the boundary, over patients", **behind(rows))
    again = without or (lambda code, k: np.array([statistic(rows[code != patient]) for patient in range(k)]))
    left = again(code, k)
    spread = float(np.sqrt((k - 1) / k * ((left - left.mean()) ** 2).sum()))
    if np.isnan(spread) or spread == 0:
        return none(estimate, rows)
    half = float(stdtrit(k - 1, 1 - TAIL)) * spread
    if not share:
        return Interval(estimate, estimate - half, estimate + half, "jackknife over patients", **behind(rows))
    low, high = on_logit_scale(estimate, half)
    return Interval(estimate, low, high, "jackknife over patients, logit", **behind(rows))


def on_logit_scale(estimate: float, half: float) -> tuple[float, float]:
    """Ends of an interval that is symmetric on the logit scale, from its half width on the plain scale (delta method).

    Parameters
    ----------
    estimate : float
        Above 0 and below 1.
    half : float
        Half width on the plain scale.

    Returns
    -------
    tuple of float
        Low and high in (0, 1).
    """
    middle, wide = np.log(estimate / (1 - estimate)), half / (estimate * (1 - estimate))
    low, high = (1 / (1 + np.exp(-(middle + side))) for side in (-wide, wide))
    return float(low), float(high)
