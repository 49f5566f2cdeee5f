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


def test_all_ablations_compare_a_change_with_plain(setup):
    found = ablations.run_all(setup)
    frame = found.frame
    assert set(zip(frame["variant"], frame["where"], strict=True)) == {
        ("patient split", "test"), ("stain augmentation", "external"), ("stain normalisation", "external")
    }  # fmt: skip
    assert len(frame) == len(found.values) == 9
    assert frame["difference"].to_numpy() == pytest.approx(frame["other"] - frame["plain"])
    assert frame["low"].le(frame["high"]).all() and frame["other"].between(0, 100).all()
    assert found.values[0].key == "study.patient_split.module_1.difference"
    external = setup.data.manifest[setup.data.manifest["split"].eq("external")]
    cells = frame[frame["measure"].eq(ablations.MEASURES["module_1"]) & frame["where"].eq("external")]
    assert cells["n"].eq(len(external)).all()


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


def test_ablations_that_are_not_asked_for_or_not_possible_say_so(setup):
    without = setup.profile.model_copy(update={"ablations": None})
    assert "profile" in ablations.run_all(replace(setup, profile=without)).reason
    alone = setup.data.manifest.assign(patient_id=setup.data.manifest["smear_id"], split="train")
    found = ablations.run_all(replace(setup, data=setup.data.with_manifest(alone)))
    assert isinstance(found, Unavailable) and "both sides" in found.reason
