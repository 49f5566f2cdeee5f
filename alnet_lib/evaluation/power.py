"""What a cohort can show: the smallest differences that its patients could have found, by simulation.

A difference of that size is found (its 95% interval, as `statistics` gives it, excludes 0) in 80% of simulated cohorts
of the same patients. Below it, a missing difference says little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.evaluation import apl, smear_level
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import auc
from alnet_lib.statistics.intervals import MINIMUM_PATIENTS, TAIL, behind, clusters

if TYPE_CHECKING:
    from alnet_lib.core.profile import Profile
    from alnet_lib.diagnosis.aggregation import AggregationRule

POWER = 0.8
SIMULATIONS, MOST_DRAWS = 1000, 4_000_000
"""Simulated cohorts of a question; fewer where they would take more draws than the second number."""
STEPS = 10
"""Halvings of the range in which a smallest difference is sought."""
ASSUMED = 0.1
"""Correlation within patients where all outcomes are alike, so that none can be estimated."""
SPLITS = {"test": "testing", "external": "external"}


def correlation(correct: np.ndarray, patients: pd.Series) -> float:
    """Correlation of outcomes within patients, by analysis of variance.

    Parameters
    ----------
    correct : ndarray
        bool (n,).
    patients : Series
        (n,), patient of each.

    Returns
    -------
    float
        In [0, 0.9]; 0 where every patient has one outcome, NaN where all outcomes are alike.

    References
    ----------
    Ridout, Demétrio and Firth, Biometrics 55:137 (1999), the ANOVA estimator.
    """
    y = np.asarray(correct, float)
    code, names = pd.factorize(patients)
    n, k = len(y), len(names)
    if not 0 < y.mean() < 1:
        return float("nan")
    if n == k or k < 2:
        return 0.0
    size, good = np.bincount(code), np.bincount(code, weights=y)
    means = good / size
    between = float((size * (means - y.mean()) ** 2).sum()) / (k - 1)
    within = float(((y - means[code]) ** 2).sum()) / (n - k)
    typical = (n - (size**2).sum() / n) / (k - 1)
    return float(np.clip((between - within) / (between + (typical - 1) * within), 0, 0.9))


def latent(observed: float, share: float) -> float:
    """Correlation of normal variables whose parts below a threshold correlate as observed.

    Parameters
    ----------
    observed : float
        Correlation of the outcomes, in [0, 0.9].
    share : float
        True outcomes, in (0, 1).

    Returns
    -------
    float
        In [0, 1).
    """
    if observed <= 0:
        return 0.0
    cut = float(stats.norm.ppf(share))
    both = share**2 + observed * share * (1 - share)

    def excess(r: float) -> float:
        return float(stats.multivariate_normal.cdf([cut, cut], cov=[[1, r], [r, 1]])) - both

    return float(optimize.brentq(excess, 0.0, 0.999, xtol=1e-4)) if excess(0.999) > 0 else 0.999


def smallest(found: Callable[[float], float], most: float) -> float:
    """The smallest difference that is found with a power of 80%.

    Parameters
    ----------
    found : callable
        Difference to the share of simulated cohorts in which it is found; the same draws for every difference.
    most : float
        Largest difference there can be, above 0.

    Returns
    -------
    float
        NaN where even the largest is found less often.
    """
    if not most > 0 or found(most) < POWER:
        return float("nan")
    low, high = 0.0, most
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) >= POWER else (middle, high)
    return high


def of_shares(sizes: np.ndarray, share: float, within: float, rng: np.random.Generator) -> float:
    """The smallest difference of two shares that patients of these sizes could have found.

    Two methods judge the same cells. Each method's outcomes are alike within a patient (normal variables below a
    threshold); the two err on unrelated cells.

    Parameters
    ----------
    sizes : ndarray
        int (patients,), cells or smears of each.
    share : float
        Correct by the first method, in [0, 1]; the second is worse, or better where the first is below one half.
    within : float
        Correlation of outcomes within a patient, in [0, 0.9].
    rng : numpy.random.Generator
        Of the cohorts.

    Returns
    -------
    float
        In (0, 1]; NaN below MINIMUM_PATIENTS, or where no difference is large enough.
    """
    k, n = len(sizes), int(sizes.sum())
    if k < MINIMUM_PATIENTS:
        return float("nan")
    times = int(np.clip(MOST_DRAWS // n, 50, SIMULATIONS))
    r = latent(within, float(np.clip(share, 0.5 / n, 1 - 0.5 / n)))
    patient, starts = np.repeat(np.arange(k), sizes), np.cumsum(sizes) - sizes

    def drawn() -> np.ndarray:
        of_patient = rng.standard_normal((times, k), np.float32)[:, patient]
        return np.sqrt(r) * of_patient + np.sqrt(1 - r) * rng.standard_normal((times, n), np.float32)

    first, second = drawn() < stats.norm.ppf(share), drawn()
    direction = -1 if share >= 0.5 else 1

    def found(difference: float) -> float:
        other = second < stats.norm.ppf(share + direction * difference)
        gain = np.add.reduceat(other.astype(np.int32) - first, starts, axis=1)
        return float(excludes_zero(gain, sizes).mean())

    return smallest(found, share if share >= 0.5 else 1 - share)


def excludes_zero(gain: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Whether the paired interval of `intervals.difference` excludes 0, for many cohorts at once.

    Parameters
    ----------
    gain : ndarray
        (cohorts, patients), sum over a patient's cells of the second outcome less the first.
    sizes : ndarray
        (patients,), cells of each.

    Returns
    -------
    ndarray
        bool (cohorts,).
    """
    k, n = len(sizes), sizes.sum()
    m = gain.sum(axis=1) / n
    variance = k / (k - 1) * ((gain - m[:, None] * sizes) ** 2).sum(axis=1) / n**2
    half = stats.t.ppf(1 - TAIL, k - 1) * np.sqrt(variance)
    return np.abs(m) > np.where(variance > 0, half, 1 - TAIL ** (1 / k))


