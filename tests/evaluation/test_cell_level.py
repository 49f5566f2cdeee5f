"""Modules evaluated on cells, against counts and intervals by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import Profile
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2
from alnet_lib.evaluation import cell_level
from alnet_lib.experiments import datasets
from alnet_lib.experiments.datasets import CellImages
from alnet_lib.statistics import intervals


def cells_of(rows, **others):
    """Testing cells of rows (patient, source, cell type, class predicted by module 1, by module 2 or None)."""
    frame = pd.DataFrame(rows, columns=["patient_id", "source", "cell_type", "first", "second"]).assign(**others)
    frame["image_id"] = [f"i{n}" for n in range(len(frame))]
    frame["smear_id"] = frame["patient_id"] + "/1"
    for spec, column in ((MODULE_1, "first"), (MODULE_2, "second")):
        if frame[column].notna().any():
            for name in spec.classes:
                frame[f"{spec.prefix}_{name}"] = frame[column].eq(name).astype(float)
    return frame if "split" in frame else frame.assign(split="test")


def judged(rows, spec=MODULE_1):
    return cell_level.judge(cells_of(rows), spec)


LYMPHOCYTES = [("p1", "a", "lymphocyte", "lymphocyte", None)] * 3

RIGHT, WRONG = ("lymphocyte", "lymphocyte", None), ("lymphocyte", "monocyte", None)
SIX_PATIENTS = [
    (f"p{i}", "a", *(RIGHT if cell < right else WRONG))
    for i, right in enumerate([4, 4, 4, 4, 4, 0])
    for cell in range(4)
]
"""Six patients of four lymphocytes: five patients all correct, one all wrong. 20 of 24 cells."""


def by_hand():
    """Korn and Graubard's interval of SIX_PATIENTS, in %.

    The five patients have residuals 4 - 4 p = 2/3, the sixth -4 p = -10/3: squares sum to 40/3. The variance is
    6/5 * 40/3 / 24^2 = 1/36, that of 24 independent cells (5/36)/24, so the design effect is 24/5 = 4.8 and the
    effective number (5/36) / (1/36) = 5, times (t(23)/t(5))^2 for few patients.
    """
    effective = 5 * (stats.t.ppf(0.975, 23) / stats.t.ppf(0.975, 5)) ** 2
    good = 5 / 6 * effective
    return 100 * stats.beta.ppf(0.025, good, effective - good + 1), 100 * stats.beta.ppf(
        0.975, good + 1, effective - good
    )


def test_accuracy_has_an_interval_over_patients_and_not_over_cells():
    one = judged(SIX_PATIENTS)
    facts = cell_level.table_7(one).facts
    assert facts["accuracy"] == pytest.approx(100 * 20 / 24) and (facts["n"], facts["patients"]) == (24, 6)
    assert (facts["low"], facts["high"]) == pytest.approx(by_hand())
    # Over 24 independent cells it would be 64 to 93%; the patient who is all wrong tells that it cannot be.
    assert facts["high"] - facts["low"] > 60
    low, high = by_hand()
    assert facts["ci"] == f"95% interval over 6 patients: {low:.1f} to {high:.1f}"
    row = cell_level.overall_accuracy(one).frame.iloc[0]
    assert row["design_effect"] == pytest.approx(4.8) and row["interval"] == "Korn-Graubard over patients"


def test_every_number_is_recorded_with_what_stands_behind_it():
    one = judged(SIX_PATIENTS)
    values = {v.key: v for v in (*cell_level.table_7(one).values, *cell_level.table_8(one).values)}
    for key in ("table_07a.lymphocyte.lymphocyte", "table_08.sensitivity.lymphocyte"):
        value = values[key]
        assert (value.ci_low, value.ci_high) == pytest.approx(by_hand()), key
        assert (value.n_patients, value.n_smears, value.n_cells) == (6, 6, 24), key
        assert value.interval == "Korn-Graubard over patients" and value.design_effect == pytest.approx(4.8)
    assert values["table_07a.lymphocyte.lymphocyte"].published == 99.9
    assert values["table_07a.lymphocyte.monocyte"].ci_high == pytest.approx(100 - by_hand()[0])
    assert len(cell_level.table_7(one).values) == 25 and len(cell_level.table_8(one).values) == 15


def test_images_of_a_site_without_patients_are_one_cluster():
    rows = cells_of(SIX_PATIENTS, smear_known=False, site="atlas")
    one = cell_level.judge(rows, MODULE_1)
    assert (one.accuracy.n_patients, one.accuracy.n_smears, one.accuracy.n_cells) == (1, 0, 24)
    assert cell_level.table_7(one).facts["ci"] == "1 patient: too few for an interval"


def test_four_patients_get_no_interval_and_the_table_says_so():
    one = judged([row for row in SIX_PATIENTS if row[0] in ("p2", "p3", "p4", "p5")])
    table = cell_level.table_8(one).frame
    own = table[table["class"].eq("Lymphocytes") & table["rate"].eq("sensitivity")].iloc[0]
    assert own["value"] == 75 and np.isnan(own["low"]) and np.isnan(own["high"])
    assert own["interval"] == "none: fewer than 5 patients"
    assert "nan" not in cell_level.table_7(one).facts["ci"]


def test_cells_are_evaluated_by_source():
    rows = [("p", "b", "lymphocyte", "lymphocyte", None)] * 3 + [("p", "b", "monocyte", "lymphocyte", None)]
    result = cell_level.by_source(cells_of([*rows, *SIX_PATIENTS]))
    found = result.frame.set_index(["source", "class"])
    assert list(result.frame["source"]) == ["a", "a", "b", "b", "b"]
    assert list(result.frame["class"])[2:] == ["all classes", "Lymphocytes", "Monocytes"]
    assert found.loc[("b", "all classes"), ["cells", "correct"]].tolist() == [4, 75]
    assert found.loc[("b", "Monocytes"), "correct"] == 0
    values = {value.key: value for value in result.values}
    assert (
        values["source.b.module_1.accuracy"].reproduced == 75 and values["source.b.module_1.monocyte"].reproduced == 0
    )
    assert np.isnan(values["source.b.module_1.accuracy"].ci_low), "one patient"
    assert (values["source.a.module_1.accuracy"].ci_low, found.loc[("a", "Lymphocytes"), "high"]) == pytest.approx(
        by_hand()
    )


def test_cells_of_one_source_are_not_split():
    assert cell_level.by_source(cells_of(LYMPHOCYTES)) == Unavailable("the cells are of one source")


def test_only_testing_cells_count_and_the_facts_are_percentages():
    rows = [*LYMPHOCYTES, ("p2", "a", "myeloblast", "lymphocyte", None)]
    cells = pd.concat([cells_of(rows), cells_of(rows * 3, split="train")], ignore_index=True)
    one = cell_level.judge(cells, MODULE_1)
    facts = cell_level.table_7(one).facts
    assert (facts["accuracy"], facts["n"], facts["module"]) == (75, 4, "Module 1")
    assert one.counts.loc["blast", "lymphocyte"] == 1 and one.counts.to_numpy().sum() == 4
    assert one.mean_sensitivity.estimate == 0.5 and facts["mean_sensitivity"] == 50


def test_a_module_that_was_not_trained_is_unavailable_and_left_out():
    first, second = judged(LYMPHOCYTES), judged(LYMPHOCYTES, MODULE_2)
    assert second.reason.startswith("two classes are needed") and cell_level.table_7(second) == second
    eighth = cell_level.table_8(first, second)
    assert set(eighth.frame["module"]) == {"1"} and cell_level.table_8(second) == second
    table = cell_level.overall_accuracy(first, second, validation=(second,)).frame
    assert table["module"].tolist() == ["Module 1"] and table["split"].tolist() == ["testing"]
    data, profile = CellImages(pd.DataFrame(), np.empty(0)), Profile.load("smoke")
    assert cell_level.judge_validation(cells_of(LYMPHOCYTES), MODULE_2, data=data, profile=profile) == second


def test_rates_and_overall_accuracy_stand_beside_the_printed_ones():
    one = judged([*LYMPHOCYTES, ("p2", "a", "myeloblast", "lymphocyte", None)])
    row = cell_level.table_8(one).frame.query("rate == 'precision' and `class` == 'Lymphocytes'").iloc[0]
    assert (row["value"], row["n"], row["paper"]) == (75, 4, 86.8)
    values = {value.key: value for value in cell_level.table_8(one).values}
    assert values["table_08.precision.lymphocyte"].reproduced == 75
    result = cell_level.overall_accuracy(one, validation=(judged(LYMPHOCYTES),))
    numbers = {value.key: value.reproduced for value in result.values}
    assert numbers == {
        "text.module_1.accuracy": 75, "text.module_1.validation_accuracy": 100, "module_1.mean_sensitivity": 50,
    }  # fmt: skip
    assert result.frame.loc[0, "paper"] == 94.2 and result.frame.loc[1, ["split", "paper"]].tolist() == [
        "validation",
        99.6,
    ]


def test_validation_judges_the_cells_that_the_training_kept():
    profile = Profile.load("smoke")
    rows = [(f"p{i}", "a", *(RIGHT if i % 2 else ("monocyte", "lymphocyte", None))) for i in range(20)]
    cells = cells_of(rows, split="train", site="x")
    data = CellImages(cells, np.zeros((20, 2, 2, 3), np.uint8))
    held = datasets.validation_rows(data, MODULE_1, profile)
    one = cell_level.judge_validation(cells, MODULE_1, data=data, profile=profile)
    assert sorted(one.predictions.index) == sorted(held) and 0 < len(held) < 20
    assert one.accuracy.estimate == pytest.approx(np.mean([i % 2 for i in held]))


def test_table_11_takes_its_blasts_from_module_2_and_records_both_systems():
    own = [("p", "a", "myeloblast", "blast", "myeloid_blast")] * 3 + [
        ("p", "a", "myeloblast", "blast", "b_lymphoblast")
    ]
    own += [("q", "a", "b_lymphoblast", "blast", "b_lymphoblast"), ("r", "a", "monocyte", "monocyte", "myeloid_blast")]
    rows = cells_of(SIX_PATIENTS)
    earlier = {
        "myeloid_blast": intervals.proportion([True] * 2 + [False], rows.head(3)),
        "lymphocyte": intervals.proportion(rows["first"].eq("lymphocyte"), rows),
    }
    result = cell_level.table_11(cells_of(own), earlier)
    values = {value.key: value for value in result.values}
    assert values["table_11.myeloblast.proposed"].reproduced == 75
    assert values["table_11.b_lymphoblast.proposed"].reproduced == 100
    assert result.frame.loc["Myeloblasts", ["ALNet, this run", "LDA, this run"]].tolist() == [75, 66.7]
    lda = values["table_11.lymphocyte.earlier"]
    assert (lda.published, lda.reproduced) == (97.6, pytest.approx(100 * 20 / 24))
    assert (lda.ci_low, lda.ci_high) == pytest.approx(by_hand()) and lda.n_patients == 6
    row = result.frame.loc["Lymphocytes"]
    assert row["LDA, low"] == round(by_hand()[0], 1) and row["LDA, patients"] == 6
    assert row["LDA, interval"] == "Korn-Graubard over patients" and row["LDA, design_effect"] == round(
        lda.design_effect, 1
    )
    assert result.frame.loc["Myeloblasts", "LDA, interval"] == "none: fewer than 5 patients"
    assert values["table_11.myeloblast.earlier"].published == 80.8
    without = cell_level.table_11(cells_of(own), Unavailable("no features"))
    assert "LDA, this run" not in without.frame and not [v for v in without.values if v.key.endswith("earlier")]
    assert [v.key for v in cell_level.table_11(cells_of(own)).values] == [v.key for v in without.values]


class _Brightness(torch.nn.Module):
    """Predicts class 0 of dark images and class 1 of bright ones."""

    classes = ("myeloid_blast", "b_lymphoblast")

    def preprocessing(self, x):
        return x.float()

    def forward(self, x):
        bright = x.mean(dim=(1, 2, 3)) - 0.5
        return torch.stack([-bright, bright], 1)


def _setup(patients, dark):
    """Testing and training blasts, half myeloid (dark pictures are predicted so); the last image is of training."""
    manifest = pd.DataFrame(
        {"cell_type": ["myeloblast"] * len(dark), "split": "test", "patient_id": patients, "site": "x"}
    )
    train = pd.DataFrame({"cell_type": ["myeloblast", "b_lymphoblast"] * 5, "split": "train", "patient_id": "t"})
    pixels = [np.full((32, 32, 3), 10 if is_dark else 250, np.uint8) for is_dark in [*dark, *([True, False] * 5)]]
    data = CellImages(pd.concat([manifest, train], ignore_index=True), np.stack(pixels))
    return SimpleNamespace(data=data, profile=Profile.load("smoke"))


def _trained(network):
    options = SimpleNamespace(device="cpu", precision="float32")
    return SimpleNamespace(network=network, train_accuracy=0.9, seconds=120.0, options=options)


class _AlwaysFirst(_Brightness):
    def forward(self, x):
        return super().forward(0 * x)


def test_table_5_counts_correct_testing_blasts_by_patient():
    patients = [f"p{i}" for i in range(6) for _ in range(4)]
    setup = _setup(patients, [True] * 20 + [False] * 4)
    result = cell_level.table_5(setup, {"vgg16": _trained(_Brightness()), "vgg19": _trained(_AlwaysFirst())})
    assert result.frame.loc["vgg16", ["training", "training_minutes"]].tolist() == [100, 2]
    assert result.frame.loc["vgg19", ["training", "testing"]].tolist() == [50, 100]
    values = {value.key: value for value in result.values}
    testing = values["table_05.vgg16.testing"]
    assert (testing.reproduced, testing.published) == (pytest.approx(100 * 20 / 24), 85.7)
    assert (testing.ci_low, testing.ci_high) == pytest.approx(by_hand())
    assert result.frame.loc["vgg16", "high"] == pytest.approx(by_hand()[1])
    # Paired: only one of six patients differs, which tells no variance; each patient is one trial, 1 - 0.025^(1/6).
    gain, half = values["table_05.difference"], 100 * (1 - 0.025 ** (1 / 6))
    assert (gain.reproduced, gain.ci_low, gain.ci_high) == pytest.approx((100 / 6, 100 / 6 - half, 100 / 6 + half))
    assert gain.unit == "percentage points" and result.facts["difference"] == pytest.approx(100 / 6)
    assert result.facts["ci"].startswith("95% interval over 6 patients") and result.facts["n"] == 24
    absent = Unavailable("two classes are needed")
    assert cell_level.table_5(setup, {"vgg16": absent}) == absent
