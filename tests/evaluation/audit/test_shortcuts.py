"""Shortcut baselines: planted shortcuts are found, and nothing is found where there is nothing."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from alnet_lib.evaluation.audit import shortcuts
from alnet_lib.report.sentences import shortcut_sentences

TYPES = ["lymphocyte", "myeloblast"]


@pytest.fixture(autouse=True)
def _fewer_trees(monkeypatch):
    monkeypatch.setattr(shortcuts, "RandomForestClassifier", lambda _, **options: RandomForestClassifier(50, **options))


def _cohort(rng, *, edge=0, centre=0, source=False):
    """240 pictures of two classes, 80 patients; `edge` and `centre` are how much darker the second class is there."""
    kinds = np.tile(TYPES, 120)
    pixels = rng.integers(180, 220, (240, 36, 36, 3)).astype(np.int16)
    second = kinds == TYPES[1]
    shift = np.full((36, 36), edge)
    shift[6:-6, 6:-6] = centre
    pixels[second] -= shift[..., None].astype(np.int16)
    manifest = pd.DataFrame({"cell_type": kinds, "patient_id": np.repeat(np.arange(80), 3).astype(str)})
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
    found = result.frame.set_index("seen")
    assert found.loc["source", "balanced_accuracy"] == 1.0 and found.loc["source", "warn"]
    values = {value.key: value.reproduced for value in result.values}
    assert values["confound.source.balanced_accuracy"] == pytest.approx(100)


def test_the_background_of_a_picture_ignores_its_middle():
    picture = np.full((36, 36, 3), 200, np.uint8)
    marked = picture.copy()
    marked[5:-5, 5:-5] = 10
    np.testing.assert_array_equal(shortcuts.background(picture), shortcuts.background(marked))


def test_one_class_or_one_patient_of_a_class_measures_nothing():
    manifest, pixels = _cohort(np.random.default_rng(5))
    assert not shortcuts.measure(manifest.assign(cell_type="monocyte"), pixels, np.random.default_rng(0))
    assert not shortcuts.measure(manifest.assign(patient_id="a"), pixels, np.random.default_rng(0))


def test_a_warning_is_worded_and_the_network_stands_beside():
    frame = pd.DataFrame(
        [("background", 0.5, 0.2, True, 90)], columns=["seen", "balanced_accuracy", "chance", "warn", "images"]
    )
    assert "50% of cells" in shortcut_sentences(frame)[0] and "a warning" in shortcut_sentences(frame)[0]
    beside = shortcuts.beside(frame, 0.9)
    assert beside["mean sensitivity, %"].tolist() == [50.0, 90.0] and beside["warning"].tolist() == ["yes", ""]
