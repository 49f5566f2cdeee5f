"""95% intervals with the patient as the unit: proportions and means over clustered cells, and AUCs over patients.

Cells of a smear and smears of a patient are alike, so the patient is the unit that is drawn. `benchmarks/coverage.py`
measures how often each interval covers the true value; docs/statistics.md has the table, the formulas and the sources.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

MINIMUM_PATIENTS = 5
"""Below this number of patients no interval is given."""
LEVEL = 0.95
_TAIL = (1 - LEVEL) / 2


@dataclass(frozen=True)
class Interval:
    """A 95% interval and what stands behind it.

    Attributes
    ----------
    estimate, low, high : float
        In the unit of what was measured; `low` and `high` are NaN where no interval is given.
    method : str
        In words, e.g. `Korn-Graubard over patients`; empty where no interval is given.
    n_patients, n : int
        Patients (clusters) and observations.
    design_effect : float
        Variance of the estimate over that of as many independent observations; NaN where it cannot be estimated.
    """

    estimate: float
    low: float
    high: float
    method: str
    n_patients: int
    n: int
    design_effect: float = float("nan")


def _none(estimate: float, n_patients: int, n: int) -> Interval:
    return Interval(estimate, float("nan"), float("nan"), "", n_patients, n)


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
    low = 0.0 if successes <= 0 else float(stats.beta.ppf(_TAIL, successes, n - successes + 1))
    high = 1.0 if successes >= n else float(stats.beta.ppf(1 - _TAIL, successes + 1, n - successes))
    return low, high


def proportion(correct: np.ndarray | pd.Series, patients: np.ndarray | pd.Series) -> Interval:
    """The share of true observations, with an interval clustered by patient.

    The variance is that of a ratio over patients (linearised); it gives the effective number of independent
    observations, corrected for few patients, and Clopper and Pearson's interval is taken at that number. Where all
    observations agree, so that no variance can be estimated, each patient counts as one observation.

    Parameters
    ----------
    correct : array of bool (n,)
        One entry a cell or smear.
    patients : array (n,)
        Patient of each; none may be missing.

    Returns
    -------
    Interval
        In [0, 1]; without low and high below MINIMUM_PATIENTS.

    Raises
    ------
    ValueError
        An observation without a patient.

    References
    ----------
    Korn and Graubard, Survey Methodology 24:193 (1998).
    """
    y, groups = np.asarray(correct, float), pd.Series(np.asarray(patients, dtype=object))
    if groups.isna().any():
        raise ValueError(f"{int(groups.isna().sum())} of {len(groups)} observations have no patient")
    n = len(y)
    code, names = pd.factorize(groups)
    k, p = len(names), float(y.mean()) if n else float("nan")
    if k < MINIMUM_PATIENTS:
        return _none(p, k, n)
    size, good = np.bincount(code, minlength=k), np.bincount(code, weights=y, minlength=k)
    variance = k / (k - 1) * float(((good - p * size) ** 2).sum()) / n**2
    effective, effect = float(k), float("nan")
    if 0 < p < 1 and variance > 0:
        effect = variance * n / (p * (1 - p))
        few = (stats.t.ppf(1 - _TAIL, n - 1) / stats.t.ppf(1 - _TAIL, k - 1)) ** 2
        effective = min(float(p * (1 - p) / variance * few), float(n))
    low, high = clopper_pearson(p * effective, effective)
    return Interval(p, low, high, "Korn-Graubard over patients", k, n, effect)


def auc(reference: np.ndarray | pd.Series, score: np.ndarray | pd.Series) -> Interval:
    """The AUC of a score over patients, with DeLong's variance on the logit scale.

    At an AUC of 0 or 1 there is no variance; the smaller of the two groups then counts as that many trials, all of one
    outcome (Clopper and Pearson, one-sided at 2.5%).

    Parameters
    ----------
    reference : array of bool (n,)
        One row a patient.
    score : array of float (n,)
        Higher means positive.

    Returns
    -------
    Interval
        In [0, 1]; without low and high below MINIMUM_PATIENTS or with fewer than two cases or controls.

    References
    ----------
    DeLong et al., Biometrics 44:837 (1988); Pepe, The Statistical Evaluation of Medical Tests (2003), section 5.2.
    """
    y, s = np.asarray(reference, bool), np.asarray(score, float)
    cases, controls, n = s[y], s[~y], len(y)
    if not len(cases) or not len(controls):
        return _none(float("nan"), n, n)
    psi = (np.sign(cases[:, None] - controls[None, :]) + 1) / 2
    a, fewest = float(psi.mean()), min(len(cases), len(controls))
    if n < MINIMUM_PATIENTS or fewest < 2:
        return _none(a, n, n)
    variance = float(psi.mean(1).var(ddof=1) / len(cases) + psi.mean(0).var(ddof=1) / len(controls))
    if not 0 < a < 1 or variance == 0:
        low, high = (_TAIL ** (1 / fewest), 1.0) if a >= 0.5 else (0.0, 1 - _TAIL ** (1 / fewest))
        return Interval(a, low, high, "exact at the boundary, over patients", n, n)
    half = float(stats.norm.ppf(1 - _TAIL)) * np.sqrt(variance) / (a * (1 - a))
    middle = np.log(a / (1 - a))
    low, high = (1 / (1 + np.exp(-(middle + side))) for side in (-half, half))
    return Interval(a, float(low), float(high), "DeLong, logit, over patients", n, n)


def mean(values: np.ndarray | pd.Series, patients: np.ndarray | pd.Series) -> Interval:
    """The mean of a measurement on cells, with an interval clustered by patient (Student's t, patients less one).

    Parameters
    ----------
    values : array of float (n,)
        NaN entries are left out.
    patients : array (n,)
        Patient of each.

    Returns
    -------
    Interval
        In the unit of the values; without low and high below MINIMUM_PATIENTS.
    """
    x, groups = np.asarray(values, float), pd.Series(np.asarray(patients, dtype=object))
    known = ~np.isnan(x)
    x, (code, names) = x[known], pd.factorize(groups[known])
    k, n = len(names), len(x)
    m = float(x.mean()) if n else float("nan")
    if k < MINIMUM_PATIENTS:
        return _none(m, k, n)
    residual = np.bincount(code, weights=x - m, minlength=k)
    variance = k / (k - 1) * float((residual**2).sum()) / n**2
    half = float(stats.t.ppf(1 - _TAIL, k - 1)) * np.sqrt(variance)
    effect = variance * n / float(x.var(ddof=1)) if n > 1 and x.var() > 0 else float("nan")
    return Interval(m, m - half, m + half, "Student's t over patients", k, n, effect)
