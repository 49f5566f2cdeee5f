"""ALNet evaluated on smears: the vote, Figure 4, Tables 9A and 9B, verdicts from end to end and by site."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.core.vocabulary import DIAGNOSES, MODULE_1_CLASSES
from alnet_lib.diagnosis import aggregation
from alnet_lib.diagnosis.aggregation import NON_APL, UNKNOWN, AggregationRule
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2
from alnet_lib.evaluation import overall
from alnet_lib.paper import printed
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import classification, roc

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
    own = cells[cells["eligible"]]
    own = own[own["split"].eq(split)]
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
        Class name by smear_id.
    """
    return pd.crosstab(cells["smear_id"], MODULE_1.reference(cells)).idxmax(axis=1)


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
        One row a smear, as `diagnosis.aggregation.vote`, and `reference` (of `smear_reference`).
    """
    votes = aggregation.vote(cells, rule)
    return votes.assign(reference=votes["smear_id"].map(smear_reference(cells)))


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


def figure_4(votes: pd.DataFrame | Unavailable) -> Result | Unavailable:
    """Analyse the multiclass ROC over smears by their shares of cells, and the best threshold (section 3.3, Figure 4).

    Parameters
    ----------
    votes : DataFrame or Unavailable
        Of `votes_of` on training smears.

    Returns
    -------
    Result or Unavailable
        Frame: `class`, `auc`. Facts: `roc` (MulticlassRoc), `auc` (average, in [0, 1]), `low`, `high` (%, interval of
        best thresholds), `n` (smears), `inside` (`inside` or `outside`: where the paper's 50% lies). Unavailable where
        the smears are of one class.
    """
    if isinstance(votes, Unavailable) or votes["reference"].nunique() < 2:
        return Unavailable("the training smears are all of one class, or there is none")
    votes = votes[votes["reference"].notna()].reset_index(drop=True)
    analysis = roc.multiclass_roc(votes["reference"], shares_of(votes))
    low, high = analysis.threshold
    values = (
        Value.of("text.roc.auc", analysis.average.auc),
        Value.of("text.threshold", 50 * (low + high), 100 * low, 100 * high),
        Value("roc.hand_till", "", reproduced=analysis.hand_till),
    )
    facts = {"roc": analysis, "auc": analysis.average.auc, "low": 100 * low, "high": 100 * high, "n": len(votes)}
    facts["inside"] = "inside" if low <= 0.5 <= high else "outside"
    frame = pd.DataFrame([(name, curve.auc) for name, curve in analysis.classes.items()], columns=["class", "auc"])
    return Result(frame, values, facts)


def with_percent(counts: pd.DataFrame) -> pd.DataFrame:
    """Put the percentages of the reference diagnosis beside the counts.

    Parameters
    ----------
    counts : DataFrame
        Confusion matrix of smears.

    Returns
    -------
    DataFrame
        Columns `<predicted>` (counts), then `<predicted>, %` (NaN in rows without smears).
    """
    percent = classification.percent(counts).add_suffix(", %")
    return counts.join(percent).rename_axis("reference")


@if_available
def as_printed(counts: pd.DataFrame | Result) -> pd.DataFrame:
    """Write percent of the reference diagnosis with counts in brackets, as Table 9 prints them: `93% (14)`.

    Parameters
    ----------
    counts : DataFrame or Result
        Confusion matrix of smears; a Result has it as the fact `counts`.

    Returns
    -------
    DataFrame
        Strings, to be shown.
    """
    counts = counts.facts["counts"] if isinstance(counts, Result) else counts
    text = classification.percent(counts).map(lambda p: "" if np.isnan(p) else f"{p:.0f}%")
    return (text + " (" + counts.astype(str) + ")").rename_axis("reference")


def _confusion_result(counts: pd.DataFrame, values: list[Value]) -> Result:
    facts: dict[str, Any] = overall.accuracy(counts) | {"counts": counts}
    return Result(with_percent(counts), tuple(values), facts)


def counts_9a(votes: pd.DataFrame) -> pd.DataFrame:
    """Count smears, reference diagnosis against module 1's.

    Parameters
    ----------
    votes : DataFrame
        Of `votes_of`.

    Returns
    -------
    DataFrame
        Rows and columns named as in Table 9A, with a column `UNK` for unknown. Smears of unlabelled cells have no
        reference class and are left out.
    """
    votes = votes[votes["reference"].notna()]
    reference = votes["reference"].map(SMEAR_CLASSES)
    predicted = votes["module_1"].map(SMEAR_CLASSES | {UNKNOWN: "UNK"})
    return classification.confusion(reference, predicted, list(SMEAR_CLASSES.values()), ["UNK"])


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
        Frame: of `with_percent`, diagnoses that have smears. Facts: `accuracy`, `low`, `high` (%), `n`, `counts`.
        Unavailable where no smear has labelled cells, or the rule does not decide by module 1.
    """
    if votes["module_1"].eq("").all():
        return Unavailable("the rule of aggregation does not decide by module 1")
    counts = counts_9a(votes)
    counts = counts[counts.sum(axis=1) > 0]
    if counts.empty:
        return Unavailable("no testing smear has labelled cells")
    rates = classification.rates(counts)
    apl = rates[rates["class"].eq("APL") & rates["rate"].isin(["specificity", "precision"])].dropna(subset="value")
    values = [
        Value.of(f"text.s4.APL.{row.rate}", 100 * row.value, 100 * row.low, 100 * row.high) for row in apl.itertuples()
    ]
    return _confusion_result(counts, [*_table_9_values(counts, "table_09a"), *values])


def counts_9b(votes: pd.DataFrame) -> pd.DataFrame:
    """Count smears of AML and ALL patients that module 1 predicted as AL non-APL, against module 2's lineage.

    Parameters
    ----------
    votes : DataFrame
        Of `votes_of`.

    Returns
    -------
    DataFrame
        Rows AML and ALL; columns AML, ALL, `UNK`.

    Raises
    ------
    ValueError
        There was no module 2.
    """
    asked = votes[votes["module_1"].eq("blast") & votes["diagnosis"].isin(["AML", "ALL"])]
    if asked["module_2"].eq("").any():
        raise ValueError("Table 9B needs module 2: these votes were made without it")
    lineage = asked["module_2"].replace(UNKNOWN, "UNK")
    return classification.confusion(asked["diagnosis"], lineage, ["AML", "ALL"], ["UNK"])


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
        Frame: of `with_percent`. Facts: `accuracy`, `low`, `high` (%), `n`, `counts`. Unavailable without module 2, or
        where it saw no smear of AML or none of ALL.
    """
    if isinstance(votes, Unavailable):
        return Unavailable(f"there is no vote of module 2: {votes.reason}")
    if not MODULE_2.predicts(cells[cells["eligible"]]):
        return Unavailable(f"there is no vote of module 2: {MODULE_2.lacking(cells)}")
    counts = counts_9b(votes)
    if not (counts.sum(axis=1) > 0).all():
        return Unavailable("no testing smear of AML, or none of ALL, was predicted as non-APL leukaemia")
    values = [
        Value.of(f"text.{row['class']}.{row['rate']}", *(100 * row[column] for column in ("value", "low", "high")))
        for row in classification.rates(counts).to_dict("records")
    ]
    values.append(Value.of("text.s3_3.ALL_wrong", counts.loc["ALL"].sum() - counts.loc["ALL", "ALL"]))
    return _confusion_result(counts, [*_table_9_values(counts, "table_09b"), *values])


def _table_9_values(counts: pd.DataFrame, table: str) -> list[Value]:
    """Give counts and, since the paper's are of other smears, shares in %; and the overall accuracy."""
    known, values = printed.record().index, []
    for reference in counts.index[counts.sum(axis=1) > 0]:
        n = int(counts.loc[reference].sum())
        for predicted in counts.columns:
            id, count = f"{table}.{reference}.{predicted}", int(counts.loc[reference, predicted])
            values += [Value.of(id, count)] if id in known else []
            if f"{id}.percent" in known:
                values.append(Value.of(f"{id}.percent", 100 * count / n, *overall.interval(count, n)))
    about = overall.accuracy(counts)
    return [*values, Value.of(f"text.{table}.accuracy", about["accuracy"], about["low"], about["high"])]


def verdict_counts(votes: pd.DataFrame) -> pd.DataFrame:
    """Count smears, expected verdict against the one given, `unknown` as a further column.

    Parameters
    ----------
    votes : DataFrame
        Of `votes_of`.

    Returns
    -------
    DataFrame
        Rows the diagnoses and `AL non-APL` (expected where there is no module 2).
    """
    return classification.confusion(votes["expected"], votes["verdict"], [*DIAGNOSES, NON_APL], [UNKNOWN])


@if_available
def end_to_end(votes: pd.DataFrame) -> Result:
    """Count the smears through both modules.

    Parameters
    ----------
    votes : DataFrame
        Of `votes_of` on testing smears.

    Returns
    -------
    Result
        Frame: of `with_percent`, diagnoses and verdicts that occur. Values: `end_to_end.accuracy`. Facts: `accuracy`,
        `low`, `high` (%), `n`, `counts`.
    """
    counts = verdict_counts(votes)
    there = counts.index[counts.sum(axis=1) > 0]
    counts = counts.loc[there, (counts.sum(axis=0) > 0) | counts.columns.isin(there)]
    about = overall.accuracy(counts)
    value = Value("end_to_end.accuracy", "%", None, None, about["accuracy"], about["low"], about["high"])
    return _confusion_result(counts, [value])


@if_available
def by_site(votes: pd.DataFrame) -> Result:
    """Count smears with the correct verdict by site and diagnosis.

    Parameters
    ----------
    votes : DataFrame
        Of `votes_of`.

    Returns
    -------
    Result
        Frame: `site`, `diagnosis`, `correct`, `unknown`, `smears`, `accuracy`, `low`, `high` (%, 95% Wilson).
    """
    judged = votes.assign(correct=votes["verdict"].eq(votes["expected"]), unknown=votes["verdict"].eq(UNKNOWN))
    table = judged.groupby(["site", "diagnosis"], as_index=False).agg(
        correct=("correct", "sum"), unknown=("unknown", "sum"), smears=("correct", "size")
    )
    bounds = [overall.interval(row.correct, row.smears) for row in table.itertuples()]
    table["accuracy"] = 100 * table["correct"] / table["smears"]
    return Result(table.assign(low=[low for low, _ in bounds], high=[high for _, high in bounds]))
