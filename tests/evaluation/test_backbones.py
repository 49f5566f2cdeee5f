"""Tables of the backbone comparison, against numbers by hand."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.evaluation import backbones

PLAN = pd.DataFrame({"train": [1, 1, 1]}, index=["lymphocyte", "monocyte", "myeloid_blast"])


@pytest.fixture
def rows():
    """One network with all fine-tuned blocks under hold-out and two folds."""
    return pd.DataFrame(
        {
            "backbone": "vgg16", "evaluation": evaluation, "fine_tuned_blocks": blocks, "test_images": 200,
            "validation_accuracy": 0.5 + blocks / 100, "testing_accuracy": testing + blocks / 100,
            "training_minutes": 2.0, "classification_seconds": 3.0,
            "reference": ["lymphocyte"] * 3 + ["monocyte"], "predicted": ["lymphocyte"] * 2 + ["monocyte"] * 2,
        }
        for evaluation, testing in (("hold-out", 0.4), ("fold-1", 0.3), ("fold-2", 0.5))
        for blocks in (1, 2, 3, 4, 5)
    )  # fmt: skip


def test_table_3_has_the_papers_rows_and_its_statistics_are_correct(rows):
    result = backbones.table_3(rows)
    hold, mean, sd = (result.frame.loc[(part, "VGG16")] for part in backbones.TABLE_3_ROWS.values())
    assert hold.tolist() == pytest.approx([51, 52, 53, 54, 55, 45, 2, 3])
    assert mean[["last 1", "whole"]].tolist() == pytest.approx([41, 45]) and mean["training minutes"] == 4
    assert sd["last 3"] == pytest.approx(100 * np.std([0.33, 0.53], ddof=1))
    values = {value.key: value for value in result.values}
    assert values["table_03.five_folds.vgg16.last_1"].reproduced == pytest.approx(41)
    testing = values["table_03.hold_out.vgg16.testing"]
    assert testing.ci_low == pytest.approx(38.3, abs=0.1) and testing.ci_high == pytest.approx(51.9, abs=0.1)


def test_table_4_is_of_the_best_whole_network(rows):
    better = rows.assign(backbone="resnet101", testing_accuracy=0.99, predicted=rows["reference"])
    result = backbones.table_4(pd.concat([rows, better], ignore_index=True), PLAN)
    assert (result.facts["network"], result.facts["accuracy"], result.facts["n"]) == ("ResNet101", 100, 4)
    assert result.facts["most_frequent"] == 75
    own = backbones.table_4(rows, PLAN)
    assert own.frame.loc["Lymphocytes", "Lymphocytes"] == pytest.approx(200 / 3)
    assert own.facts["accuracy"] == 75 and own.frame.loc["Myeloid blasts"].isna().all()
    values = {value.key: value.reproduced for value in own.values}
    assert values["table_04.lymphocyte.monocyte"] == pytest.approx(100 / 3) and values["text.table_04.accuracy"] == 75


def test_table_12_puts_classical_classifiers_beside_networks(rows):
    classics = pd.DataFrame(
        {
            "accuracy": [80.0], "low": [70.0], "high": [90.0],
            "reference": [["lymphocyte", "myeloid_blast"]], "predicted": [["lymphocyte", "lymphocyte"]],
        },
        index=pd.Index(["LDA"], name="method"),
    )  # fmt: skip
    table = backbones.table_12(rows, classics)
    assert table.frame.loc["VGG16", ["validation_accuracy", "testing_accuracy"]].tolist() == pytest.approx([55, 45])
    assert table.frame.loc["LDA", "testing_accuracy"] == 80
    assert {v.key: v.reproduced for v in table.values}["table_12.LDA.accuracy"] == 80
    alone = backbones.table_12(rows, Unavailable("no features"))
    assert [value.key for value in alone.values] == ["table_12.vgg16.accuracy"]


def test_no_training_gives_no_table(rows):
    few = Unavailable("the training split has fewer than two of the six classes")
    for nothing in (rows.iloc[:0], Unavailable("other")):
        assert backbones.table_3(nothing) == few and backbones.table_4(nothing, PLAN) == few
        assert backbones.table_12(nothing, few).reason.startswith("no network")
    assert backbones.table_4(rows, few) == few
