"""Splits by patient, by group and by image."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.cohorts import building, splitting


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return building.build("synthetic", tmp_path_factory.mktemp("whole"), fraction=1.0, manifest_only=True).manifest


def test_the_papers_split_leaks_and_the_split_by_patient_does_not(manifest):
    def on_both_sides(frame):
        home = frame[frame["split"].ne("external")]
        return int(home.groupby("patient_id")["split"].nunique().eq(2).sum())

    split = splitting.by_patient(manifest, np.random.default_rng(1))
    assert on_both_sides(manifest) > 20
    assert on_both_sides(split) == 0
    outside = manifest["split"].eq("external")
    assert split.loc[outside, "split"].eq("external").all()
    pd.testing.assert_frame_equal(split.drop(columns="split"), manifest.drop(columns="split"))


def test_every_diagnosis_keeps_about_its_number_of_testing_images_and_every_type_both_sides(manifest):
    split = splitting.by_patient(manifest, np.random.default_rng(1))
    given, now = (frame[frame["split"].eq("test")]["diagnosis"].value_counts() for frame in (manifest, split))
    assert ((now - given).abs() / given).max() < 0.15
    sides = split[split["split"].ne("external")].groupby("cell_type")["split"].nunique()
    assert sides.eq(2).all() and len(sides) == manifest["cell_type"].nunique()


def test_a_patient_alone_in_a_group_stays_in_training_and_two_are_parted():
    rows = [("a", "AML"), ("b", "AML"), ("c", "ALL")]
    frame = pd.DataFrame(rows * 4, columns=["patient_id", "diagnosis"]).assign(cell_type="myeloblast", split="train")
    split = splitting.by_patient(frame, np.random.default_rng(0)).groupby("patient_id")["split"].first()
    assert split["c"] == "train" and sorted(split[["a", "b"]]) == ["test", "train"]


def test_by_image_and_by_group_are_stratified_and_repeatable():
    kinds = pd.Series(["x"] * 100 + ["y"] * 20 + ["z"])
    split = splitting.by_image(kinds, np.random.default_rng(0))
    tested = pd.Series(split).eq("test").groupby(kinds).sum()
    assert tested.to_dict() == {"x": 15, "y": 3, "z": 0}
    assert (split == splitting.by_image(kinds, np.random.default_rng(0))).all()
    patients = pd.Series(np.repeat(np.arange(20), 5))
    side = splitting.by_group(patients, pd.Series(np.repeat(["AML", "ALL"], 50)), np.random.default_rng(0))
    assert side.groupby(patients).nunique().eq(1).all()
    assert side.eq("test").groupby(np.repeat(["AML", "ALL"], 50)).sum().to_dict() == {"ALL": 10, "AML": 10}


def test_a_cohort_is_built_with_the_split_asked_for(tmp_path):
    cohort = building.build("synthetic", tmp_path, fraction=0.02, split="patient", manifest_only=True)
    home = cohort.manifest[cohort.manifest["split"].ne("external")]
    assert home.groupby("patient_id")["split"].nunique().max() == 1
    assert any("split by patient" in note for note in cohort.notes)
