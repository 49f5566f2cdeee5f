"""What reviewers ask beyond the paper (CLAIM, STARD-AI, TRIPOD+AI): calibration, stability, cells needed, benefit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.diagnosis.aggregation import UNKNOWN, AggregationRule, MajorityAboveThreshold, vote
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.evaluation.smear_level import shares_of
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import bootstrap, calibration, roc

THRESHOLDS: tuple[float, ...] = tuple(float(t) for t in np.round(np.arange(0.2, 0.96, 0.05), 2))
"""Thresholds of the vote at which coverage is shown."""

SIZES: tuple[int, ...] = (1, 2, 3, 5, 8, 12, 20)
"""Numbers of cells of a smear at which the vote is repeated."""

STABILITY_REPLICATES = 200
"""Most bootstrap replicates of the threshold: each searches it anew."""


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
        `correct` (of all); shares in [0, 1].
    """
    rows = []
    for threshold in thresholds:
        votes = vote(cells, MajorityAboveThreshold(threshold))
        decided = votes["verdict"].ne(UNKNOWN)
        correct = votes["verdict"].eq(votes["expected"])
        rows.append((threshold, len(votes), decided.mean(), correct[decided].mean(), correct.mean()))
    return Result(pd.DataFrame(rows, columns=["threshold", "smears", "decided", "accuracy", "correct"]))


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
        Frame: `cells`, `full` (smears that have enough), `correct` (mean over the repeats of the share of smears with
        the correct verdict), `low`, `high` (2.5 and 97.5 percentile over the repeats), `unknown` (mean share); shares
        in [0, 1]. Values: `cells_needed.<cells>.correct` in %.

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
    rows = []
    for size in sizes:
        repeats_of, row = np.nonzero(ranks < size)
        votes = vote(cells.iloc[row].assign(smear_id=repeats_of * len(available) + smear[row]), rule)
        of_repeat = votes["smear_id"] // len(available)
        correct = votes["verdict"].eq(votes["expected"]).groupby(of_repeat).mean()
        low, high = np.percentile(correct, [2.5, 97.5])
        unknown = votes["verdict"].eq(UNKNOWN).mean()
        rows.append((size, int((available >= size).sum()), correct.mean(), low, high, unknown))
    frame = pd.DataFrame(rows, columns=["cells", "full", "correct", "low", "high", "unknown"])
    values = [Value(f"cells_needed.{r.cells}.correct", "%", reproduced=100 * r.correct) for r in frame.itertuples()]
    return Result(frame, tuple(values), {"repeats": repeats})


@dataclass(frozen=True)
class Calibrated:
    """Module 1's probabilities before and after temperature scaling.

    Attributes
    ----------
    temperature : float
        Fitted on validation cells; above 1 the network was too certain.
    before, after : DataFrame
        Reliability of testing cells, of `statistics.calibration.reliability`.
    ece : tuple of float
        Expected calibration error before and after, in [0, 1].
    """

    temperature: float
    before: pd.DataFrame
    after: pd.DataFrame
    ece: tuple[float, float]


@if_available
def calibrate(cells: pd.DataFrame) -> Result | Unavailable:
    """Measure the calibration of module 1 on testing cells; the temperature is fitted on validation cells only.

    Parameters
    ----------
    cells : DataFrame
        Predictions of all splits, with `validation` (bool), `split`, `cell_type` and module 1's probabilities.

    Returns
    -------
    Result or Unavailable
        Frame: reliability with a column `scaled` (bool). Values: `calibration.module_1.{temperature, ece_before,
        ece_after}`. Facts: `calibrated`, `temperature`, `ece_before`, `ece_after` (in [0, 1]). Unavailable without a
        labelled validation or testing cell.
    """
    # A class that the network does not know has probability 0 on every cell.
    known = [name for name, column in zip(MODULE_1.classes, MODULE_1.columns, strict=True) if cells[column].max() > 0]
    labels = MODULE_1.reference(cells).map({name: i for i, name in enumerate(known)})
    usable = labels.notna()
    parts = [usable & cells["validation"], usable & cells["split"].eq("test")]
    if not all(part.any() for part in parts):
        return Unavailable("there is no validation cell or no testing cell")
    (p, y), (q, z) = (
        (cells.loc[part, [f"{MODULE_1.prefix}_{name}" for name in known]].to_numpy(float), labels[part].to_numpy(int))
        for part in parts
    )
    temperature = calibration.fit_temperature(p, y)
    tempered = calibration.temper(q, temperature)
    errors = (calibration.expected_calibration_error(q, z), calibration.expected_calibration_error(tempered, z))
    found = Calibrated(temperature, calibration.reliability(q, z), calibration.reliability(tempered, z), errors)
    numbers = {"temperature": temperature, "ece_before": errors[0], "ece_after": errors[1]}
    values = tuple(Value(f"calibration.module_1.{name}", "", reproduced=number) for name, number in numbers.items())
    frame = pd.concat([found.before.assign(scaled=False), found.after.assign(scaled=True)], ignore_index=True)
    return Result(frame, values, numbers | {"calibrated": found})


def threshold_stability(
    votes: pd.DataFrame | Unavailable, *, replicates: int, rng: np.random.Generator
) -> Result | Unavailable:
    """Find the threshold that training smears choose, over bootstrap draws of patients: middle of the best interval.

    Parameters
    ----------
    votes : DataFrame or Unavailable
        Of `smear_level.votes_of` on training smears.
    replicates : int
        Bootstrap replicates; STABILITY_REPLICATES at most are used.
    rng : numpy.random.Generator
        Of the purpose `threshold`.

    Returns
    -------
    Result or Unavailable
        Frame: `quantile, %` (2.5 to 97.5), `threshold` in [0, 1]. Unavailable where the smears are of one class.
    """
    if isinstance(votes, Unavailable) or votes["reference"].nunique() < 2:
        return Unavailable("the training smears are all of one class, or none")
    reference, shares, chosen = votes["reference"].to_numpy(), shares_of(votes), []
    for rows in bootstrap.resamples(votes["patient_id"], min(replicates, STABILITY_REPLICATES), rng):
        if len(set(reference[rows])) > 1:
            low, high, _ = roc.best_threshold(pd.Series(reference[rows]), shares.iloc[rows].reset_index(drop=True))
            chosen.append((low + high) / 2)
    quantiles = (2.5, 25, 50, 75, 97.5)
    frame = pd.DataFrame({"quantile, %": quantiles, "threshold": np.percentile(chosen, quantiles)})
    return Result(frame)


def apl_benefit(votes: pd.DataFrame | Unavailable) -> Result | Unavailable:
    """Give the net benefit of treating a smear as APL by its share of abnormal promyelocytes.

    Parameters
    ----------
    votes : DataFrame or Unavailable
        Of `smear_level.votes_of` on testing smears.

    Returns
    -------
    Result or Unavailable
        Frame: of `statistics.calibration.decision_curve`. Unavailable where all smears are of APL or none is.
    """
    reason = "the testing smears are all of APL, or none is, or none is known"
    if isinstance(votes, Unavailable):
        return Unavailable(reason)
    apl = votes["diagnosis"].eq("APL").to_numpy()
    if apl.all() or not apl.any():
        return Unavailable(reason)
    score = votes["share_abnormal_promyelocyte"].to_numpy(float)
    return Result(calibration.decision_curve(apl, score, np.round(np.arange(0.02, 0.9, 0.02), 2).tolist()))
