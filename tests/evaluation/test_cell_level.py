"""Modules evaluated on cells, against counts by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2
from alnet_lib.evaluation import cell_level
from alnet_lib.experiments.datasets import CellImages

RNG = np.random.default_rng


def cells_of(rows, **others):
    """Testing cells of rows (patient, source, cell type, class predicted by module 1, by module 2 or None)."""
    frame = pd.DataFrame(rows, columns=["patient_id", "source", "cell_type", "first", "second"]).assign(**others)
    frame["image_id"] = [f"i{n}" for n in range(len(frame))]
    for spec, column in ((MODULE_1, "first"), (MODULE_2, "second")):
        if frame[column].notna().any():
            for name in spec.classes:
                frame[f"{spec.prefix}_{name}"] = frame[column].eq(name).astype(float)
    return frame if "split" in frame else frame.assign(split="test")


def judged(rows, spec=MODULE_1):
    return cell_level.judge(cells_of(rows), spec, replicates=50, generator=lambda purpose: RNG(0))


LYMPHOCYTES = [("p1", "a", "lymphocyte", "lymphocyte", None)] * 3


def test_cells_are_evaluated_by_source():
    rows = [("p", "b", "lymphocyte", "lymphocyte", None)] * 3 + [("p", "b", "monocyte", "lymphocyte", None)]
    result = cell_level.by_source(cells_of([*rows, *[("q", "a", "myeloblast", "blast", None)] * 2]))
    found = result.frame.set_index(["source", "class"])
    assert list(result.frame["source"]) == ["a", "a", "b", "b", "b"]
    assert found.loc[("a", "Blasts"), ["cells", "correct"]].tolist() == [2, 100]
    assert found.loc[("b", "all classes"), ["cells", "correct"]].tolist() == [4, 75]
    assert found.loc[("b", "Monocytes"), "correct"] == 0
    numbers = {value.key: value.reproduced for value in result.values}
    assert numbers == {"source.a.module_1.accuracy": 100, "source.b.module_1.accuracy": 75}
    # Wilson for 3 of 4, from R: prop.test(3, 4, correct = FALSE)
    assert [result.values[1].ci_low, result.values[1].ci_high] == pytest.approx([30.06, 95.44], abs=0.01)


def test_cells_of_one_source_are_not_split():
    assert cell_level.by_source(cells_of(LYMPHOCYTES)) == Unavailable("the cells are of one source")


def test_only_testing_cells_count_and_the_facts_are_percentages():
    rows = [*LYMPHOCYTES, ("p2", "a", "myeloblast", "lymphocyte", None)]
    cells = pd.concat([cells_of(rows), cells_of(rows * 3, split="train")], ignore_index=True)
    one = cell_level.judge(cells, MODULE_1, replicates=200, generator=lambda purpose: RNG(0))
    facts = cell_level.table_7(one).facts
    assert (facts["accuracy"], facts["n"], facts["module"]) == (75, 4, "Module 1")
    assert one.counts.loc["blast", "lymphocyte"] == 1 and one.counts.to_numpy().sum() == 4
    # Two patients, one all correct and one all wrong: draws of both reach either end.
    assert cell_level.over_patients(one).facts == {"module": "Module 1", "low": 0.0, "high": 100.0}


def test_one_patient_has_no_interval_over_patients():
    assert isinstance(cell_level.over_patients(judged(LYMPHOCYTES)), Unavailable)


def test_draws_of_patients_come_from_the_modules_own_generator():
    asked = []
    rows = [*LYMPHOCYTES, ("p2", "a", "myeloblast", "blast", None)]
    cell_level.judge(cells_of(rows), MODULE_1, replicates=5, generator=lambda name: asked.append(name) or RNG(0))
    assert asked == ["bootstrap/module_1"]


def test_a_module_that_was_not_trained_is_unavailable_and_left_out():
    first, second = judged(LYMPHOCYTES), judged(LYMPHOCYTES, MODULE_2)
    assert second.reason.startswith("two classes are needed") and cell_level.table_7(second) == second
    eighth = cell_level.table_8(first, second)
    assert set(eighth.frame["module"]) == {"1"} and cell_level.table_8(second) == second
    assert cell_level.overall_accuracy(first, second, trained=(second,)).frame["module"].tolist() == ["Module 1"]


def test_rates_and_overall_accuracy_stand_beside_the_printed_ones():
    one = judged([*LYMPHOCYTES, ("p2", "a", "myeloblast", "lymphocyte", None)])
    row = cell_level.table_8(one).frame.query("rate == 'precision' and `class` == 'Lymphocytes'").iloc[0]
    assert (row["value"], row["n"], row["paper"]) == (75, 4, 86.8)
    values = {value.key: value for value in cell_level.table_8(one).values}
    assert values["table_08.precision.lymphocyte"].reproduced == 75
    trained = SimpleNamespace(name="module_1", validation_accuracy=0.5)
    result = cell_level.overall_accuracy(one, trained=(trained,))
    numbers = {value.key: value.reproduced for value in result.values}
    assert numbers == {"text.module_1.accuracy": 75, "text.module_1.validation_accuracy": 50}
    assert result.frame.loc[0, "paper"] == 94.2


def test_table_11_takes_its_blasts_from_module_2():
    own = [("p", "a", "myeloblast", "blast", "myeloid_blast")] * 3 + [
        ("p", "a", "myeloblast", "blast", "b_lymphoblast")
    ]
    own += [("q", "a", "b_lymphoblast", "blast", "b_lymphoblast"), ("r", "a", "monocyte", "monocyte", "myeloid_blast")]
    earlier = pd.DataFrame({"value": [66.66], "low": [1.0], "high": [2.0]}, index=["myeloid_blast"])
    result = cell_level.table_11(cells_of(own), earlier)
    values = {value.key: value.reproduced for value in result.values}
    assert values["table_11.myeloblast.proposed"] == 75 and values["table_11.b_lymphoblast.proposed"] == 100
    assert result.frame.loc["Myeloblasts", ["ALNet, this run", "LDA, this run"]].tolist() == [75, 66.7]
    assert "LDA, this run" not in cell_level.table_11(cells_of(own), Unavailable("no features")).frame
    assert [value.key for value in cell_level.table_11(cells_of(own)).values] == list(values)


class _Brightness(torch.nn.Module):
    """Predicts class 0 of dark images and class 1 of bright ones."""

    classes = ("myeloid_blast", "b_lymphoblast")

    def preprocessing(self, x):
        return x.float()

    def forward(self, x):
        bright = x.mean(dim=(1, 2, 3)) - 0.5
        return torch.stack([-bright, bright], 1)


def test_table_5_counts_correct_testing_blasts():
    types = ["myeloblast", "monoblast", "b_lymphoblast", "b_lymphoblast", "monocyte", "b_lymphoblast"]
    brightness = [10, 200, 250, 250, 250, 10]
    manifest = pd.DataFrame({"cell_type": types, "split": ["test"] * 5 + ["train"], "patient_id": list("abcdef")})
    pixels = np.stack([np.full((32, 32, 3), value, np.uint8) for value in brightness])
    trained = SimpleNamespace(
        network=_Brightness(), train_accuracy=0.9, seconds=120.0,
        options=SimpleNamespace(device="cpu", precision="float32"),
    )  # fmt: skip
    result = cell_level.table_5(CellImages(manifest, pixels), {"vgg16": trained, "vgg19": trained}, batch=2)
    assert result.frame.loc["vgg16", ["training", "testing", "training_minutes"]].tolist() == [90, 75, 2]
    testing = {value.key: value for value in result.values}["table_05.vgg19.testing"]
    assert (testing.reproduced, testing.published) == (75, 89.5)
    assert [testing.ci_low, testing.ci_high] == pytest.approx([30.06, 95.44], abs=0.01)
    absent = Unavailable("two classes are needed")
    assert cell_level.table_5(CellImages(manifest, pixels), {"vgg16": absent}) == absent
