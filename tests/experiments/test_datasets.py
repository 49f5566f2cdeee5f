"""Splits of the training split: by image as printed, and by patient."""

import numpy as np
import pytest

from alnet_lib.diagnosis.tasks import MODULE_1, SIX_CLASSES
from alnet_lib.experiments import datasets
from alnet_lib.experiments.datasets import labelled, split_by_patient


def test_validation_by_patient_shares_no_patient_with_what_is_fitted(setup):
    fit_on, held = datasets.fit_and_validation(setup.data, SIX_CLASSES, setup.profile, by_patient=True)
    assert len(fit_on) and len(held) and not set(fit_on.groups) & set(held.groups)
    everything = labelled(setup.data, SIX_CLASSES)
    assert sorted([*fit_on.rows, *held.rows]) == sorted(everything.rows)
    assert set(fit_on.labels) == set(held.labels) == set(everything.labels)
    by_image = datasets.fit_and_validation(setup.data, SIX_CLASSES, setup.profile)
    assert set(by_image[0].groups) & set(by_image[1].groups), "as printed, patients are on both sides"


def _patients(rng, sizes):
    labels = np.concatenate([np.full(sum(of_class), label) for label, of_class in enumerate(sizes)])
    names = [f"{label}-{i}" for label, of_class in enumerate(sizes) for i, n in enumerate(of_class) for _ in range(n)]
    order = rng.permutation(len(labels))
    return labels[order], np.array(names)[order]


@pytest.mark.parametrize("seed", range(5))
def test_about_the_fraction_is_kept_of_every_class(seed):
    rng = np.random.default_rng(seed)
    labels, patients = _patients(
        rng, [rng.integers(3, 30, 40).tolist(), rng.integers(3, 30, 15).tolist(), [9, 11], [8]]
    )
    fitted, held = split_by_patient(labels, patients, 0.2, np.random.default_rng(seed))
    assert sorted([*fitted, *held]) == list(range(len(labels))) and (np.diff(fitted) > 0).all()
    assert not set(patients[fitted]) & set(patients[held])
    share = [np.mean(labels[held] == label) * len(held) / np.sum(labels == label) for label in range(4)]
    assert 0.14 < share[0] < 0.26 and 0.1 < share[1] < 0.3
    assert share[2] in (9 / 20, 11 / 20), "one of two patients is kept"
    assert share[3] == 0, "the only patient of a class is fitted on"
    again = split_by_patient(labels, patients, 0.2, np.random.default_rng(seed))
    np.testing.assert_array_equal(held, again[1])


def test_a_patient_with_all_of_a_class_is_never_kept():
    labels = np.array([0] * 10 + [1] * 4 + [0] * 10 + [0] * 10)
    patients = np.array(["both"] * 14 + ["a"] * 10 + ["b"] * 10)
    for seed in range(20):
        fitted, held = split_by_patient(labels, patients, 0.2, np.random.default_rng(seed))
        assert set(patients[held]) in ({"a"}, {"b"}) and set(labels[fitted]) == {0, 1}


def test_images_of_unknown_patients_are_kept_by_pseudo_patients(setup, monkeypatch):
    monkeypatch.setattr(datasets, "PSEUDO_PATIENT_SIZE", 4)
    manifest = setup.data.manifest
    unknown = manifest.assign(smear_known=False, patient_id=manifest["image_id"], split="train")
    images = labelled(setup.data.with_manifest(unknown), MODULE_1)
    assert sorted(set(images.groups)) == ["a/0", "a/1", "a/2", "a/3", "a/4", "a/5", "b/0"]
    fitted, held = datasets.validation_split(images, MODULE_1, setup.profile, by_patient=True)
    assert not set(images.groups[fitted]) & set(images.groups[held])
    assert len(held) in (20, 40), "of 140 images, one or two of seven pseudo-patients"
