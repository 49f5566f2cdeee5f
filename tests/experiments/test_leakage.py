"""The benchmark of leakage: who may be on both sides in each design, and the flattery by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from miniatures import benchmark


@pytest.fixture(scope="module")
def leakage():
    return benchmark("leakage")


@pytest.fixture
def at_home(setup):
    """The tiny cohort without its external site, two smears a patient."""
    kept = setup.data.manifest["split"].ne("external").to_numpy()
    manifest = setup.data.manifest[kept].reset_index(drop=True)
    return replace(setup, data=replace(setup.data, manifest=manifest, pixels=setup.data.pixels[kept]))


@pytest.fixture
def trainings(leakage, monkeypatch):
    """Networks that know every patient they were fitted on and nobody else; the rows they were fitted on."""
    seen = []

    def fitted(setup, spec, images, settings, *, name, seed):
        seen.append(images)
        return set(images.groups), None

    def predict(known, images, options, *, batch):
        right = np.array([patient in known for patient in images.groups])
        labels = np.where(right, images.labels, (images.labels + 1) % len(images.classes))
        return np.eye(len(images.classes))[labels]

    monkeypatch.setattr(leakage, "fitted", fitted)
    monkeypatch.setattr(leakage.inference, "predict", predict)
    return seen


def test_each_design_shares_the_patients_it_says(leakage, at_home, trainings, monkeypatch):
    judged_on, judged = [], leakage.judged

    def spied(setup, fit_on, asked, seed):
        judged_on.append(asked)
        return judged(setup, fit_on, asked, seed)

    monkeypatch.setattr(leakage, "judged", spied)
    rows = leakage.trained(at_home, 0)
    assert list(rows["design"].unique()) == list(leakage.DESIGNS) and len(trainings) == 4
    share = rows.groupby(["design", "part"])["correct"].mean()
    assert share[:, leakage.HELD_OUT].eq(0).all(), "nobody held out was fitted on"
    assert share["validation by image", "flattered"] == 1 and share["validation by patient", "flattered"] == 0
    assert share["testing by smear", "flattered"] > 0 and share["testing by image", "flattered"] > 0.5
    smears, patients, images = (
        at_home.data.manifest[name].to_numpy() for name in ("smear_id", "patient_id", "image_id")
    )
    fitted_on, tested = trainings[2].rows, judged_on[2]["flattered"].rows
    assert not set(smears[fitted_on]) & set(smears[tested]), "a testing smear is not fitted on"
    assert set(patients[fitted_on]) & set(patients[tested]), "but another smear of its patient is"
    fitted_on, tested = trainings[3].rows, judged_on[3]["flattered"].rows
    assert not set(images[fitted_on]) & set(images[tested]), "a testing image is not fitted on"
    assert set(smears[fitted_on]) & set(smears[tested]), "but another image of its smear is"
    for k in (0, 1):
        held = judged_on[k][leakage.HELD_OUT].rows
        assert not set(patients[trainings[k].rows]) & set(patients[held]), "nobody held out is fitted on"


def test_a_cohort_with_one_smear_a_patient_has_no_test_by_smear(leakage, at_home, trainings):
    manifest = at_home.data.manifest.assign(smear_id=at_home.data.manifest["patient_id"])
    rows = leakage.trained(replace(at_home, data=at_home.data.with_manifest(manifest)), 0)
    assert "testing by smear" not in set(rows["design"]) and rows["design"].nunique() == 3


def test_flattery_by_hand(leakage):
    # Two seeds; flattered 0.8 and 1.0, held out 0.6 and 0.6: 20 and 40 points, mean 30.
    def rows(seed, part, patients, right):
        correct = np.arange(10) < right
        return pd.DataFrame({"part": part, "patient_id": np.resize(patients, 10), "correct": correct, "seed": seed})

    held = leakage.HELD_OUT
    frame = pd.concat(
        [rows(0, "flattered", list("abc"), 8), rows(0, held, list("def"), 6),
         rows(1, "flattered", list("def"), 10), rows(1, held, list("abc"), 6)]
    )  # fmt: skip
    found, seeds = leakage.flattery(frame)
    assert seeds == pytest.approx([0.2, 0.4]) and found.estimate == pytest.approx(0.3)
    assert found.n_patients == 6 and found.low < 0.3 < found.high
    results = {"synthetic": leakage.measured(frame.assign(design="validation by image"))}
    own = results["synthetic"]["validation by image"]
    assert own["points"] == 30 and own["accuracy, %"] == 90 and own["accuracy on patients held out, %"] == 60
    assert "+30.0" in leakage.figure(results).alt
