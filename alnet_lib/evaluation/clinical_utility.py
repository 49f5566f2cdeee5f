"""What reviewers ask beyond the paper (CLAIM, STARD-AI, TRIPOD+AI): coverage, stability, cells needed, benefit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.diagnosis.aggregation import UNKNOWN, AggregationRule, MajorityAboveThreshold, vote, votes_by
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2
from alnet_lib.evaluation.smear_level import judged, shares_of, smear_reference
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import bootstrap, decision, intervals, roc
from alnet_lib.statistics.intervals import Interval
from alnet_lib.statistics.patients import with_intervals

THRESHOLDS: tuple[float, ...] = tuple(float(t) for t in np.round(np.arange(0.2, 0.96, 0.05), 2))
"""Thresholds of the vote at which coverage is shown."""

RECORDED: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)
"""Those of them that go into results.json."""

SIZES: tuple[int, ...] = (1, 2, 3, 5, 8, 12, 20)
"""Numbers of cells of a smear at which the vote is repeated."""

STABILITY_REPLICATES = 200
"""Most bootstrap replicates of the threshold, whatever the profile asks for: each searches it anew."""

QUANTILES: tuple[float, ...] = (2.5, 25, 50, 75, 97.5)
"""Of the thresholds over the replicates, in %."""

PREVALENCES: tuple[float, ...] = (0.01, 0.05, 0.10)
"""Shares of APL among the smears that a ward may send."""

BENEFIT_THRESHOLDS: tuple[float, ...] = tuple(float(t) for t in np.round(np.arange(0.01, 0.61, 0.01), 2))
"""Threshold probabilities of the decision curve."""

BENEFIT_RECORDED: tuple[float, ...] = (0.05, 0.10, 0.20)
"""Those of the table and of results.json: APL is treated on suspicion, so low ones matter."""

_UNDIAGNOSED = "no smear has a diagnosis to compare the verdict with"


@if_available
def coverage(cells: pd.DataFrame, thresholds: Sequence[float] = THRESHOLDS) -> Result | Unavailable:
    """Give accuracy against coverage as the threshold moves: an `unknown` is a referral, not an answer.

    Parameters
    ----------
    cells : DataFrame
        Of `smear_level.voting_cells`.
    thresholds : sequence of float
        In [0, 1).

    Returns
    -------
    Result or Unavailable
        Frame: `threshold`, `smears`, `decided` (share with a verdict), `accuracy` (of the decided, NaN if none) with
        the columns of `Interval.columns`, `correct` (of all); `decided low`, `decided high`, `correct low` and `correct
        high` are the intervals of the other two; shares in [0, 1]. Values: `coverage.<threshold in %>.{accuracy,
        decided, correct}` at the thresholds RECORDED, in %. Facts: `patients`, `aside` (smears that are left out).
        Unavailable where no smear has a diagnosis.
    """
    aside, cells = _left_out(cells), judged(cells)
    if cells.empty:
        return Unavailable(_UNDIAGNOSED)
    rows, values = [], []
    voted = votes_by(cells, [MajorityAboveThreshold(threshold) for threshold in thresholds])
    for threshold, votes in zip(thresholds, voted, strict=True):
        decided = votes["verdict"].ne(UNKNOWN)
        correct = votes["verdict"].eq(votes["expected"])
        found = {"decided": intervals.proportion(decided, votes), "correct": intervals.proportion(correct, votes)}
        accuracy = intervals.proportion(correct[decided], votes[decided])
        about = {"threshold": threshold, "smears": len(votes)} | _ends("decided", found["decided"])
        rows.append(about | {"accuracy": accuracy.estimate} | accuracy.columns(1) | _ends("correct", found["correct"]))
        if threshold in RECORDED:
            found |= {"accuracy": accuracy} if decided.any() else {}
            values += [Value.of(f"coverage.{100 * threshold:.0f}.{name}", one, "%") for name, one in found.items()]
    patients = intervals.behind(cells)["n_patients"]
    return Result(pd.DataFrame(rows), tuple(values), {"patients": patients, "aside": aside})


def _ends(name: str, one: Interval) -> dict[str, float]:
    """The columns of a share beside the main one of its row."""
    return {name: one.estimate, f"{name} low": one.low, f"{name} high": one.high}


def _left_out(rows: pd.DataFrame) -> str:
    """Say for a caption how many smears have no diagnosis."""
    n = rows["smear_id"].nunique() - judged(rows)["smear_id"].nunique()
    return (
        f" {n} {'smear' if n == 1 else 'smears'} without a diagnosis {'is' if n == 1 else 'are'} left out." if n else ""
    )


@if_available
def coverage_as_shown(result: Result) -> pd.DataFrame:
    """Write the shares of `coverage` with their intervals, to be shown: `0.83 (0.61 to 0.95)`.

    Parameters
    ----------
    result : Result
        Of `coverage`.

    Returns
    -------
    DataFrame
        Columns `threshold`, `smears`, `decided`, `patients decided`, `accuracy of the decided`, `correct of all`.
    """
    frame = result.frame

    return pd.DataFrame(
        {
            "threshold": frame["threshold"],
            "smears": frame["smears"],
            "decided": with_intervals(frame, "decided", "decided low", "decided high"),
            "patients decided": frame["patients"],
            "accuracy of the decided": with_intervals(frame, "accuracy", "low", "high"),
            "correct of all": with_intervals(frame, "correct", "correct low", "correct high"),
        }
    )


@if_available
def at_thresholds(cells: pd.DataFrame, kept: float, chosen: Result) -> Result | Unavailable:
    """Compare the vote at the threshold that is kept with the vote at the one that training smears choose.

    Parameters
    ----------
    cells : DataFrame
        Of `smear_level.voting_cells` on testing smears.
    kept : float
        Threshold of the profile, in [0, 1).
    chosen : Result
        Of `smear_level.figure_4`: the middle of its equally best thresholds is the other one.

    Returns
    -------
    Result or Unavailable
        Frame: a row for each way to judge (module 1 by the labels of the cells, as Table 9A; end to end by the
        diagnosis) and threshold, and their difference: `judged`, `threshold`, `smears`, `correct` (% or percentage
        points) and the columns of `Interval.columns`, of the difference too (paired). Values:
        `at_threshold.{kept, chosen, difference}.{module_1, end_to_end}`. Facts: `kept`, `chosen` (%), `n` (smears),
        `findings` (words). Unavailable where no smear has labelled cells or a diagnosis.
    """
    threshold = (chosen.facts["low"] + chosen.facts["high"]) / 200
    voted = votes_by(cells, [MajorityAboveThreshold(t) for t in (kept, threshold)])
    reference_of = smear_reference(cells)
    one, other = (votes.assign(reference=votes["smear_id"].map(reference_of)) for votes in voted)
    labelled, diagnosed = one["reference"].notna(), one.index.isin(judged(one).index)
    ways = {
        "module_1": ("module 1 (as Table 9A)", labelled, "module_1", "reference"),
        "end_to_end": ("end to end", diagnosed, "verdict", "expected"),
    }
    rows, values, findings = [], [], []
    for key, (words, which, predicted, reference) in ways.items():
        if not which.any():
            continue
        smears = one[which]
        right = [votes[predicted].eq(votes[reference])[which] for votes in (one, other)]
        found = {name: intervals.proportion(r, smears) for name, r in zip(("kept", "chosen"), right, strict=True)}
        found["difference"] = intervals.difference(right[0], smears, right[1])
        names = (f"{100 * kept:.0f}% (kept)", f"{100 * threshold:.1f}% (chosen)", "chosen less kept")
        for name, (measured, interval) in zip(names, found.items(), strict=True):
            about = {"judged": words, "threshold": name, "smears": len(smears), "correct": 100 * interval.estimate}
            rows.append(about | interval.columns())
            unit = "percentage points" if measured == "difference" else "%"
            values.append(Value.of(f"at_threshold.{measured}.{key}", interval, unit))
        less = found["difference"]
        findings.append(f"{words} {100 * less.estimate:+.1f} percentage points ({less.text()})")
    if not rows:
        return Unavailable("no testing smear has labelled cells or a diagnosis")
    facts = {"kept": 100 * kept, "chosen": 100 * threshold, "n": len(one), "findings": "; ".join(findings)}
    return Result(pd.DataFrame(rows), tuple(values), facts)


@if_available
def cells_needed(
    cells: pd.DataFrame,
    rule: AggregationRule,
    rng: np.random.Generator,
    *,
    sizes: Sequence[int] = SIZES,
    repeats: int = 20,
) -> Result | Unavailable:
    """Measure how the vote does when only some cells of each smear are seen, drawn at random without replacement.

    A smear with fewer cells than a size gives all it has, so every size is evaluated on the same smears.

    Parameters
    ----------
    cells : DataFrame
        Of `smear_level.voting_cells`.
    rule : AggregationRule
        Decides from the scores of a smear.
    rng : numpy.random.Generator
        Of the purpose `cells needed`.
    sizes : sequence of int
        Cells seen of each smear, at least 1.
    repeats : int
        Draws at each size.

    Returns
    -------
    Result or Unavailable
        Frame: `cells`, `full` (smears that have enough), `correct` (share of draws with the correct verdict, first
        over the repeats of a smear, then over smears) with the columns of `Interval.columns`, `unknown` (share of
        draws) with `unknown low` and `unknown high`; shares in [0, 1]. Values: `cells_needed.<cells>.{correct,
        unknown}` in %. Facts: `repeats`, `aside` (smears that are left out) and `dip`: a sentence where two cells are
        correct less often than one, or empty. Unavailable where no smear has a diagnosis.

    Raises
    ------
    ValueError
        A size is below 1; else as `diagnosis.aggregation.vote`.
    """
    if min(sizes) < 1:
        raise ValueError("a smear needs one cell at least")
    aside, cells = _left_out(cells), judged(cells)
    if cells.empty:
        return Unavailable(_UNDIAGNOSED)
    smear = cells["smear_id"].astype("category").cat.codes.to_numpy()
    # Position of every cell in a random order of its smear's cells, once a repeat: sizes are nested in each other.
    ranks = np.empty((repeats, len(cells)), np.int64)
    for repeat in range(repeats):
        order = np.lexsort((rng.random(len(cells)), smear))
        ranks[repeat, order] = pd.Series(smear[order]).groupby(smear[order]).cumcount()
    available = np.bincount(smear)
    smears = _smears(cells, smear)
    # Every cell is drawn many times: only what the vote reads is copied.
    names = [*MODULE_1.columns, *MODULE_2.columns, "image_id", "diagnosis"]
    read = cells[[name for name in names if name in cells]]
    rows, values = [], []
    for size in sizes:
        repeats_of, row = np.nonzero(ranks < size)
        votes = vote(read.iloc[row].assign(smear_id=repeats_of * len(available) + smear[row]), rule)
        drawn = pd.DataFrame(
            {"correct": votes["verdict"].eq(votes["expected"]), "unknown": votes["verdict"].eq(UNKNOWN)}
        )
        # Draws of one smear are no new observations: a smear counts once, by its mean.
        of_smear = drawn.groupby(votes["smear_id"] % len(available)).mean().reindex(range(len(available)))
        correct = intervals.proportion(of_smear["correct"], smears)
        unknown = intervals.proportion(of_smear["unknown"], smears)
        about = {"cells": size, "full": int((available >= size).sum()), "correct": correct.estimate}
        rows.append(about | correct.columns(1) | _ends("unknown", unknown))
        shares = {"correct": correct, "unknown": unknown}
        values += [Value.of(f"cells_needed.{size}.{name}", one, "%") for name, one in shares.items()]
    frame = pd.DataFrame(rows)
    return Result(frame, tuple(values), {"repeats": repeats, "aside": aside, "dip": _dip(frame)})


def _dip(frame: pd.DataFrame) -> str:
    """Describe, without a cause, that two cells are correct less often than one."""
    curve = 100 * frame.set_index("cells")[["correct", "unknown"]]
    if not {1, 2} <= set(curve.index) or not curve.loc[2, "correct"] < curve.loc[1, "correct"]:
        return ""
    one, two = (f"{curve.loc[n, 'correct']:.1f}% correct and {curve.loc[n, 'unknown']:.1f}% unknown" for n in (1, 2))
    return f" With one cell: {one}; with two: {two}."


def _smears(cells: pd.DataFrame, smear: np.ndarray) -> pd.DataFrame:
    """One row a smear in the order of its codes, as the intervals take it."""
    about = cells.groupby(smear)[["smear_id", "patient_id"]].first()
    return about.assign(n_cells=np.bincount(smear))


@if_available
def threshold_stability(votes: pd.DataFrame, *, replicates: int, rng: np.random.Generator) -> Result | Unavailable:
    """Find the threshold that training smears choose, over bootstrap draws of patients: middle of the best interval.

    Parameters
    ----------
    votes : DataFrame
        Of `smear_level.votes_of` on training smears; those without a reference class are left out.
    replicates : int
        Bootstrap replicates; STABILITY_REPLICATES at most are used.
    rng : numpy.random.Generator
        Of the purpose `threshold`.

    Returns
    -------
    Result or Unavailable
        Frame: `quantile, %` (of QUANTILES), `threshold` in [0, 1], `patients`, `interval` (method). Values:
        `threshold.<quantile>` in %; that of 50, the median, has the percentile interval, unless the draws agree: they
        then say nothing of its spread. Facts: `median`, `low`, `high` (%), `n` (smears), `patients`, `draws` (that were
        made), `spread` and `capped` (words), `interval`. Unavailable where the smears are of one class, or of too few
        patients.
    """
    votes = votes[votes["reference"].notna()].reset_index(drop=True)
    if votes["reference"].nunique() < 2:
        return Unavailable("the training smears are all of one class, or none")
    behind = intervals.behind(votes)
    if behind["n_patients"] < intervals.MINIMUM_PATIENTS:
        return Unavailable(f"{behind['n_patients']} patients are too few for the spread of a threshold")
    reference, shares, chosen = votes["reference"].to_numpy(), shares_of(votes), []
    for rows in bootstrap.resamples(votes["patient_id"], min(replicates, STABILITY_REPLICATES), rng):
        if len(set(reference[rows])) > 1:
            low, high, _ = roc.best_threshold(pd.Series(reference[rows]), shares.iloc[rows].reset_index(drop=True))
            chosen.append((low + high) / 2)
    found = dict(zip(QUANTILES, np.percentile(chosen, QUANTILES).tolist(), strict=True))
    if found[97.5] - found[2.5] > 1e-9:
        median = Interval(found[50], found[2.5], found[97.5], "percentile bootstrap over patients", **behind)
        spread = f"95% of {len(chosen)} draws {100 * found[2.5]:.1f} to {100 * found[97.5]:.1f}%"
    else:
        median = intervals.none(found[50], votes, "the draws of patients agree")
        spread = f"at least 95% of {len(chosen)} draws agree, so no interval is given"
    frame = pd.DataFrame({"quantile, %": QUANTILES, "threshold": found.values()})
    frame = frame.assign(patients=behind["n_patients"], interval=median.columns()["interval"])
    of_quantile = {q: median if q == 50 else intervals.none(found[q], votes) for q in QUANTILES}
    values = tuple(Value.of(f"threshold.{q:g}", one, "%") for q, one in of_quantile.items())
    asked = f" The profile asks for {replicates:,} draws; the search is repeated {STABILITY_REPLICATES} times at most."
    facts = {"median": 100 * found[50], "low": 100 * median.low, "high": 100 * median.high, "n": len(votes)}
    facts |= {"draws": len(chosen), "spread": spread, "capped": asked if replicates > STABILITY_REPLICATES else ""}
    return Result(frame, values, facts | {"patients": behind["n_patients"], "interval": median})


def threshold_interval(stability: Result | Unavailable) -> Interval | None:
    """Give the interval of the threshold over patients, as `smear_level.figure_4` takes it.

    Parameters
    ----------
    stability : Result or Unavailable
        Of `threshold_stability`.

    Returns
    -------
    Interval or None
        In [0, 1], without ends where the draws agree; None where there is none.
    """
    return None if isinstance(stability, Unavailable) else stability.facts["interval"]


def apl_benefit(
    votes: pd.DataFrame | Unavailable,
    cross_fitted: pd.DataFrame | Unavailable,
    seen: pd.DataFrame | Unavailable,
    *,
    prevalences: Sequence[float] = PREVALENCES,
    made_by: str = "",
) -> Result | Unavailable:
    """Give the net benefit of treating a smear as APL by its recalibrated probability, at several prevalences.

    The share of abnormal promyelocytes is no probability: it is recalibrated (`statistics.decision`) on cross-fitted
    training smears and, for each prevalence (`cohort`: that of the testing smears), shifted by Bayes's rule. Without
    cross-fitting it is recalibrated on training smears that module 1 was fitted on; the fact `fitted_on` says which.

    Parameters
    ----------
    votes : DataFrame or Unavailable
        Of `smear_level.votes_of` on testing smears.
    cross_fitted, seen : DataFrame or Unavailable
        Of `smear_level.votes_of` on training smears: cross-fitted, and by module 1 itself.
    prevalences : sequence of float
        In (0, 1), beside the cohort's own.
    made_by : str
        Which networks predicted the cross-fitted smears: `experiments.cross_fitting.made_by`.

    Returns
    -------
    Result or Unavailable
        Frame: a row for each prevalence and threshold BENEFIT_RECORDED: `prevalence` (`cohort` or %), `APL, %`,
        `threshold`, `net benefit`, the columns of `Interval.columns` (over patients), `everyone as APL`. Values:
        `decision_curve.<prevalence>.<threshold>` (`cohort` or whole %; whole %), without unit. Facts: `curves` (name of
        a panel to the frame of `statistics.decision.decision_curve`), `prevalence` (%, of the testing smears),
        `fitted_prevalence` (%), `fitted_on`, `n` (smears), `patients`, `apl_patients`, `aside` (smears that are left
        out). Unavailable where the testing smears, or those
        to fit on, are all of APL or none is, or the recalibration does not settle.
    """
    fitting = seen if isinstance(cross_fitted, Unavailable) else cross_fitted
    crossed = "cross-fitted training smears" + (f", predicted {made_by}" if made_by else "")
    on = "training smears that module 1 was fitted on" if fitting is seen else crossed
    for part, name in ((votes, "testing"), (fitting, "training")):
        if isinstance(part, Unavailable) or judged(part)["diagnosis"].eq("APL").nunique() < 2:
            return Unavailable(f"the {name} smears are all of APL, or none is, or none is known")
    assert isinstance(votes, pd.DataFrame) and isinstance(fitting, pd.DataFrame)
    aside, votes, fitting = _left_out(votes), judged(votes), judged(fitting)
    share = "share_abnormal_promyelocyte"
    recalibration = decision.fit_recalibration(fitting["diagnosis"].eq("APL"), fitting[share], fitting["n_cells"])
    if not np.isfinite([recalibration.intercept, recalibration.slope]).all():
        return Unavailable("the recalibration does not settle on the training smears")
    apl = votes["diagnosis"].eq("APL").to_numpy()
    rows, values, curves = [], [], {}
    own = float(apl.mean())
    for prevalence in (None, *sorted(prevalences, reverse=True)):
        probability = recalibration.probability(votes[share], votes["n_cells"], prevalence or own)
        name = "cohort" if prevalence is None else f"{100 * prevalence:g}"
        share_of_apl = 100 * (prevalence or own)
        title = f"{share_of_apl:.0f}% APL" + (" (these testing smears)" if prevalence is None else "")
        curves[title] = decision.decision_curve(apl, probability, BENEFIT_THRESHOLDS, prevalence)
        everyone = curves[title].set_index("threshold")["everyone"]
        for t in BENEFIT_RECORDED:
            benefit = decision.net_benefit(apl, probability, t, votes, prevalence)
            about = {"prevalence": name, "APL, %": share_of_apl, "threshold": t, "net benefit": benefit.estimate}
            rows.append(about | benefit.columns(1) | {"everyone as APL": everyone[t]})
            values.append(Value.of(f"decision_curve.{name}.{100 * t:.0f}", benefit, ""))
    facts = {"curves": curves, "prevalence": 100 * own, "fitted_on": on, "n": len(votes)}
    facts |= {"fitted_prevalence": 100 * recalibration.prevalence, "patients": intervals.behind(votes)["n_patients"]}
    facts |= {"apl_patients": intervals.behind(votes[apl])["n_patients"], "aside": aside}
    return Result(pd.DataFrame(rows), tuple(values), facts)
