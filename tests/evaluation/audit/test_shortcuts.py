"""Shortcut baselines: planted shortcuts are found on testing cells, nothing is found where there is nothing."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn import ensemble
from sklearn.ensemble import RandomForestClassifier

from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.evaluation.audit import shortcuts
from alnet_lib.report.sentences import shortcut_sentences
from alnet_lib.statistics.intervals import Interval

TYPES = ["lymphocyte", "myeloblast"]
SWAPPED = dict(zip(TYPES, TYPES[::-1], strict=True))


@pytest.fixture(autouse=True)
def _fewer_trees(monkeypatch):
    few = partial(RandomForestClassifier, 50)
    monkeypatch.setattr(ensemble, "RandomForestClassifier", lambda _, **options: few(**options))


def _cohort(rng, *, edge=0, centre=0, source=False):
    """240 pictures of two classes; 40 patients train, 40 test; `edge` and `centre` darken the second class there."""
    kinds = np.tile(TYPES, 120)
    pixels = rng.integers(180, 220, (240, 36, 36, 3)).astype(np.int16)
    second = kinds == TYPES[1]
    shift = np.full((36, 36), edge)
    shift[6:-6, 6:-6] = centre
    pixels[second] -= shift[..., None].astype(np.int16)
    patients = np.repeat(np.arange(80), 3)
    manifest = pd.DataFrame({"cell_type": kinds, "patient_id": patients.astype(str)})
    manifest["split"] = np.where(patients < 40, "train", "test")
    if source:
        manifest["source"] = np.where(second, "a", "b")
    return manifest, pixels.astype(np.uint8)


def _measured(manifest, pixels):
    return shortcuts.measure(manifest, pixels, np.random.default_rng(0))


def test_nothing_is_told_from_noise():
    found = _measured(*_cohort(np.random.default_rng(1))).frame.set_index("seen")
    assert found["balanced_accuracy"].between(0.38, 0.62).all() and not found["warn"].any()
    assert found["chance"].eq(0.5).all() and list(found.index) == ["background", "mean_colour"]


def test_a_background_that_differs_is_found_and_a_cell_that_differs_is_not_background():
    edge = _measured(*_cohort(np.random.default_rng(2), edge=40)).frame.set_index("seen")
    assert edge.loc["background", "balanced_accuracy"] > 0.95 and edge.loc["background", "warn"]
    centre = _measured(*_cohort(np.random.default_rng(3), centre=40)).frame.set_index("seen")
    assert centre.loc["background", "balanced_accuracy"] < 0.62 and not centre.loc["background", "warn"]
    assert centre.loc["mean_colour", "balanced_accuracy"] > 0.95


def test_a_source_that_is_the_class_is_found():
    result = _measured(*_cohort(np.random.default_rng(4), source=True))
    assert shortcuts.in_words(result)["seen"].tolist() == list(shortcuts.SEEN.values())
    found = result.frame.set_index("seen")
    assert found.loc["source", "balanced_accuracy"] == 1.0 and found.loc["source", "warn"]
    values = {value.key: value.reproduced for value in result.values}
    assert values["confound.source.balanced_accuracy"] == pytest.approx(100)
    assert result.facts["n"] == 120 and result.facts["patients"] == 40


def test_the_baselines_are_judged_on_the_testing_cells_that_judge_the_network():
    manifest, pixels = _cohort(np.random.default_rng(6), edge=40)
    external = manifest["patient_id"].astype(int).mod(8).eq(0)
    manifest["split"] = manifest["split"].mask(external, "external")
    tested = manifest["split"].eq("test")
    found = _measured(manifest, pixels)
    assert found.frame["images"].eq(tested.sum()).all() and found.frame["patients"].eq(35).all()
    value = {value.key: value for value in found.values}["confound.background.balanced_accuracy"]
    assert value.n_patients == 35 and value.ci_low > 85 and value.interval
    swapped = manifest.assign(cell_type=manifest["cell_type"].where(~tested, manifest["cell_type"].map(SWAPPED)))
    other = _measured(swapped, pixels).frame.set_index("seen")
    assert other.loc["background", "balanced_accuracy"] < 0.1, "testing cells are not learned from"


def test_a_class_that_testing_lacks_is_named_and_changes_chance():
    manifest, pixels = _cohort(np.random.default_rng(7))
    third = manifest["split"].eq("train") & manifest["patient_id"].astype(int).lt(10)
    found = _measured(manifest.assign(cell_type=manifest["cell_type"].mask(third, "monocyte")), pixels)
    assert "has no Monocytes" in found.facts["absent"] and found.frame["chance"].eq(0.5).all()
    assert _measured(manifest, pixels).facts["absent"] == ""


@pytest.mark.parametrize(("patients", "warned"), [(4, True), (12, False)])
def test_a_warning_needs_the_interval_where_there_is_one(monkeypatch, patients, warned):
    """A quarter of the patients wrong: 75% is beyond the margin of 62.5%, the lower end over 12 patients is not."""
    manifest, pixels = _cohort(np.random.default_rng(8))
    tested = manifest["split"].eq("test")
    manifest = manifest[~tested | (manifest["patient_id"].astype(int) < 40 + patients)]
    reference = MODULE_1.reference(manifest[manifest["split"].eq("test")]).to_numpy()
    other = dict(zip(set(reference), reversed(list(set(reference))), strict=True))
    own = manifest.loc[manifest["split"].eq("test"), "patient_id"].astype(int).to_numpy()
    wrong = own % 4 == 0
    predicted = np.where(wrong, [other[name] for name in reference], reference)
    monkeypatch.setattr(shortcuts.Shortcut, "fit", lambda *_: None)
    monkeypatch.setattr(shortcuts.Shortcut, "predict", lambda *_: predicted)
    frame = _measured(manifest, pixels[manifest.index]).frame
    assert frame["balanced_accuracy"].to_numpy() == pytest.approx(0.75)
    assert frame["warn"].eq(warned).all() and frame["low"].isna().eq(warned).all()


def test_the_background_of_a_picture_ignores_its_middle():
    picture = np.full((36, 36, 3), 200, np.uint8)
    marked = picture.copy()
    marked[5:-5, 5:-5] = 10
    np.testing.assert_array_equal(shortcuts.background(picture), shortcuts.background(marked))


def test_one_class_or_no_testing_cell_measures_nothing():
    manifest, pixels = _cohort(np.random.default_rng(5))
    assert not _measured(manifest.assign(cell_type="monocyte"), pixels)
    assert "no testing image" in _measured(manifest.assign(split="train"), pixels).reason
    one = manifest["split"].eq("test") & manifest["cell_type"].eq(TYPES[1])
    assert (
        "one of module 1's classes" in _measured(manifest.assign(split=manifest["split"].mask(one, "x")), pixels).reason
    )


def test_a_warning_is_worded_and_the_network_stands_beside():
    reached = Interval(0.5, 0.45, 0.55, "jackknife over patients, logit", 24)
    line = {"seen": "background", "balanced_accuracy": 0.5, "chance": 0.2, "warn": True, "images": 90}
    frame = pd.DataFrame([line | reached.columns(1)])[shortcuts.COLUMNS]
    assert "50% of cells" in shortcut_sentences(frame)[0] and "a warning" in shortcut_sentences(frame)[0]
    beside = shortcuts.beside(frame, Interval(0.9, 0.85, 0.95, "jackknife over patients, logit", 24))
    assert beside["mean sensitivity, %"].tolist() == [50.0, 90.0] and beside["warning"].tolist() == ["yes", ""]
    assert beside["low"].tolist() == [45.0, 85.0] and beside["patients"].tolist() == [24, 24]
    assert beside["chance, %"].tolist() == [20.0, 20.0]
