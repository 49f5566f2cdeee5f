"""ALNet evaluated on smears: the vote, Figure 4, Tables 9A and 9B, verdicts from end to end and by site.

Every interval is over patients: the smears of a patient are a cluster (`statistics.intervals`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.vocabulary import DIAGNOSES, MODULE_1_CLASSES, NON_APL, UNKNOWN, VERDICTS
from alnet_lib.diagnosis import aggregation
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2
from alnet_lib.paper import printed as paper
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import classification, intervals, roc
from alnet_lib.statistics.auc import auc

if TYPE_CHECKING:
    from alnet_lib.diagnosis.aggregation import AggregationRule
    from alnet_lib.statistics.intervals import Interval

SMEAR_CLASSES = {
    "lymphocyte": "Control (LY)",
    "monocyte": "Control (MO)",
    "reactive_lymphocyte": "Infection",
    "abnormal_promyelocyte": "APL",
    "blast": "AL non-APL",
}
"""Class of module 1 -> the diagnosis as Table 9A prints it."""

_NO_SMEAR = "no cell of the {} split votes: only immature cells of a known smear do, others are for cell-level results"
_REASONS = {
    "train": _NO_SMEAR.format("training"),
    "test": _NO_SMEAR.format("testing"),
    "external": "no cell of another site votes",
}
_UNDIAGNOSED = "no smear has a diagnosis to compare the verdict with"


@if_available
def voting_cells(cells: pd.DataFrame, split: str) -> pd.DataFrame | Unavailable:
    """Choose the cells of a split that vote.

    Parameters
    ----------
    cells : DataFrame
        Predictions of all splits, with `split` and `eligible` (bool).
    split : str
        `train`, `test` or `external`.

    Returns
    -------
    DataFrame or Unavailable
        The eligible cells; unavailable where there is none.
    """
    own = cells[cells["eligible"] & cells["split"].eq(split)]
    return own if len(own) else Unavailable(_REASONS[split])


def smear_reference(cells: pd.DataFrame) -> pd.Series:
    """Give each smear the class of module 1 that most of its cells have by their labels; on a tie the first by name.

    Parameters
    ----------
    cells : DataFrame
        One row a cell, with `smear_id` and `cell_type`.

    Returns
    -------
    Series
        Class name by smear_id; smears without a labelled cell are not in it.
    """
    known = MODULE_1.labelled(cells)
    counts = pd.crosstab(known["smear_id"], MODULE_1.reference(known))
    return counts.idxmax(axis=1) if len(counts) else pd.Series(dtype=object)


@if_available
def votes_of(cells: pd.DataFrame, rule: AggregationRule) -> pd.DataFrame:
    """Let the cells of each smear vote, and add the smear's reference class.

    Parameters
    ----------
    cells : DataFrame
        Of `voting_cells`.
    rule : AggregationRule
        Decides from the scores of a smear.

    Returns
    -------
    DataFrame
        One row a smear, as `diagnosis.aggregation.vote`, and `reference` (of `smear_reference`; missing where no cell
        of the smear has a label).
    """
    reference = smear_reference(cells)
    return aggregation.vote(cells, rule).assign(reference=lambda votes: votes["smear_id"].map(reference))


def shares_of(votes: pd.DataFrame) -> pd.DataFrame:
    """Give the share of each class of module 1 among the cells of each smear.

    Parameters
    ----------
    votes : DataFrame
        Of `votes_of`.

    Returns
    -------
    DataFrame
        One row a smear, columns the classes, shares in [0, 1].
    """
    return votes[[f"share_{name}" for name in MODULE_1_CLASSES]].set_axis(list(MODULE_1_CLASSES), axis=1)


def judged(votes: pd.DataFrame) -> pd.DataFrame:
    """Give the smears whose diagnosis is known; a manifest may leave it empty, and then no verdict is right or wrong.

    Parameters
    ----------
    votes : DataFrame
        Of `votes_of`, or one row a cell, with `diagnosis`.

    Returns
    -------
    DataFrame
        Rows of `votes`.
    """
    return votes[votes["diagnosis"].notna() & votes["diagnosis"].ne("")]


def _aside(n: int, fact: str = "unlabelled", what: str = "labelled cell") -> dict[str, int | str]:
    """Say for a caption that so many smears are judged by nothing."""
    words = f" {n} {'smear' if n == 1 else 'smears'} without a {what} {'is' if n == 1 else 'are'} left out."
    return {fact: n, "aside": words if n else ""}


def _of_diagnoses(votes: pd.DataFrame) -> dict[str, int | str]:
    """The facts of verdicts that are compared with diagnoses: which are left out, and which two count as one."""
    merged = " AL non-APL counts as correct for AML and ALL: there is no module 2."
    aside = _aside(len(votes) - len(judged(votes)), "undiagnosed", "diagnosis")
    return aside | {"merged": merged if votes["expected"].eq(NON_APL).any() else ""}


def figure_4(
    votes: pd.DataFrame | Unavailable, *, printed: bool = True, threshold: Interval | None = None
) -> Result | Unavailable:
    """Analyse the multiclass ROC over smears by their shares of cells, and the best threshold (section 3.3, Figure 4).

    Parameters
    ----------
    votes : DataFrame or Unavailable
        Of `votes_of` on training smears.
    printed : bool
        The values stand beside the paper's numbers, which are of smears that module 1 was fitted on. False for
        cross-fitted votes: their keys are `roc.cross_fitted.*` and `threshold.cross_fitted`.
    threshold : Interval, optional
        Of the threshold over patients, in [0, 1]; the range of equally best thresholds is no interval.

    Returns
    -------
    Result or Unavailable
        Frame: `class`, `auc`, and the columns of `Interval.columns`, in [0, 1]. Values: the average AUC, Hand and
        Till's M, the AUC of each class, the threshold (middle of the equally best). Facts: `roc` (MulticlassRoc), `auc`
        (average, in [0, 1]) and its interval `ci`, `hand_till` and `hand_till_ci`, `low`, `high` (%, range of equally
        best thresholds), `patients`, `n` (smears), `unlabelled` and `aside`, `inside` (`inside` or `outside`: where the
        paper's 50% lies) of what `range` says: the interval of the threshold, else the equally best ones. Unavailable
        where the smears are of one class.
    """
    if isinstance(votes, Unavailable):
        return votes
    if votes["reference"].nunique() < 2:
        return Unavailable("the training smears are all of one class, or none has a label")
    facts: dict[str, Any] = {**_aside(int(votes["reference"].isna().sum()))}
    votes = votes[votes["reference"].notna()].reset_index(drop=True)
    reference, analysis = votes["reference"], roc.multiclass_roc(votes["reference"], shares_of(votes))
    low, high = analysis.threshold
    shares = shares_of(votes)
    average, pairs = (
        intervals.jackknife(
            votes,
            lambda left, of=of: of(left["reference"], shares_of(left)),  # type: ignore[misc]
            groups=reference,
            without=partial(without, reference, shares),
        )
        for of, without in ((roc.average_auc, roc.average_auc_without), (roc.hand_till, roc.hand_till_without))
    )
    of_class = {name: auc(reference.eq(name), votes[f"share_{name}"], votes) for name in analysis.classes}
    chosen = 50 * (low + high) if threshold is None else replace(threshold, estimate=(low + high) / 2)
    name = "roc" if printed else "roc.cross_fitted"
    ids = ("text.roc.auc", "text.threshold") if printed else (f"{name}.auc", "threshold.cross_fitted")
    values = [Value.of(ids[0], average, None if printed else ""), Value.of(ids[1], chosen, None if printed else "%")]
    more = {"hand_till": pairs} | {f"auc.{one}": measured for one, measured in of_class.items()}
    values += [Value.of(f"{name}.{one}", measured, "") for one, measured in more.items()]
    facts |= {"roc": analysis, "auc": average.estimate, "ci": average.text(3, factor=1)}
    facts |= {"hand_till": pairs.estimate, "hand_till_ci": pairs.text(3, factor=1), "patients": average.n_patients}
    facts |= {"low": 100 * low, "high": 100 * high, "n": len(votes)}
    ends, name = (low, high), "the equally best thresholds"
    if threshold is not None and threshold.given:
        ends, name = (threshold.low, threshold.high), f"the 95% interval over {threshold.n_patients} patients"
    facts["inside"] = "inside" if ends[0] <= 0.5 <= ends[1] else "outside"
    facts["range"] = f"{name}, {100 * ends[0]:.1f}% to {100 * ends[1]:.1f}%"
    rows = [{"class": one, "auc": found.estimate} | found.columns(factor=1) for one, found in of_class.items()]
    return Result(pd.DataFrame(rows), tuple(values), facts)


@if_available
def as_printed(result: Result) -> pd.DataFrame:
    """Write percent of the reference diagnosis with counts in brackets, as Table 9 prints them: `93% (14)`.

    Parameters
    ----------
    result : Result
        Of `table_9a`, `table_9b` or `end_to_end`.

    Returns
    -------
    DataFrame
        Strings, to be shown, and `correct, 95% interval`: `68 to 100% (12 patients)`.
    """
    counts, about = result.facts["counts"], result.frame
    text = classification.percent(counts).map(lambda p: "" if np.isnan(p) else f"{p:.0f}%")
    shown = (text + " (" + counts.astype(str) + ")").rename_axis("reference")
    ends = about["low"].map("{:.0f}".format) + " to " + about["high"].map("{:.0f}%".format)
    people = about["patients"].map(lambda n: f" ({n} patient{'' if n == 1 else 's'})")
    return shown.assign(**{"correct, 95% interval": ends.where(about["low"].notna(), "none") + people})


def _predictions(votes: pd.DataFrame, reference: pd.Series, predicted: pd.Series) -> pd.DataFrame:
    """Smears as `statistics.classification` takes predictions."""
    about = votes[[name for name in ("patient_id", "smear_id", "n_cells", "site") if name in votes]]
    return about.assign(reference=reference, predicted=predicted)


def _confusion_result(
    found: pd.DataFrame, classes: Sequence[str], others: Sequence[str], values: list[Value], more: Mapping[str, Any]
) -> Result:
    """Counts, percentages, and the interval of each row's correct share; classes without a smear get no row."""
    counts = classification.confusion(found["reference"], found["predicted"], classes, others)
    counts = counts[counts.sum(axis=1) > 0]
    parts = [found[found["reference"].eq(name)] for name in counts.index]
    correct = pd.DataFrame([classification.accuracy(part).columns() for part in parts], counts.index)
    about = classification.accuracy(found)
    facts = about.columns() | {"accuracy": 100 * about.estimate, "ci": about.text(), "n": len(found)}
    frame = counts.join(classification.percent(counts).add_suffix(", %")).join(correct).rename_axis("reference")
    return Result(frame, tuple(values), facts | {"counts": counts, **more})


def _predictions_9a(votes: pd.DataFrame) -> pd.DataFrame:
    """The smears with a reference class and module 1's, named as in Table 9A, `UNK` for unknown."""
    votes = votes[votes["reference"].notna()]
    predicted = votes["module_1"].map(SMEAR_CLASSES | {UNKNOWN: "UNK"})
    return _predictions(votes, votes["reference"].map(SMEAR_CLASSES), predicted)


@if_available
def table_9a(votes: pd.DataFrame) -> Result | Unavailable:
    """Count the smears through module 1, as Table 9A.

    Parameters
    ----------
    votes : DataFrame
        Of `votes_of` on testing smears.

    Returns
    -------
    Result or Unavailable
        Frame: counts and percentages (`<predicted>, %`), the columns of `Interval.columns` for the row's correct share
        (%). Facts: `accuracy`, `low`, `high` (%), `patients`, `ci`, `n` (smears), `counts`; `unlabelled` (smears
        without a labelled cell: nothing judges them) and `aside`, which says so. Unavailable where no smear has
        labelled cells, or the rule does not decide by module 1.
    """
    if votes["module_1"].eq("").all():
        return Unavailable("the rule of aggregation does not decide by module 1")
    found, classes = _predictions_9a(votes), list(SMEAR_CLASSES.values())
    if found.empty:
        return Unavailable("no testing smear has labelled cells")
    values = _table_9_values(found, [*classes, "UNK"], "table_09a")
    rates = classification.rate_intervals(found, classes)
    if rates["APL", "sensitivity"].n_patients:
        apl = {rate: rates["APL", rate] for rate in ("specificity", "precision")}
        values += [Value.of(f"text.s4.APL.{rate}", one) for rate, one in apl.items() if one.n_patients]
    return _confusion_result(found, classes, ["UNK"], values, _aside(len(votes) - len(found)))


def _predictions_9b(votes: pd.DataFrame) -> pd.DataFrame:
    """Smears of AML and ALL patients that module 1 predicted as AL non-APL, with module 2's lineage or `UNK`."""
    asked = votes[votes["module_1"].eq("blast") & votes["diagnosis"].isin(["AML", "ALL"])]
    if asked["module_2"].eq("").any():
        raise ValueError("Table 9B needs module 2: these votes were made without it")
    return _predictions(asked, asked["diagnosis"], asked["module_2"].replace(UNKNOWN, "UNK"))


def table_9b(votes: pd.DataFrame | Unavailable, cells: pd.DataFrame) -> Result | Unavailable:
    """Count the smears of non-APL leukaemia through module 2, as Table 9B.

    Parameters
    ----------
    votes : DataFrame or Unavailable
        Of `votes_of` on testing smears.
    cells : DataFrame
        Predictions of all splits, with `eligible`: say whether there is a module 2, and why not.

    Returns
    -------
    Result or Unavailable
        Frame and facts: as `table_9a`, `undiagnosed` (smears that module 2 saw and no diagnosis judges) for
        `unlabelled`. Unavailable without module 2, or where it saw no smear of AML or none of ALL.

    Raises
    ------
    ValueError
        The votes were made without the module 2 that the cells have.
    """
    if isinstance(votes, Unavailable):
        return Unavailable(f"there is no vote of module 2: {votes.reason}")
    if not MODULE_2.predicts(cells[cells["eligible"]]):
        return Unavailable(f"there is no vote of module 2: {MODULE_2.lacking(cells)}")
    found, classes = _predictions_9b(votes), ["AML", "ALL"]
    if set(found["reference"]) != set(classes):
        return Unavailable("no testing smear of AML, or none of ALL, was predicted as non-APL leukaemia")
    values = _table_9_values(found, [*classes, "UNK"], "table_09b")
    rates = classification.rate_intervals(found, classes)
    values += [Value.of(f"text.{name}.{rate}", measured) for (name, rate), measured in rates.items()]
    lymphoid = found[found["reference"].eq("ALL")]
    wrong = Value.of("text.s3_3.ALL_wrong", int(lymphoid["predicted"].ne("ALL").sum()))
    values.append(replace(wrong, **intervals.behind(lymphoid)))
    aside = _of_diagnoses(votes[votes["module_1"].eq("blast")])
    return _confusion_result(found, classes, ["UNK"], values, aside)


def _table_9_values(predictions: pd.DataFrame, names: Sequence[str], table: str) -> list[Value]:
    """Give counts and, since the paper's are of other smears, shares in %; and the overall accuracy."""
    known, values = paper.record().index, []
    for reference, own in predictions.groupby("reference"):
        for name in names:
            id, called = f"{table}.{reference}.{name}", own["predicted"].eq(name)
            values += [replace(Value.of(id, int(called.sum())), **intervals.behind(own))] if id in known else []
            if f"{id}.percent" in known:
                values.append(Value.of(f"{id}.percent", intervals.proportion(called, own)))
    return [*values, Value.of(f"text.{table}.accuracy", classification.accuracy(predictions))]


@if_available
def end_to_end(votes: pd.DataFrame, *, key: str = "end_to_end") -> Result | Unavailable:
    """Count the smears through both modules.

    Parameters
    ----------
    votes : DataFrame
        Of `votes_of`.
    key : str
        Begins the keys of the values.

    Returns
    -------
    Result or Unavailable
        Frame: counts and percentages (`<predicted>, %`), the columns of `Interval.columns` for the row's correct share
        (%); diagnoses and verdicts that occur. Values: `<key>.accuracy`, and `<key>.<diagnosis>` of each that has
        smears. Facts: as `table_9a`, `undiagnosed` for `unlabelled`, and `merged` (says where AML and ALL are one).
        Unavailable where no smear has a diagnosis.
    """
    facts, votes = _of_diagnoses(votes), judged(votes)
    if votes.empty:
        return Unavailable(_UNDIAGNOSED)
    found = _predictions(votes, votes["expected"], votes["verdict"])
    there = [name for name in (*DIAGNOSES, NON_APL) if found["reference"].eq(name).any()]
    others = [name for name in VERDICTS if name not in there and found["predicted"].eq(name).any()]
    parts = {"accuracy": found} | {name: found[found["reference"].eq(name)] for name in there}
    values = [Value.of(f"{key}.{name}", classification.accuracy(part), "%") for name, part in parts.items()]
    return _confusion_result(found, there, others, values, facts)


@if_available
def by_site(votes: pd.DataFrame) -> Result | Unavailable:
    """Count smears with the correct verdict by site and diagnosis.

    Parameters
    ----------
    votes : DataFrame
        Of `votes_of`.

    Returns
    -------
    Result or Unavailable
        Frame: `site`, `diagnosis` (`all` first, where the site has several), `correct`, `unknown`, `smears`, `accuracy`
        (%), the columns of `Interval.columns`. Values: `site.<site>.accuracy` and `site.<site>.<diagnosis>`. Facts:
        `undiagnosed`, `aside`, `merged`, as `end_to_end`. Unavailable where no smear has a diagnosis.
    """
    facts, votes = _of_diagnoses(votes), judged(votes)
    if votes.empty:
        return Unavailable(_UNDIAGNOSED)
    found = _predictions(votes, votes["expected"], votes["verdict"]).assign(diagnosis=votes["diagnosis"])
    rows, values = [], []
    for site, of_site in found.groupby("site"):
        parts = [(str(name), own) for name, own in of_site.groupby("diagnosis")]
        values.append(Value.of(f"site.{site}.accuracy", classification.accuracy(of_site), "%"))
        for name, own in [("all", of_site), *parts] if len(parts) > 1 else parts:
            measured = classification.accuracy(own)
            row = {"site": site, "diagnosis": name, "correct": int(own["predicted"].eq(own["reference"]).sum())}
            row |= {"unknown": int(own["predicted"].eq(UNKNOWN).sum()), "smears": len(own)}
            rows.append(row | {"accuracy": 100 * measured.estimate} | measured.columns())
            values += [Value.of(f"site.{site}.{name}", measured, "%")] if name != "all" else []
    return Result(pd.DataFrame(rows), tuple(values), facts)
