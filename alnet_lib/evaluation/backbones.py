"""The backbone comparison as tables: Tables 3, 4 and 12, and how Table 4's network is chosen."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import HOLD_OUT, HOLD_OUT_BY_PATIENT
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.experiments import classical
from alnet_lib.experiments.backbone_comparison import BLOCK_NAMES, WHOLE
from alnet_lib.networks.architectures import in_the_paper, stand_ins, title
from alnet_lib.paper import printed
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import classification
from alnet_lib.statistics.intervals import Interval, jackknife, proportion

TABLE_3_ROWS = {"hold_out": "hold-out", "five_folds": "folds, mean", "five_folds_sd": "folds, standard deviation"}
_COLUMNS = {1: "last_1", 2: "last_2", 3: "last_3", 4: "last_4", 5: "whole"}
_TOO_FEW = "the training split has fewer than two of the six classes"
_UNTESTED = "no whole network was tested: no testing image has a class, or none was trained whole"

BY_IMAGE, BY_PATIENT, TESTING = "validation by image", "validation by patient", "testing"
_JUDGED_ON = {
    BY_IMAGE: (HOLD_OUT, "validation"),
    BY_PATIENT: (HOLD_OUT_BY_PATIENT, "validation"),
    TESTING: (HOLD_OUT, "testing"),
}


def selection(rows: pd.DataFrame | Unavailable) -> Result | Unavailable:
    """Choose a whole network by its validation accuracy, by image as printed and by patient, and give its test.

    The paper validates on images whose smears and patients were also trained on. Where the profile asks for it every
    whole network was trained once more with the patients of the validation images kept apart, and that accuracy
    chooses; else that by image does. Testing images choose nothing: the chosen backbone's test is that of its training
    under hold-out, as in Table 3.

    Parameters
    ----------
    rows : DataFrame or Unavailable
        One row a training, of `experiments.backbone_comparison.collect`.

    Returns
    -------
    Result or Unavailable
        Frame: a row a network and set of images: `network`, `judged on`, `accuracy` (%), the columns of
        `Interval.columns`, `chosen` (`yes` where this set chooses this network). Facts: `backbone` (the chosen one),
        `network`, `chosen_by`, `choices` (what each way chooses, in words). Unavailable where no whole network was
        tested.
    """
    if isinstance(rows, Unavailable) or rows.empty:
        return Unavailable(_TOO_FEW)
    found = {
        (judged_on, backbone): classification.accuracy(_cells(row[split]))
        for judged_on, (evaluation, split) in _JUDGED_ON.items()
        for backbone, row in _whole(rows, evaluation).iterrows()
        if len(row[split])
    }
    candidates = [name for judged_on, name in found if judged_on == TESTING]
    best = {}
    for way in (BY_IMAGE, BY_PATIENT):
        judged = {name: found[way, name].estimate for name in candidates if (way, name) in found}
        if judged:
            best[way] = max(judged, key=lambda name: judged[name])
    if not best:
        return Unavailable(_UNTESTED)
    chosen_by = BY_PATIENT if BY_PATIENT in best else BY_IMAGE
    lines = [
        {"network": title(name), "judged on": judged_on, "accuracy": 100 * accuracy.estimate}
        | accuracy.columns()
        | {"chosen": "yes" if best.get(judged_on) == name else ""}
        for (judged_on, name), accuracy in found.items()
    ]
    values = [Value.of(f"selection.{on.replace(' ', '_')}.{name}", found[on, name], "%") for on, name in found]
    choices = "; ".join(f"{way} chooses {title(name)}" for way, name in best.items())
    if BY_PATIENT not in best:
        choices += "; validation by patient was not trained"
    backbone = best[chosen_by]
    facts = {"backbone": backbone, "network": title(backbone), "chosen_by": chosen_by, "choices": choices}
    return Result(pd.DataFrame(lines), tuple(values), facts)


def _cells(records: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(list(records))


def _whole(rows: pd.DataFrame, evaluation: str = HOLD_OUT) -> pd.DataFrame:
    own = rows[rows["evaluation"].eq(evaluation) & rows["fine_tuned_blocks"].eq(WHOLE)]
    return own.set_index("backbone")


def table_3(rows: pd.DataFrame | Unavailable) -> Result | Unavailable:
    """Lay out accuracies by number of fine-tuned blocks, in the layout of Table 3.

    Under hold-out the accuracy is that of validation, and testing accuracy and times are the whole network's; under the
    folds it is the mean testing accuracy, with its standard deviation (ddof 1) in rows of its own. Every accuracy has
    its interval over patients among the values.

    Parameters
    ----------
    rows : DataFrame or Unavailable
        One row a training, of `experiments.backbone_comparison.collect`.

    Returns
    -------
    Result or Unavailable
        Frame: index evaluation and backbone as printed; accuracies in %, `training minutes`, `classification seconds`.
        Facts: `trainings`, and `notes` on miniatures and on memory, empty where there is nothing to tell. Unavailable
        where no network was trained.
    """
    if isinstance(rows, Unavailable) or rows.empty:
        return Unavailable(_TOO_FEW)
    table = _table_3(rows)
    names = TABLE_3_ROWS | {name: title(name) for name in rows["backbone"].unique()}
    shown = table.rename(index=names).rename(columns=lambda name: name.replace("_", " "))
    facts = {"trainings": len(rows), "notes": stand_ins(rows["backbone"]) + _noted(rows)}
    return Result(shown, _table_3_values(table, _intervals(rows)), facts)


def _noted(rows: pd.DataFrame) -> str:
    own = rows[rows["notes"].ne("")]
    if own.empty:
        return ""
    first = own.iloc[0]
    which = f"{title(first['backbone'])}, {first['evaluation']}, {BLOCK_NAMES[first['fine_tuned_blocks']]}"
    return f" {len(own)} of {len(rows)} trainings had to do with less memory, e.g. {which}: {first['notes']}."


def _table_3(rows: pd.DataFrame) -> pd.DataFrame:
    blocks = "fine_tuned_blocks"
    hold = rows[rows["evaluation"].eq(HOLD_OUT)]
    frame = 100 * hold.pivot_table(index="backbone", columns=blocks, values="validation_accuracy")
    whole = _whole(rows)
    frame["testing"] = 100 * whole["testing_accuracy"]
    frame["training_minutes"] = whole["training_minutes"]
    frame["classification_seconds"] = whole["classification_seconds"]
    parts = {"hold_out": frame}
    folds = _folds(rows)
    if len(folds):
        grouped = folds.groupby(["backbone", blocks])["testing_accuracy"]
        parts["five_folds"] = 100 * grouped.mean().reset_index().pivot_table(
            index="backbone", columns=blocks, values="testing_accuracy"
        )
        times = folds[folds[blocks].eq(WHOLE)].groupby("backbone")
        for column in ("training_minutes", "classification_seconds"):
            parts["five_folds"][column] = times[column].sum()
        if len(set(folds["evaluation"])) > 1:
            parts["five_folds_sd"] = 100 * grouped.std().reset_index().pivot_table(
                index="backbone", columns=blocks, values="testing_accuracy"
            )
    table = pd.concat(parts, names=["evaluation", "backbone"]).rename(columns=_COLUMNS)
    return table.reindex(columns=[*_COLUMNS.values(), "testing", "training_minutes", "classification_seconds"])


def _folds(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[~rows["evaluation"].isin([HOLD_OUT, HOLD_OUT_BY_PATIENT])]


def _intervals(rows: pd.DataFrame) -> dict[tuple[str, str, str], Interval]:
    """(Evaluation, backbone, column) of Table 3 to the accuracy with its interval over patients."""
    found = {}
    for row in rows[rows["evaluation"].eq(HOLD_OUT)].to_dict("records"):
        for split, column in (("validation", _COLUMNS[row["fine_tuned_blocks"]]), ("testing", "testing")):
            if len(row[split]):
                found["hold_out", row["backbone"], column] = classification.accuracy(_cells(row[split]))
    for (backbone, blocks), own in _folds(rows).groupby(["backbone", "fine_tuned_blocks"]):
        cells = pd.concat({row["evaluation"]: _cells(row["testing"]) for row in own.to_dict("records")}, names=["fold"])
        judged = cells.assign(correct=cells["predicted"].eq(cells["reference"]).astype(float)).reset_index("fold")
        # The mean over the folds, not over their images, as printed.
        found["five_folds", backbone, _COLUMNS[blocks]] = jackknife(
            judged.reset_index(drop=True), lambda left: float(left.groupby("fold")["correct"].mean().mean())
        )
    return found


def _table_3_values(table: pd.DataFrame, intervals: Mapping[tuple[str, str, str], Interval]) -> tuple[Value, ...]:
    known = printed.record().index
    return tuple(
        Value.of(id, intervals.get((*line, column), number))
        for line, numbers in table.iterrows()
        for column, number in numbers.items()
        if (id := f"table_03.{line[0]}.{in_the_paper(line[1])}.{column}") in known and not pd.isna(number)
    )


def table_4(rows: pd.DataFrame | Unavailable, plan: pd.DataFrame | Unavailable) -> Result | Unavailable:
    """Give the confusion matrix of the chosen network on the testing images of six classes, as Table 4.

    Validation chooses the network (`selection`); the paper chose its own by testing accuracy and speed.

    Parameters
    ----------
    rows : DataFrame or Unavailable
        One row a training, of `experiments.backbone_comparison.collect`.
    plan : DataFrame or Unavailable
        Index the classes trained on, of `experiments.datasets.planned`.

    Returns
    -------
    Result or Unavailable
        Frame: % of the reference class. Values: every entry with its interval over patients. Facts: those of
        `selection`; `accuracy`, `low`, `high` (%), `ci`, `n`, `patients`; `most_frequent` (%, what predicting the
        largest class always would reach); `paper` (%, the printed testing accuracy of VGG16); `counts`.
    """
    if isinstance(plan, Unavailable):
        return Unavailable(_TOO_FEW)
    if isinstance(choice := selection(rows), Unavailable):
        return choice
    cells, classes = _cells(_whole(rows).loc[choice.facts["backbone"], "testing"]), list(plan.index)
    counts = classification.confusion(cells["reference"], cells["predicted"], classes)
    percent, accuracy = classification.percent(counts), classification.accuracy(cells)
    known = printed.record().index
    values = []
    for reference, own in cells.groupby("reference"):
        for predicted in classes:
            if (id := f"table_04.{reference}.{predicted}") in known:
                values.append(Value.of(id, proportion(own["predicted"].eq(predicted), own)))
    values.append(Value.of("text.table_04.accuracy", accuracy))
    facts = dict(choice.facts) | {
        "accuracy": 100 * accuracy.estimate, "low": 100 * accuracy.low, "high": 100 * accuracy.high,
        "ci": accuracy.text(), "n": len(cells), "patients": accuracy.n_patients,
        "most_frequent": 100 * counts.sum(axis=1).max() / counts.to_numpy().sum(),
        "paper": printed.published("table_03.hold_out.vgg16.testing"), "counts": counts,
    }  # fmt: skip
    return Result(percent.rename(index=LABELS, columns=LABELS), tuple(values), facts)


def table_12(rows: pd.DataFrame | Unavailable, classics: pd.DataFrame | Unavailable) -> Result | Unavailable:
    """Put deep networks beside classical classifiers, as Table 12.

    Parameters
    ----------
    rows : DataFrame or Unavailable
        One row a training, of `experiments.backbone_comparison.collect`.
    classics : DataFrame or Unavailable
        Of `experiments.classical.compare`: index method, `accuracy` (%). Where it is unavailable the table has the
        networks only.

    Returns
    -------
    Result or Unavailable
        Frame: index network or classifier; `accuracy, paper`, `validation_accuracy` (by image, as printed),
        `testing_accuracy` in %, and the columns of `Interval.columns` for the latter. Facts: `notes` on miniatures.
    """
    if isinstance(rows, Unavailable) or rows.empty:
        return Unavailable("no network could be trained for the six classes")
    paper, known = printed.table("12")["accuracy"], printed.record().index
    lines: dict[str, dict[str, object]] = {}
    values: list[Value] = []
    titles: dict[str, str] = {}
    for backbone, row in _whole(rows).iterrows():
        name = in_the_paper(backbone)
        titles[name] = title(backbone)
        lines[name] = {"validation_accuracy": 100 * row["validation_accuracy"]}
        if len(row["testing"]):
            lines[name] |= _line(classification.accuracy(_cells(row["testing"])))
        if len(row["validation"]) and (id := f"table_12.{name}.accuracy") in known:
            values.append(Value.of(id, classification.accuracy(_cells(row["validation"]))))
    own = classical.accuracies(classics)
    if not isinstance(own, Unavailable):
        lines |= {name: _line(accuracy) for name, accuracy in own.items()}
        values += [Value.of(f"table_12.{name}.accuracy", accuracy) for name, accuracy in own.items()]
    frame = pd.DataFrame({"accuracy, paper": paper}).join(pd.DataFrame.from_dict(lines, orient="index"))
    shown = frame.set_axis([titles.get(name) or title(name) for name in frame.index], axis=0)
    return Result(shown, tuple(values), {"notes": stand_ins(rows["backbone"])})


def _line(accuracy: Interval) -> dict[str, object]:
    return {"testing_accuracy": 100 * accuracy.estimate} | accuracy.columns()
