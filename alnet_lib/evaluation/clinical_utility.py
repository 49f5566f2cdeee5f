"""What reviewers ask beyond the paper (CLAIM, STARD-AI, TRIPOD+AI): coverage, stability, cells needed, benefit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.diagnosis.aggregation import UNKNOWN, AggregationRule, MajorityAboveThreshold, vote
from alnet_lib.evaluation.smear_level import shares_of
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import bootstrap, decision, intervals, roc
from alnet_lib.statistics.intervals import Interval

THRESHOLDS: tuple[float, ...] = tuple(float(t) for t in np.round(np.arange(0.2, 0.96, 0.05), 2))
"""Thresholds of the vote at which coverage is shown."""

RECORDED: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)
"""Those of them that go into results.json."""

SIZES: tuple[int, ...] = (1, 2, 3, 5, 8, 12, 20)
"""Numbers of cells of a smear at which the vote is repeated."""

STABILITY_REPLICATES = 200
"""Most bootstrap replicates of the threshold: each searches it anew."""

QUANTILES: tuple[float, ...] = (2.5, 25, 50, 75, 97.5)
"""Of the thresholds over the replicates, in %."""

PREVALENCES: tuple[float, ...] = (0.01, 0.05, 0.10)
"""Shares of APL among the smears that a ward may send."""

BENEFIT_THRESHOLDS: tuple[float, ...] = tuple(float(t) for t in np.round(np.arange(0.01, 0.61, 0.01), 2))
"""Threshold probabilities of the decision curve."""

BENEFIT_RECORDED: tuple[float, ...] = (0.05, 0.10, 0.20)
"""Those of the table and of results.json: APL is treated on suspicion, so low ones matter."""


@if_available
def coverage(cells: pd.DataFrame, thresholds: Sequence[float] = THRESHOLDS) -> Result:
    """Give accuracy against coverage as the threshold moves: an `unknown` is a referral, not an answer.

    Parameters
    ----------
    cells : DataFrame
        Of `smear_level.voting_cells`.
    thresholds : sequence of float
        In [0, 1).

    Returns
    -------
    Result
        Frame: `threshold`, `smears`, `decided` (share with a verdict), `accuracy` (of the decided, NaN if none),
        `correct` (of all), the columns of `Interval.columns` (of the accuracy); shares in [0, 1]. Values:
        `coverage.<threshold in %>.{accuracy, decided}` at the thresholds RECORDED, in %.
    """
    rows, values = [], []
    for threshold in thresholds:
        votes = vote(cells, MajorityAboveThreshold(threshold))
        decided = votes["verdict"].ne(UNKNOWN)
        correct = votes["verdict"].eq(votes["expected"])
        share = intervals.proportion(decided, votes)
        accuracy = intervals.proportion(correct[decided], votes[decided])
        about = {"threshold": threshold, "smears": len(votes), "decided": share.estimate}
        rows.append(about | {"accuracy": accuracy.estimate, "correct": correct.mean()} | accuracy.columns(1))
        if threshold in RECORDED:
            key = f"coverage.{100 * threshold:.0f}"
            values += [Value.of(f"{key}.decided", share, "%")]
            values += [Value.of(f"{key}.accuracy", accuracy, "%")] if decided.any() else []
    return Result(pd.DataFrame(rows), tuple(values))


@if_available
def cells_needed(
    cells: pd.DataFrame,
    rule: AggregationRule,
    rng: np.random.Generator,
    *,
    sizes: Sequence[int] = SIZES,
    repeats: int = 20,
) -> Result:
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
    Result
        Frame: `cells`, `full` (smears that have enough), `correct` (share of draws with the correct verdict, first
        over the repeats of a smear, then over smears), `unknown` (share of draws), the columns of `Interval.columns`
        (of `correct`, over patients); shares in [0, 1]. Values: `cells_needed.<cells>.correct` in %. Facts: `repeats`
        and, where sizes of one and two cells are drawn, `dip`: a sentence on the ties of two cells, or empty.

    Raises
    ------
    ValueError
        A size is below 1; else as `diagnosis.aggregation.vote`.
    """
    if min(sizes) < 1:
        raise ValueError("a smear needs one cell at least")
    smear = cells["smear_id"].astype("category").cat.codes.to_numpy()
    # Position of every cell in a random order of its smear's cells, once a repeat: sizes are nested in each other.
    ranks = np.empty((repeats, len(cells)), np.int64)
    for repeat in range(repeats):
        order = np.lexsort((rng.random(len(cells)), smear))
        ranks[repeat, order] = pd.Series(smear[order]).groupby(smear[order]).cumcount()
    available = np.bincount(smear)
    smears = _smears(cells, smear)
    rows, values, unknown = [], [], {}
    for size in sizes:
        repeats_of, row = np.nonzero(ranks < size)
        votes = vote(cells.iloc[row].assign(smear_id=repeats_of * len(available) + smear[row]), rule)
        drawn = pd.DataFrame(
            {"correct": votes["verdict"].eq(votes["expected"]), "unknown": votes["verdict"].eq(UNKNOWN)}
        )
        # Draws of one smear are no new observations: a smear counts once, by its mean.
        of_smear = drawn.groupby(votes["smear_id"] % len(available)).mean().reindex(range(len(available)))
        correct = intervals.proportion(of_smear["correct"], smears)
        unknown[size] = float(of_smear["unknown"].mean())
        about = {"cells": size, "full": int((available >= size).sum()), "correct": correct.estimate}
        rows.append(about | {"unknown": unknown[size]} | correct.columns(1))
        values.append(Value.of(f"cells_needed.{size}.correct", correct, "%"))
    return Result(pd.DataFrame(rows), tuple(values), {"repeats": repeats, "dip": _dip(rows, unknown)})


