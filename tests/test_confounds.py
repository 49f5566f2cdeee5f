"""Classifiers that see no cell: planted confounds are found, and nothing is found where there is nothing."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib import confounds, results

TYPES = ["lymphocyte", "myeloblast"]


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
    return confounds.measure(manifest, pixels, np.random.default_rng(0)).set_index("seen")


def test_nothing_is_told_from_noise():
    found = _measured(*_cohort(np.random.default_rng(1)))
    assert found["balanced_accuracy"].between(0.38, 0.62).all() and not found["warn"].any()
    assert found["chance"].eq(0.5).all() and list(found.index) == ["background", "mean_colour"]


def test_a_background_that_differs_is_found_and_a_cell_that_differs_is_not_background():
    edge = _measured(*_cohort(np.random.default_rng(2), edge=40))
    assert edge.loc["background", "balanced_accuracy"] > 0.95 and edge.loc["background", "warn"]
    centre = _measured(*_cohort(np.random.default_rng(3), centre=40))
    assert centre.loc["background", "balanced_accuracy"] < 0.62 and not centre.loc["background", "warn"]
    assert centre.loc["mean_colour", "balanced_accuracy"] > 0.95


def test_a_source_that_is_the_class_is_found():
    found = _measured(*_cohort(np.random.default_rng(4), source=True))
    assert found.loc["source", "balanced_accuracy"] == 1.0 and found.loc["source", "warn"]
    values = {value.key: value.reproduced for value in confounds.values(found.reset_index())}
    assert values["confound.source.balanced_accuracy"] == pytest.approx(100)


def test_the_background_of_a_picture_ignores_its_middle():
    picture = np.full((36, 36, 3), 200, np.uint8)
    marked = picture.copy()
    marked[5:-5, 5:-5] = 10
    np.testing.assert_array_equal(confounds.background(picture), confounds.background(marked))


def test_one_class_or_one_patient_of_a_class_measures_nothing():
    manifest, pixels = _cohort(np.random.default_rng(5))
    assert confounds.measure(manifest.assign(cell_type="monocyte"), pixels, np.random.default_rng(0)).empty
    assert confounds.measure(manifest.assign(patient_id="a"), pixels, np.random.default_rng(0)).empty


def test_a_warning_is_worded_and_the_network_stands_beside():
    frame = pd.DataFrame(
        [("background", 0.5, 0.2, True, 90)], columns=["seen", "balanced_accuracy", "chance", "warn", "images"]
    )
    assert "50% of cells" in confounds.sentences(frame)[0] and "a warning" in confounds.sentences(frame)[0]
    beside = confounds.beside(frame, 0.9)
    assert beside["mean sensitivity, %"].tolist() == [50.0, 90.0] and beside["warning"].tolist() == ["yes", ""]


def _run_of(folder, seen, warn):
    """A run directory with what notebooks 01 and 03 leave of confounds and of module 1's sensitivities."""
    frame = pd.DataFrame([(name, 0.55, 0.2, warn, 90) for name in seen], columns=confounds.COLUMNS)
    (folder / "tables").mkdir(parents=True)
    frame.to_csv(folder / "tables" / "extra_table_confounds.csv", index=False)
    results.write_item(folder, results.Item("extra_table_confounds", "x", "table", "reproduced"))
    told = {"lymphocyte": 70, "blast": 90, "myeloid_blast": 10, "b_lymphoblast": 20}  # the last two are of module 2
    values = tuple(results.Value(f"table_08.sensitivity.{n}", "%", reproduced=v) for n, v in told.items())
    results.write_item(folder, results.Item("table_08", "x", "table", "reproduced", values=values))
    return folder


def test_every_page_of_combined_sources_carries_the_caution_and_no_other(tmp_path):
    mixed = _run_of(tmp_path / "mixed", ["source", "mean_colour"], True)
    said = confounds.caution(mixed)
    assert said.count("55%") == 2 and "module 1, 80%" in said and "chance 20%" in said
    assert confounds.caution(_run_of(tmp_path / "calm", ["source", "mean_colour"], False)) == ""
    assert confounds.caution(_run_of(tmp_path / "single", ["mean_colour"], True)) == ""
    assert confounds.caution(tmp_path / "nothing yet") == ""
