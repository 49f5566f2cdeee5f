"""The backbone comparison as tables: Tables 3, 4 and 12."""

from __future__ import annotations

import pandas as pd

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import HOLD_OUT
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.evaluation import overall
from alnet_lib.experiments import classical
from alnet_lib.experiments.backbone_comparison import WHOLE
from alnet_lib.networks.architectures import title
from alnet_lib.paper import printed
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import classification

TABLE_3_ROWS = {"hold_out": "hold-out", "five_folds": "folds, mean", "five_folds_sd": "folds, standard deviation"}
_COLUMNS = {1: "last_1", 2: "last_2", 3: "last_3", 4: "last_4", 5: "whole"}
_TOO_FEW = "the training split has fewer than two of the six classes"


def whole_network(rows: pd.DataFrame) -> pd.DataFrame:
    """Give the accuracies of the networks of which every block was fine-tuned, under hold-out.

    Parameters
    ----------
    rows : DataFrame
        One row a training, of `experiments.backbone_comparison.collect`.

    Returns
    -------
    DataFrame
        Index backbone; `validation_accuracy` and `testing_accuracy` in %.
    """
    own = _whole(rows).set_index("backbone")
    return 100 * own[["validation_accuracy", "testing_accuracy"]]


def best(rows: pd.DataFrame) -> pd.Series:
    """Choose the whole network with the highest testing accuracy under hold-out.

    Parameters
    ----------
    rows : DataFrame
        One row a training, of `experiments.backbone_comparison.collect`.

    Returns
    -------
    Series
        Its row.
    """
    own = _whole(rows)
    return own.loc[own["testing_accuracy"].idxmax()]


def _whole(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["evaluation"].eq(HOLD_OUT) & rows["fine_tuned_blocks"].eq(WHOLE)]


def table_3(rows: pd.DataFrame | Unavailable) -> Result | Unavailable:
    """Lay out accuracies by number of fine-tuned blocks, in the layout of Table 3.

    Under hold-out the accuracy is that of validation, and testing accuracy and times are the whole network's; under the
    folds it is the mean testing accuracy, with its standard deviation (ddof 1) in rows of its own.

    Parameters
    ----------
    rows : DataFrame or Unavailable
        One row a training, of `experiments.backbone_comparison.collect`.

    Returns
    -------
    Result or Unavailable
        Frame: index evaluation and backbone as printed; accuracies in %, `training minutes`, `classification seconds`.
        Unavailable where no network was trained.
    """
    if isinstance(rows, Unavailable) or rows.empty:
        return Unavailable(_TOO_FEW)
    table = _table_3(rows)
    names = TABLE_3_ROWS | {name: title(name) for name in rows["backbone"].unique()}
    shown = table.rename(index=names).rename(columns=lambda name: name.replace("_", " "))
    return Result(shown, _table_3_values(table, _whole(rows).set_index("backbone")), {"trainings": len(rows)})


def _table_3(rows: pd.DataFrame) -> pd.DataFrame:
    blocks = "fine_tuned_blocks"
    hold = rows[rows["evaluation"].eq(HOLD_OUT)]
    frame = 100 * hold.pivot_table(index="backbone", columns=blocks, values="validation_accuracy")
    whole = hold[hold[blocks].eq(WHOLE)].set_index("backbone")
    frame["testing"] = 100 * whole["testing_accuracy"]
    frame["training_minutes"] = whole["training_minutes"]
    frame["classification_seconds"] = whole["classification_seconds"]
    parts = {"hold_out": frame}
    folds = rows[rows["evaluation"].ne(HOLD_OUT)]
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


def _table_3_values(table: pd.DataFrame, whole: pd.DataFrame) -> tuple[Value, ...]:
    values, known = [], printed.record().index
    for (evaluation, backbone), line in table.iterrows():
        for column, number in line.items():
            id = f"table_03.{evaluation}.{backbone}.{column}"
            if id not in known or pd.isna(number):
                continue
            bounds: tuple[float, float] | tuple[()] = ()
            if evaluation == "hold_out" and column == "testing":
                n = int(whole.loc[backbone, "test_images"])
                bounds = overall.interval(round(number / 100 * n), n)
            values.append(Value.of(id, number, *bounds))
    return tuple(values)


def table_4(rows: pd.DataFrame | Unavailable, plan: pd.DataFrame | Unavailable) -> Result | Unavailable:
    """Give the confusion matrix of the best single network on the testing images of six classes, as Table 4.

    Parameters
    ----------
    rows : DataFrame or Unavailable
        One row a training, of `experiments.backbone_comparison.collect`.
    plan : DataFrame or Unavailable
        Index the classes trained on, of `experiments.datasets.planned`.

    Returns
    -------
    Result or Unavailable
        Frame: % of the reference class. Facts: `network`, `accuracy`, `low`, `high`, `most_frequent` (%, what
        predicting the largest class always would reach), `paper` (%, the printed testing accuracy of VGG16), `n`,
        `counts`.
    """
    if isinstance(rows, Unavailable) or isinstance(plan, Unavailable) or rows.empty:
        return Unavailable(_TOO_FEW)
    if _whole(rows)["testing_accuracy"].isna().all():
        return Unavailable("no whole network was tested: no testing image has a class, or none was trained whole")
    chosen = best(rows)
    counts = classification.confusion(chosen["reference"], chosen["predicted"], list(plan.index))
    percent, about = classification.percent(counts), overall.accuracy(counts)
    known = printed.record().index
    values = [
        Value.of(id, percent.loc[reference, predicted])
        for reference in percent.index
        for predicted in percent.columns
        if (id := f"table_04.{reference}.{predicted}") in known
    ]
    values.append(Value.of("text.table_04.accuracy", about["accuracy"], about["low"], about["high"]))
    facts = about | {
        "network": title(chosen["backbone"]),
        "most_frequent": 100 * counts.sum(axis=1).max() / counts.to_numpy().sum(),
        "paper": printed.published("table_03.hold_out.vgg16.testing"),
        "counts": counts,
    }
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
        Frame: index network or classifier; `accuracy, paper`, `validation_accuracy`, `testing_accuracy` in %.
    """
    if isinstance(rows, Unavailable) or rows.empty:
        return Unavailable("no network could be trained for the six classes")
    paper, deep = printed.table("12")["accuracy"], whole_network(rows)
    frame = pd.DataFrame({"accuracy, paper": paper}).join(deep)
    known = printed.record().index
    values: list[Value] = [
        Value.of(id, deep.loc[name, "validation_accuracy"])
        for name in deep.index
        if (id := f"table_12.{name}.accuracy") in known
    ]
    if not isinstance(classics, Unavailable):
        accuracies = classics["accuracy"].to_frame("testing_accuracy")
        frame = frame.combine_first(accuracies).loc[paper.index]
        values += classical.values(classics)
    return Result(frame.set_axis([title(name) for name in frame.index], axis=0), tuple(values))
