"""Tables of the backbone comparison and the choice of a network, against numbers by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import HOLD_OUT, HOLD_OUT_BY_PATIENT
from alnet_lib.evaluation import backbones

CLASSES = ["lymphocyte", "monocyte", "myeloid_blast"]
PLAN = pd.DataFrame({"train": [1, 1, 1]}, index=CLASSES)
PATIENTS = 10


def _cells(right):
    """Ten patients with a lymphocyte, three with a monocyte beside it; the first `right` patients are all right."""
    cells = pd.DataFrame({"patient_id": [*range(PATIENTS), 0, 4, 9]}).astype(str)
    cells["reference"] = ["lymphocyte"] * PATIENTS + ["monocyte"] * 3
    other = cells["reference"].map({"lymphocyte": "monocyte", "monocyte": "lymphocyte"})
    good = cells["patient_id"].astype(int) < right
    return cells.assign(predicted=cells["reference"].where(good, other)).to_dict("records")


def _accuracy(records):
    return pd.DataFrame(records).eval("reference == predicted").mean() if records else np.nan


def _training(backbone, evaluation, blocks, *, validation=None, testing=None):
    validation, testing = ([] if right is None else _cells(right) for right in (validation, testing))
    return {
        "backbone": backbone, "evaluation": evaluation, "fine_tuned_blocks": blocks, "training_minutes": 2.0,
        "classification_seconds": 3.0, "validation": validation, "testing": testing,
        "validation_accuracy": _accuracy(validation), "testing_accuracy": _accuracy(testing), "notes": "",
    }  # fmt: skip


@pytest.fixture
def rows():
    """One network with all fine-tuned blocks under hold-out and two folds."""
    hold = [_training("vgg16", HOLD_OUT, n, validation=2 + n, testing=8 if n == 5 else None) for n in range(1, 6)]
    folds = [_training("vgg16", f"fold-{fold}", n, testing=n + 2 * fold) for fold in (1, 2) for n in range(1, 6)]
    return pd.DataFrame([*hold, *folds])


@pytest.fixture
def three():
    """Testing, validation by image and validation by patient each have a favourite of their own."""
    found = []
    for name, by_image, by_patient, testing in (("vgg16", 6, 9, 5), ("resnet101", 9, 6, 7), ("densenet121", 7, 7, 10)):
        found.append(_training(name, HOLD_OUT, 5, validation=by_image, testing=testing))
        found.append(_training(name, HOLD_OUT_BY_PATIENT, 5, validation=by_patient))
    return pd.DataFrame(found)


def test_table_3_has_the_papers_rows_and_its_statistics_are_correct(rows):
    result = backbones.table_3(rows)
    assert list(result.frame.index.get_level_values(0).unique()) == list(backbones.TABLE_3_ROWS.values())
    hold, mean, sd = (result.frame.loc[(part, "VGG16")] for part in backbones.TABLE_3_ROWS.values())
    expected = [100 * _accuracy(_cells(right)) for right in (3, 4, 5, 6, 7, 8)]
    assert hold.tolist() == pytest.approx([*expected, 2, 3])
    one, two = (_accuracy(_cells(right)) for right in (5, 7))
    assert mean["last 3"] == pytest.approx(50 * (one + two)) and mean["training minutes"] == 4
    assert sd["last 3"] == pytest.approx(100 * np.std([one, two], ddof=1))
    values = {value.key: value for value in result.values}
    testing = values["table_03.hold_out.vgg16.testing"]
    assert testing.reproduced == pytest.approx(hold["testing"]) and testing.n_patients == PATIENTS
    # Cells of a patient stand and fall together here, so 10 patients must not pass for 13 independent cells.
    wilson = stats.binomtest(10, 13).proportion_ci(method="wilson")
    assert testing.ci_low < 100 * wilson.low and testing.ci_high > 100 * wilson.high
    folds = values["table_03.five_folds.vgg16.last_3"]
    assert folds.reproduced == pytest.approx(mean["last 3"]) and folds.ci_low < folds.reproduced < folds.ci_high
    assert folds.n_patients == PATIENTS and folds.interval.startswith("jackknife")
    times = values["table_03.hold_out.vgg16.training_minutes"]
    assert times.reproduced == 2 and times.ci_low is None


def test_the_caption_of_table_3_says_where_memory_ran_out(rows):
    assert backbones.table_3(rows).facts == {"trainings": 15, "notes": ""}
    rows.loc[[4, 9], "notes"] = "iteration 3: out of memory, from then on 8 images at a time"
    notes = backbones.table_3(rows).facts["notes"]
    assert notes.startswith(" 2 of 15 trainings") and "VGG16, hold-out, Whole: iteration 3: out of memory" in notes


def test_validation_by_patient_adds_nothing_to_table_3(three):
    plain = three[three["evaluation"].eq(HOLD_OUT)]
    pd.testing.assert_frame_equal(backbones.table_3(three).frame, backbones.table_3(plain).frame)


def test_the_network_is_chosen_by_validation_by_patient_and_tested_once(three):
    choice = backbones.selection(three)
    assert (choice.facts["network"], choice.facts["chosen_by"]) == ("VGG16", "validation by patient")
    assert "validation by image chooses ResNet101" in choice.facts["choices"]
    assert "validation by patient chooses VGG16" in choice.facts["choices"]
    table = choice.frame.set_index(["network", "judged on"])
    assert table["chosen"].eq("yes").sum() == 2 and table.loc[("DenseNet121", "testing"), "chosen"] == ""
    assert {"low", "high", "patients", "design_effect", "interval"} <= set(table) and table["patients"].eq(10).all()
    fourth = backbones.table_4(three, PLAN)
    assert fourth.facts["network"] == "VGG16", "DenseNet121 is best in testing, which chooses nothing"
    third = {value.key: value.reproduced for value in backbones.table_3(three).values}
    assert fourth.facts["accuracy"] == pytest.approx(third["table_03.hold_out.vgg16.testing"])
    assert {v.key for v in choice.values} >= {"selection.validation_by_patient.vgg16", "selection.testing.resnet101"}


def test_without_trainings_by_patient_validation_by_image_chooses_and_says_so(three):
    choice = backbones.selection(three[three["evaluation"].eq(HOLD_OUT)])
    assert (choice.facts["network"], choice.facts["chosen_by"]) == ("ResNet101", "validation by image")
    assert choice.facts["choices"].endswith("validation by patient was not trained")


def test_table_4_gives_each_entry_its_interval_over_patients(rows):
    own = backbones.table_4(rows, PLAN)
    assert own.frame.loc["Lymphocytes", "Lymphocytes"] == pytest.approx(80)
    assert own.frame.loc["Myeloid blasts"].isna().all()
    facts = own.facts
    assert facts["accuracy"] == pytest.approx(1000 / 13) and facts["n"] == 13 and facts["patients"] == PATIENTS
    assert facts["most_frequent"] == pytest.approx(1000 / 13) and "over 10 patients" in facts["ci"]
    values = {value.key: value for value in own.values}
    entry, few = values["table_04.lymphocyte.monocyte"], values["table_04.monocyte.monocyte"]
    # One cell a patient: the effective number of patients is that of independent cells.
    exact = stats.binomtest(2, 10).proportion_ci(method="exact")
    assert entry.reproduced == pytest.approx(20)
    assert (entry.ci_low, entry.ci_high) == pytest.approx((100 * exact.low, 100 * exact.high), abs=3)
    assert few.n_patients == 3 and np.isnan(few.ci_low) and few.interval == ""
    assert values["text.table_04.accuracy"].interval


def test_table_12_puts_classical_classifiers_beside_networks(rows):
    classics = pd.DataFrame({"testing": [_cells(9)]}, index=pd.Index(["LDA"], name="method"))
    table = backbones.table_12(rows, classics)
    shown = table.frame.loc["VGG16", ["validation_accuracy", "testing_accuracy"]].tolist()
    assert shown == pytest.approx([100 * _accuracy(_cells(7)), 100 * _accuracy(_cells(8))])
    assert table.frame.loc["LDA", "testing_accuracy"] == pytest.approx(100 * 11 / 13)
    assert table.frame.loc[["VGG16", "LDA"], "patients"].eq(10).all() and "low" in table.frame
    values = {value.key: value for value in table.values}
    assert values["table_12.LDA.accuracy"].reproduced == pytest.approx(100 * 11 / 13)
    assert values["table_12.LDA.accuracy"].n_patients == values["table_12.vgg16.accuracy"].n_patients == 10
    alone = backbones.table_12(rows, Unavailable("no features"))
    assert [value.key for value in alone.values] == ["table_12.vgg16.accuracy"]


def test_no_training_gives_no_table(rows):
    few = Unavailable("the training split has fewer than two of the six classes")
    for nothing in (rows.iloc[:0], Unavailable("other")):
        assert backbones.table_3(nothing) == few and backbones.table_4(nothing, PLAN) == few
        assert backbones.selection(nothing) == few
        assert backbones.table_12(nothing, few).reason.startswith("no network")
    assert backbones.table_4(rows, few) == few
    untested = rows.assign(testing=[[]] * len(rows))
    assert backbones.selection(untested).reason.startswith("no whole network was tested")