def areas(cases: np.ndarray, controls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUCs and their covariances (DeLong), one patient a row, for many cohorts at once.

    Parameters
    ----------
    cases, controls : ndarray
        (scores, cohorts, patients).

    Returns
    -------
    tuple of ndarray
        AUC (scores, cohorts); covariance (scores, scores, cohorts).
    """
    above = [a[:, :, None] > b[:, None, :] for a, b in zip(cases, controls, strict=True)]
    sides = [np.stack([psi.mean(axis=axis) for psi in above]) for axis in (2, 1)]
    area = sides[0].mean(axis=2)
    covariance = np.zeros((len(above), *area.shape))
    for side in sides:
        spread, n = side - side.mean(axis=2, keepdims=True), side.shape[2]
        covariance += np.einsum("scp,tcp->stc", spread, spread) / (n - 1) / n
    return area, covariance


def of_area(cases: int, controls: int, rng: np.random.Generator) -> float:
    """The smallest AUC above 0.5 that patients of two groups could have told from 0.5 (binormal), less 0.5.

    Parameters
    ----------
    cases, controls : int
        Patients; at least two of each and MINIMUM_PATIENTS together.
    rng : numpy.random.Generator
        Of the cohorts.

    Returns
    -------
    float
        In (0, 0.5]; NaN where even a perfect score would be missed or there are too few patients.
    """
    if min(cases, controls) < 2 or cases + controls < MINIMUM_PATIENTS:
        return float("nan")
    times = int(np.clip(MOST_DRAWS // (cases * controls), 50, SIMULATIONS))
    ill, well = rng.standard_normal((1, times, cases)), rng.standard_normal((1, times, controls))
    normal, fewest = stats.norm.ppf(1 - TAIL), min(cases, controls)

    def found(difference: float) -> float:
        area, covariance = areas(ill + shift(0.5 + difference), well)
        a, variance = area[0], covariance[0, 0]
        inside = (a > 0) & (a < 1) & (variance > 0)
        safe = np.where(inside, a, 0.5)
        above = stats.logistic.ppf(safe) > normal * np.sqrt(variance) / (safe * (1 - safe))
        return float(np.where(inside, above, (a >= 0.5) & (TAIL ** (1 / fewest) > 0.5)).mean())

    return smallest(found, 0.5)


def of_area_difference(cases: int, controls: int, baseline: float, alike: float, rng: np.random.Generator) -> float:
    """The smallest gain in AUC over a baseline on the same patients that they could have found (binormal, DeLong).

    Parameters
    ----------
    cases, controls : int
        Patients; at least two of each and MINIMUM_PATIENTS together.
    baseline : float
        AUC of the baseline, in [0.5, 1].
    alike : float
        Correlation of the two scores within a diagnosis, in [0, 0.9].
    rng : numpy.random.Generator
        Of the cohorts.

    Returns
    -------
    float
        In (0, 0.5]; NaN where even a perfect score would be missed or there are too few patients.
    """
    if min(cases, controls) < 2 or cases + controls < MINIMUM_PATIENTS:
        return float("nan")
    times = int(np.clip(MOST_DRAWS // (2 * cases * controls), 50, SIMULATIONS))
    mix = np.linalg.cholesky([[1, alike], [alike, 1]])
    ill, well = (np.einsum("st,tcp->scp", mix, rng.standard_normal((2, times, n))) for n in (cases, controls))

    def found(difference: float) -> float:
        shifts = np.array([shift(baseline), shift(baseline + difference)])
        area, covariance = areas(ill + shifts[:, None, None], well)
        variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
        error = np.sqrt(np.maximum(variance, 0))
        certain = np.abs(area[1] - area[0]) > stats.norm.ppf(1 - TAIL) * error
        return float((certain & (variance > 1e-24)).mean())

    return smallest(found, 1 - baseline)


def shift(area: float) -> float:
    """Distance of two normal distributions of variance 1 that has this AUC; 1 counts as 0.9999."""
    return float(np.sqrt(2) * stats.norm.ppf(min(area, 0.9999)))


@if_available
def table(cells: pd.DataFrame, patients: pd.DataFrame, rule: AggregationRule, profile: Profile) -> Result | Unavailable:
    """What the testing and external patients of a run could have shown.

    Parameters
    ----------
    cells : DataFrame
        Predictions of all splits, with `eligible`.
    patients : DataFrame
        Of `apl.scores`.
    rule : AggregationRule
        Of the verdicts.
    profile : Profile
        Seed.

    Returns
    -------
    Result or Unavailable
        Frame: `question`, `patients`, `smallest difference` (percentage points or AUC; NaN where none could have been
        found), `unit`, `smallest AUC` (the difference and what it is measured from; NaN for shares), `assumptions`.
        Values: `power.<question>`, with the patients, smears and cells that each rests on. Unavailable where nothing
        can be judged; smears without a diagnosis are left out.
    """
    rows: list[dict[str, Any]] = []
    for split, where in SPLITS.items():
        own = MODULE_1.labelled(cells[cells["split"].eq(split)])
        if len(own) and MODULE_1.predicts(own):
            correct = MODULE_1.predicted(own).eq(MODULE_1.reference(own))
            rows.append(_shares("cells", split, f"cells, {where}: accuracy of two methods", own, correct, profile))
        votes = smear_level.votes_of(smear_level.voting_cells(cells, split), rule)
        if isinstance(votes, Unavailable):
            continue
        votes = smear_level.judged(votes)
        if len(votes):
            correct = votes["verdict"].eq(votes["expected"])
            rows.append(_shares("smears", split, f"smears, {where}: verdicts of two methods", votes, correct, profile))
    for split, where in SPLITS.items():
        rows += _areas_of(patients, split, where, profile)
    if not rows:
        return Unavailable("no testing or external patient can be judged")
    frame = pd.DataFrame(rows)
    told = frame[frame["smallest difference"].notna()]
    values = [
        replace(Value.of(row["key"], row["smallest difference"], row["unit"].replace("AUC", "")), **row["behind"])
        for row in told.to_dict("records")
    ]
    return Result(frame.drop(columns=["key", "behind"]), tuple(values))


def _shares(
    what: str, split: str, question: str, rows: pd.DataFrame, correct: pd.Series, profile: Profile
) -> dict[str, Any]:
    names = clusters(rows)
    share, within = float(correct.mean()), correlation(correct.to_numpy(), names)
    sizes = rows.groupby(names, sort=True).size().to_numpy()
    key = f"power.{what}.{split}"
    estimated = ASSUMED if np.isnan(within) else within
    found = of_shares(sizes, share, estimated, profile.generator(key.replace(".", "/")))
    how = "assumed, for all are alike" if np.isnan(within) else "estimated from this run"
    return {
        "key": key, "behind": behind(rows), "question": question, "patients": len(sizes),
        "smallest difference": 100 * found,
        "unit": "percentage points", "smallest AUC": float("nan"),
        "assumptions": f"{100 * share:.1f}% of {len(rows):,} {what} by the first method; correlation within patients "
        f"{estimated:.2f} ({how}); the two err on unrelated {what}" + _note(found, len(sizes)),
    }  # fmt: skip


def _areas_of(patients: pd.DataFrame, split: str, where: str, profile: Profile) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, scores in (("chance", ("vote",)), ("baseline", ("vote", "fraction"))):
        own = apl.having(patients, split, *scores)
        cases, controls = int(own["apl"].sum()), int((~own["apl"]).sum())
        if not cases or not controls:
            continue
        rng, key = profile.generator(f"power/apl/{split}/{name}"), f"power.apl.{split}.{name}"
        said = f"{cases} APL and {controls} AML patients; binormal scores"
        baseline = 0.5
        if name == "chance":
            found, question = of_area(cases, controls, rng), f"APL against AML, {where}: AUC above 0.5"
        else:
            baseline = max(auc.auc(own["apl"], own["fraction"], own).estimate, 0.5)
            alike = _alike(own)
            found = of_area_difference(cases, controls, baseline, alike, rng)
            question = f"APL against AML, {where}: AUC above the promyelocyte fraction's"
            said += f"; the fraction's AUC {baseline:.2f}; correlation of the scores within a diagnosis {alike:.2f}"
        rows.append(
            {"key": key, "behind": behind(own), "question": question, "patients": len(own),
             "smallest difference": found, "unit": "AUC", "smallest AUC": baseline + found,
             "assumptions": said + _note(found, len(own))}
        )  # fmt: skip
    return rows


def _alike(own: pd.DataFrame) -> float:
    """Spearman's correlation of vote and fraction within the diagnoses, in [0, 0.9]; 0.5 where it is not defined."""
    ranks = own.groupby("apl")[["vote", "fraction"]].rank()
    centred = ranks - ranks.groupby(own["apl"]).transform("mean")
    if (centred.std() == 0).any():
        return 0.5
    return float(np.clip(centred["vote"].corr(centred["fraction"]), 0, 0.9))


def _note(found: float, patients: int) -> str:
    if not np.isnan(found):
        return ""
    few = patients < MINIMUM_PATIENTS
    return "; too few patients for an interval" if few else "; even the largest difference is missed too often"