def _dip(rows: Sequence[dict[str, object]], unknown: Mapping[int, float]) -> str:
    """Two cells that differ are a tie, and a tie has no majority: say so where it costs correct verdicts."""
    correct = {row["cells"]: row["correct"] for row in rows}
    if not {1, 2} <= set(correct) or not correct[2] < correct[1]:  # type: ignore[operator]
        return ""
    return f" The dip at two cells is ties: two cells that differ give no majority ({100 * unknown[2]:.0f}% unknown)."


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
        `threshold.<quantile>` in %; that of 50, the median, has the percentile interval. Facts: `median`, `low`, `high`
        (%), `n` (smears), `patients`, `ci`, `interval`. Unavailable where the smears are of one class, or of too few
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
    median = Interval(found[50], found[2.5], found[97.5], "percentile bootstrap over patients", **behind)
    frame = pd.DataFrame({"quantile, %": QUANTILES, "threshold": found.values()})
    frame = frame.assign(patients=behind["n_patients"], interval=median.method)
    values = tuple(Value.of(f"threshold.{q:g}", median if q == 50 else 100 * found[q], "%") for q in QUANTILES)
    facts = {"median": 100 * found[50], "low": 100 * median.low, "high": 100 * median.high, "n": len(votes)}
    facts |= {"patients": behind["n_patients"], "ci": median.text(0), "interval": median}
    return Result(frame, values, facts)


def threshold_interval(stability: Result | Unavailable) -> Interval | None:
    """Give the interval of the threshold over patients, as `smear_level.figure_4` takes it.

    Parameters
    ----------
    stability : Result or Unavailable
        Of `threshold_stability`.

    Returns
    -------
    Interval or None
        In [0, 1]; None where there is none.
    """
    return None if isinstance(stability, Unavailable) else stability.facts["interval"]


def apl_benefit(
    votes: pd.DataFrame | Unavailable,
    cross_fitted: pd.DataFrame | Unavailable,
    seen: pd.DataFrame | Unavailable,
    *,
    prevalences: Sequence[float] = PREVALENCES,
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

    Returns
    -------
    Result or Unavailable
        Frame: a row for each prevalence and threshold BENEFIT_RECORDED: `prevalence` (`cohort` or %), `APL, %`,
        `threshold`, `net benefit`, the columns of `Interval.columns` (over patients), `everyone as APL`. Values:
        `decision_curve.<prevalence>.<threshold>` (`cohort` or whole %; whole %), without unit. Facts: `curves` (name of
        a panel to the frame of `statistics.decision.decision_curve`), `prevalence` (%, of the testing smears),
        `fitted_prevalence` (%), `fitted_on`, `n` (smears), `patients`. Unavailable where the testing smears, or those
        to fit on, are all of APL or none is.
    """
    fitting = seen if isinstance(cross_fitted, Unavailable) else cross_fitted
    on = "training smears that module 1 was fitted on" if fitting is seen else "cross-fitted training smears"
    for part, name in ((votes, "testing"), (fitting, "training")):
        if isinstance(part, Unavailable) or part["diagnosis"].eq("APL").nunique() < 2:
            return Unavailable(f"the {name} smears are all of APL, or none is, or none is known")
    assert isinstance(votes, pd.DataFrame) and isinstance(fitting, pd.DataFrame)
    share = "share_abnormal_promyelocyte"
    recalibration = decision.fit_recalibration(fitting["diagnosis"].eq("APL"), fitting[share], fitting["n_cells"])
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
    return Result(pd.DataFrame(rows), tuple(values), facts)
