"""The ablations: which the cohort allows, what they measure, and stain normalisation."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.experiments import ablations


def test_normalising_brings_a_smear_to_the_training_colours_and_keeps_differences_within_it():
    rng = np.random.default_rng(0)
    pixels = rng.integers(120, 200, (30, 16, 16, 3)).astype(np.uint8)
    pixels[20:] = (pixels[20:] * [0.6, 0.8, 0.9]).astype(np.uint8)
    pixels[20, :, :8] //= 2
    manifest = pd.DataFrame(
        {"split": ["train"] * 20 + ["external"] * 10, "smear_id": ["a"] * 10 + ["b"] * 10 + ["c"] * 10}
    )
    out = ablations.normalised(pixels, manifest, np.random.default_rng(0))
    assert out.shape == pixels.shape and out.dtype == np.uint8
    before, after = (np.abs(p[20:].mean((0, 1, 2)) - pixels[:20].mean((0, 1, 2))).max() for p in (pixels, out))
    assert before > 30 and after < 6
    assert out[20, :, :8].mean() < out[20, :, 8:].mean() - 20


def test_a_cohort_without_shared_patients_or_external_cells_allows_fewer(tiny):
    names = [variant.name for variant in ablations.variants(tiny.manifest)]
    assert names == ["plain", "patient split", "stain augmentation", "stain normalisation"]
    alone = tiny.manifest.assign(patient_id=tiny.manifest["smear_id"])
    assert ablations.LEAKAGE not in ablations.variants(alone)
    assert ablations.variants(alone[alone["split"].ne("external")]) == [ablations.PLAIN]
    assert ablations.variants(alone, pretrained=True)[1] == ablations.UNTAUGHT


def test_all_ablations_compare_a_change_with_plain(setup):
    found = ablations.run_all(setup)
    frame = found.frame
    assert set(zip(frame["variant"], frame["where"], strict=True)) == {
        ("patient split", "test"), ("stain augmentation", "external"), ("stain normalisation", "external")
    }  # fmt: skip
    assert len(frame) == len(found.values) == 9
    assert frame["difference"].to_numpy() == pytest.approx(frame["other"] - frame["plain"])
    given = frame["interval"].str.contains("over patients")
    assert frame.loc[given, "low"].le(frame.loc[given, "high"]).all() and frame["other"].between(0, 100).all()
    people = setup.data.manifest["patient_id"].nunique()
    assert frame.loc[frame["variant"].eq("patient split"), "patients"].between(1, people).all(), "nobody counts twice"
    assert frame["seeds"].eq(1).all() and found.facts == {"seeds": 1}
    assert found.values[0].key == "study.patient_split.module_1.difference"
    external = setup.data.manifest[setup.data.manifest["split"].eq("external")]
    cells = frame[frame["measure"].eq(ablations.MEASURES["module_1"]) & frame["where"].eq("external")]
    assert cells["n"].eq(len(external)).all()


def test_seeds_have_a_spread_of_their_own_beside_the_interval_over_patients():
    rows = pd.DataFrame({"patient_id": list("aabbccddeeffgghhiijj")})

    def trained(*rights):
        return [rows.assign(correct=np.arange(20) < right) for right in rights]

    row, value = ablations.compared(trained(8, 12), trained(12, 18), paired=True)
    assert (row["seeds"], row["n"], row["patients"]) == (2, 20, 10)
    assert (row["plain"], row["other"], row["difference"]) == pytest.approx((50, 75, 25))
    assert (row["lowest"], row["highest"]) == pytest.approx((20, 30))
    # Gains of the seeds' mean by patient: 1 cell of 2 for five, none for five; Student's t over ten patients.
    gain = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 0])
    half = 100 * 2.2621572 * gain.std(ddof=1) * np.sqrt(10) / 20
    assert (row["low"], row["high"]) == pytest.approx((25 - half, 25 + half))
    assert (value.unit, value.reproduced, value.ci_low) == ("percentage points", 25, pytest.approx(25 - half))


@pytest.fixture
def untrained(monkeypatch):
    """Trainings replaced by draws of their seed; the trainings that were asked for."""
    asked = []

    def fitted(setup, spec, images, settings, *, name, jitter, seed, label):
        asked.append((label, spec.name, name, jitter, seed))
        return seed, None

    def class_probabilities(seed, pixels, rows, options, classes, *, batch):
        drawn = np.random.default_rng([seed, len(asked)]).dirichlet(np.ones(len(classes)), len(rows))
        return pd.DataFrame(drawn, columns=list(classes))

    monkeypatch.setattr(ablations, "fitted", fitted)
    monkeypatch.setattr(ablations.inference, "class_probabilities", class_probabilities)
    return asked


def test_every_variant_is_trained_with_every_seed(setup, untrained):
    profile = setup.profile.model_copy(update={"ablation_seeds": 3})
    frame = ablations.run_all(replace(setup, profile=profile)).frame
    assert len(untrained) == 4 * 3 * 2 and {name for _, _, name, _, _ in untrained} == {"study"}
    assert ("stain augmentation", "module_1", "study", 0.25, 2) in untrained
    assert ("plain", "module_2", "study", 0.0, 0) in untrained
    assert frame["seeds"].eq(3).all() and frame["lowest"].lt(frame["highest"]).any()
    inside = frame["lowest"].le(frame["difference"] + 1e-9) & frame["difference"].le(frame["highest"] + 1e-9)
    assert inside.all()


def test_immature_cells_without_a_class_vote_and_train_nothing(setup, untrained):
    manifest = setup.data.manifest.assign(immature=True)
    blind = manifest["split"].eq("external") & manifest["cell_type"].eq("myeloblast")
    manifest.loc[blind, "cell_type"] = ""
    cells = ablations.cells_of(
        replace(setup, data=setup.data.with_manifest(manifest)), ablations.PLAIN, setup.profile.ablations
    )
    assert cells["cell_type"].eq("").sum() == blind.sum() == 4
    found = ablations.correct(cells[cells["split"].eq("external")], 0.5)
    assert len(found["module_1"]) == 16 and found["verdict"]["n_cells"].sum() == 20


def test_cells_are_correct_by_their_class_and_only_eligible_ones_vote():
    cells = pd.DataFrame(
        {
            "image_id": list("abcd"), "smear_id": "s", "patient_id": "p", "site": "x", "diagnosis": "control",
            "split": "test", "cell_type": ["lymphocyte", "lymphocyte", "monocyte", "monocyte"],
            "eligible": [True, False, False, False],
        }
    )  # fmt: skip
    cells[ablations.MODULE_1.columns] = 0.0
    cells["p1_lymphocyte"] = [1.0, 0.0, 0.0, 0.0]
    cells["p1_blast"] = [0.0, 1.0, 1.0, 1.0]
    found = ablations.correct(cells, 0.5)
    assert found["module_1"]["correct"].tolist() == [True, False, False, False] and "module_2" not in found
    assert found["verdict"]["correct"].tolist() == [True]


def test_a_smear_without_a_diagnosis_is_neither_right_nor_wrong():
    cells = pd.DataFrame(
        {
            "image_id": list("abcd"), "smear_id": list("stuv"), "patient_id": list("pqrs"), "site": "x",
            "diagnosis": ["control", "", None, "APL"], "split": "test", "cell_type": "lymphocyte", "eligible": True,
        }
    )  # fmt: skip
    cells[ablations.MODULE_1.columns] = 0.0
    cells["p1_lymphocyte"] = 1.0
    found = ablations.correct(cells, 0.5)
    assert found["verdict"]["smear_id"].tolist() == ["s", "v"] and found["verdict"]["correct"].tolist() == [True, False]
    assert len(found["module_1"]) == 4, "its labelled cells are judged"
    assert "verdict" not in ablations.correct(cells.iloc[1:3], 0.5)


def test_ablations_that_are_not_asked_for_or_not_possible_say_so(setup):
    without = setup.profile.model_copy(update={"ablations": None})
    assert "profile" in ablations.run_all(replace(setup, profile=without)).reason
    alone = setup.data.manifest.assign(patient_id=setup.data.manifest["smear_id"], split="train")
    found = ablations.run_all(replace(setup, data=setup.data.with_manifest(alone)))
    assert isinstance(found, Unavailable) and "both sides" in found.reason


def test_a_random_start_stands_beside_a_pretrained_one_in_testing_and_outside(setup, untrained, monkeypatch):
    starts, replaced = [], ablations.fitted
    profile = setup.profile.model_copy(update={"start": "cells"})

    def fitted(setup, spec, images, settings, **given):
        starts.append((given["label"], setup.profile.start_of(settings.backbone)))
        return replaced(setup, spec, images, settings, **given)

    monkeypatch.setattr(ablations, "fitted", fitted)
    found = ablations.run_all(replace(setup, profile=profile))
    assert set(starts) == {
        ("plain", "cells"), ("random start", "random"), ("patient split", "cells"), ("stain augmentation", "cells"),
        ("stain normalisation", "cells"),
    }  # fmt: skip
    own = found.frame[found.frame["variant"].eq("random start")]
    assert own["where"].tolist() == ["test"] * 3 + ["external"] * 3
    keys = [value.key for value in found.values if "random" in value.key]
    assert keys[0] == "study.random_start.test.module_1.difference" and len(set(keys)) == 6


def test_normalised_pictures_that_do_not_fit_lie_in_a_file_without_a_name(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    pixels = rng.integers(120, 200, (8, 8, 8, 3)).astype(np.uint8)
    manifest = pd.DataFrame({"split": "train", "smear_id": ["a"] * 4 + ["b"] * 4})
    whole = ablations.normalised(pixels, manifest, np.random.default_rng(0))
    monkeypatch.setattr(ablations, "RESIDENT", pixels.nbytes - 1)
    mapped = ablations.normalised(pixels, manifest, np.random.default_rng(0), folder=tmp_path)
    assert isinstance(mapped, np.memmap) and np.array_equal(mapped, whole) and not list(tmp_path.iterdir())
