"""95% intervals with the patient as the unit: proportions, means, differences, and any statistic by the jackknife.

Cells of a smear and smears of a patient are alike, so the patient is the unit of every interval. Every function takes
`rows`, the frame that the observations were made on, one row an observation (a cell, a smear or a patient), of which it
reads `patient_id` and, where they are there, `smear_id`, `n_cells` (rows are smears or patients), `smear_known` and
`site`. `benchmarks/coverage.py` measures how often each interval covers the true value; docs/statistics.md has the
table, the formulas and the sources.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import betaincinv, stdtrit

MINIMUM_PATIENTS = 5
"""Below this number of patients no interval is given."""
LEVEL = 0.95
TAIL = (1 - LEVEL) / 2


@dataclass(frozen=True)
class Interval:
    """A 95% interval and what stands behind it.

    Attributes
    ----------
    estimate, low, high : float
        In the unit of what was measured; `low` and `high` are NaN where no interval is given.
    method : str
        In words, e.g. `Korn-Graubard over patients`; empty where no interval is given.
    n_patients : int
        Clusters: patients, and the images of a site whose patients are unknown as one.
    n_smears, n_cells : int or None
        None where the rows do not say.
    design_effect : float
        Variance of the estimate over that of as many independent observations; NaN where it cannot be estimated.
    """

    estimate: float
    low: float
    high: float
    method: str
    n_patients: int
    n_smears: int | None = None
    n_cells: int | None = None
    design_effect: float = float("nan")

    @property
    def given(self) -> bool:
        """Whether there is an interval."""
        return bool(self.method)

    def scaled(self, factor: float) -> Interval:
        """The same in another unit, e.g. times 100 in %."""
        return replace(self, estimate=factor * self.estimate, low=factor * self.low, high=factor * self.high)

    def columns(self, factor: float = 100) -> dict[str, Any]:
        """The columns of a table that stand beside the estimate.

        Parameters
        ----------
        factor : float
            Of the estimate's unit; 100 gives %.

        Returns
        -------
        dict
            `low`, `high`, `patients`, `design_effect`, `interval` (the method, or why there is none).
        """
        reason = f"none: fewer than {MINIMUM_PATIENTS} patients" if self.n_patients < MINIMUM_PATIENTS else "none"
        return {
            "low": factor * self.low,
            "high": factor * self.high,
            "patients": self.n_patients,
            "design_effect": self.design_effect,
            "interval": self.method or reason,
        }

    def text(self, digits: int = 1, factor: float = 100) -> str:
        """The interval in words, for a caption or sentence.

        Parameters
        ----------
        digits : int
            Decimals.
        factor : float
            Of the estimate's unit; 100 gives %.

        Returns
        -------
        str
            `95% interval over 24 patients: 80.8 to 88.7`, or `3 patients: too few for an interval`.
        """
        people = f"{self.n_patients} patient{'' if self.n_patients == 1 else 's'}"
        if not self.given:
            few = self.n_patients < MINIMUM_PATIENTS
            return f"{people}: {'too few for an interval' if few else 'no interval can be given'}"
        ends = f"{factor * self.low:.{digits}f} to {factor * self.high:.{digits}f}"
        return f"95% interval over {people}: {ends}"


def clusters(rows: pd.DataFrame) -> pd.Series:
    """Give the patient of each row; the images of a site whose patients are unknown are one cluster.

    Parameters
    ----------
    rows : DataFrame
        `patient_id`, and `smear_known` (bool) and `site` where some patients are unknown.

    Returns
    -------
    Series
        With the index of `rows`.

    Raises
    ------
    ValueError
        A row has no patient.
    """
    patients = rows["patient_id"].astype(object)
    if patients.isna().any():
        raise ValueError(f"{int(patients.isna().sum())} of {len(rows)} observations have no patient")
    if "smear_known" in rows:
        unknown = "patients unknown, " + rows.get("site", pd.Series("", rows.index)).astype(str)
        patients = patients.where(rows["smear_known"].astype(bool), unknown)
    return patients


def behind(rows: pd.DataFrame) -> dict[str, Any]:
    """Count who stands behind a number.

    Parameters
    ----------
    rows : DataFrame
        One row an observation.

    Returns
    -------
    dict
        `n_patients`, `n_smears`, `n_cells` as in `Interval`.
    """
    smears = None
    if "smear_id" in rows:
        known = rows["smear_known"].astype(bool) if "smear_known" in rows else pd.Series(True, rows.index)
        smears = int(rows.loc[known, "smear_id"].nunique())
    cells = int(rows["n_cells"].sum()) if "n_cells" in rows else len(rows) if "smear_id" in rows else None
    return {"n_patients": int(clusters(rows).nunique()), "n_smears": smears, "n_cells": cells}


def none(estimate: float, rows: pd.DataFrame) -> Interval:
    """Give an estimate without an interval."""
    return Interval(estimate, float("nan"), float("nan"), "", **behind(rows))


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
    observations, corrected for few patients, and Clopper and Pearson's interval is taken at that number. Where all
    observations agree, so that no variance can be estimated, each patient counts as one observation.

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
        Rows of `second` where its patients are others (unpaired; Welch's degrees of freedom).

    Returns
    -------
    Interval
        In [-1, 1]; without low and high below MINIMUM_PATIENTS on either side. Where no patient differs, k patients
        leave room for a difference of 1 - 0.025^(1/k) either way.
    """
    a, b = np.asarray(first, float), np.asarray(second, float)
    if second_rows is None:
        d, variance, k = _mean_and_variance(b - a, rows)
        freedom, sizes, fewest = k - 1.0, behind(rows), k
    else:
        (m1, v1, k1), (m2, v2, k2) = _mean_and_variance(a, rows), _mean_and_variance(b, second_rows)
        d, variance, fewest = m2 - m1, v1 + v2, min(k1, k2)
        one, other = behind(rows), behind(second_rows)
        sizes = {name: None if one[name] is None else one[name] + other[name] for name in one}
        freedom = (v1 + v2) ** 2 / (v1**2 / (k1 - 1) + v2**2 / (k2 - 1)) if fewest > 1 and variance > 0 else np.nan
    if fewest < MINIMUM_PATIENTS:
        return Interval(d, float("nan"), float("nan"), "", **sizes)
    if variance == 0:
        half, method = 1 - TAIL ** (1 / fewest), "exact at the boundary, over patients"
    else:
        half, method = float(stdtrit(freedom, 1 - TAIL) * np.sqrt(variance)), "Student's t over patients"
    return Interval(d, max(d - half, -1.0), min(d + half, 1.0), method, **sizes)


def jackknife(rows: pd.DataFrame, statistic: Callable[[pd.DataFrame], float], *, share: bool = True) -> Interval:
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

    Returns
    -------
    Interval
        In the unit of the statistic; without low and high below MINIMUM_PATIENTS, and where the statistic is not
        defined without one of the patients.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 11.
    """
    estimate, of_row = float(statistic(rows)), clusters(rows)
    names = of_row.unique()
    k = len(names)
    if k < MINIMUM_PATIENTS or np.isnan(estimate):
        return none(estimate, rows)
    if share and not 0 < estimate < 1:
        ends = clopper_pearson(k * round(estimate), k)
        return Interval(estimate, *ends, "exact at the boundary, over patients", **behind(rows))
    without = np.array([statistic(rows[of_row.ne(name)]) for name in names])
    spread = float(np.sqrt((k - 1) / k * ((without - without.mean()) ** 2).sum()))
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
