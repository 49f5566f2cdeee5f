"""Numbers about feature maps have their known values."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from alnet_lib.core.profile import Profile
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.evaluation.explanation import augmentation, examples, feature_maps, regions
from alnet_lib.experiments.preparation import Setup
from alnet_lib.networks import activations
from alnet_lib.networks.building import build


def test_the_papers_layer_has_256_maps_and_hooks_are_removed():
    network = build("vgg16", ("a", "b"), 32).train()
    block, layer, number = activations.PAPERS_MAP
    maps = activations.activations(network, torch.rand(2, 3, 32, 32), block, layer)
    assert maps.shape == (2, 256, 8, 8) and number <= 256
    assert (maps >= 0).all()
    assert network.training
    assert not activations.convolution(network, block, layer)._forward_hooks


def test_feature_maps_go_on_in_smaller_parts_when_memory_runs_out(monkeypatch):
    network, notes = build("squeezenet1_1", ("a", "b"), 32), []
    shown = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), dtype=np.uint8)
    expected, original = feature_maps._maps(network, shown, 3, 1, notes), activations.activations

    def limited(network, images, *address):
        if len(images) > 2:
            raise torch.OutOfMemoryError("planted")
        return original(network, images, *address)

    monkeypatch.setattr(activations, "activations", limited)
    np.testing.assert_allclose(feature_maps._maps(network, shown, 3, 1, notes), expected, atol=1e-5)
    assert notes == ["feature maps: out of memory, from then on 2 at a time"]


def test_a_layer_that_is_not_there_is_named():
    network = build("vgg16", ("a", "b"), 32)
    with pytest.raises(ValueError, match="block 1 of vgg16 has 2"):
        activations.convolution(network, 1, 3)
    with pytest.raises(ValueError, match="block 6"):
        activations.convolution(network, 6, 1)


def test_entropy_and_peak_of_known_histograms():
    uniform = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert feature_maps.histogram_summary(uniform)["entropy"] == pytest.approx(8)
    assert feature_maps.histogram_summary(uniform)["peak_width"] == 256
    flat = np.full((8, 8), 100, np.uint8)
    assert feature_maps.histogram_summary(flat) == {"peak_position": 100, "peak_width": 8, "entropy": 0, "dark": 0}
    two = np.repeat(np.array([10, 200], np.uint8), 32).reshape(8, 8)
    assert feature_maps.histogram_summary(two)["entropy"] == pytest.approx(1)
    assert feature_maps.histogram_summary(two)["dark"] == 0.5


def test_grey_spans_0_to_255_and_a_constant_map_is_black():
    assert set(feature_maps.to_grey(np.array([[0.0, 3.0]])).ravel()) == {0, 255}
    assert feature_maps.to_grey(np.ones((2, 2))).max() == 0


def test_a_map_that_is_the_mask_agrees_and_noise_does_not():
    mask = np.zeros((60, 60), bool)
    mask[15:45, 15:45] = True
    assert feature_maps.edge_agreement(mask.astype(float), mask) > 0.98
    noise = [feature_maps.edge_agreement(np.random.default_rng(i).random((60, 60)), mask) for i in range(10)]
    assert np.mean(noise) == pytest.approx(0.5, abs=0.05)
    assert np.isnan(feature_maps.edge_agreement(np.ones((4, 4)), np.zeros((60, 60), bool)))


@pytest.fixture(scope="module")
def profile():
    settings = {"image_size": 48, "feature_map_cells": 2, "bootstrap": 20}
    return Profile.load("quick").model_copy(update=settings)


@pytest.fixture(scope="module")
def pixels(twin):
    return np.random.default_rng(0).integers(0, 255, (len(twin.manifest), 48, 48, 3), dtype=np.uint8)


@pytest.mark.slow
def test_statistics_have_a_row_for_each_group_and_network_and_repeat(twin, pixels, profile):
    nets = {"original": build("vgg16", ("a", "b"), 48, seed=1), "ALNet": build("vgg16", ("a", "b"), 48, seed=2)}
    found, again = (feature_maps.statistics(twin, pixels, profile, nets) for _ in range(2))
    frame = found.frame
    assert frame.equals(again.frame) and found.facts == again.facts
    assert list(frame["network"].unique()) == ["original", "ALNet", "difference, paired by cell"]
    assert set(frame["measure"]) == {
        "peak position", "peak width", "entropy", "dark", "edges, cell", "edges, nucleus",
    }  # fmt: skip
    of_group = frame[frame["group"].ne("all")]
    assert of_group["cells"].max() <= 2 and of_group["low"].isna().all(), "two cells have no interval"
    everything = frame[frame["group"].eq("all")].set_index(["network", "measure"])
    assert found.facts["entropy_ALNet"] == everything.loc[("ALNet", "entropy"), "mean"]
    difference = everything.loc[("ALNet", "entropy"), "mean"] - everything.loc[("original", "entropy"), "mean"]
    assert found.facts["difference"] == pytest.approx(difference)
    keys = [value.key for value in found.values]
    assert "feature_maps.ALNet.entropy" in keys and "feature_maps.difference.edges_nucleus" in keys
    assert len(keys) == len(set(keys)) == 18


def _measured(per_cell, patients):
    """Entropies of original and trained network, one row a cell; the cells' manifest."""
    rows = [
        {"entropy": value, "group": "Blasts", "network": name}
        for name, values in zip(("original", "ALNet"), per_cell, strict=True)
        for value in values
    ]
    n = len(per_cell[0])
    frame = pd.DataFrame(rows, index=[*range(n), *range(n)])
    return frame, pd.DataFrame({"patient_id": patients, "smear_id": patients})


def test_the_difference_in_entropy_is_students_paired_interval_and_told_plainly():
    rng = np.random.default_rng(1)
    before = rng.normal(6, 0.5, 12)
    after = before - 0.4 + rng.normal(0, 0.2, 12)
    names = [f"p{i}" for i in range(12)]
    found = feature_maps._summarised(*_measured((before, after), names), ["original", "ALNet"])
    known = stats.ttest_rel(after, before).confidence_interval()
    value = next(v for v in found.values if v.key == "feature_maps.difference.entropy")
    assert (value.ci_low, value.ci_high, value.unit) == (pytest.approx(known.low), pytest.approx(known.high), "bits")
    assert value.n_patients == 12 and "against the paper" in found.facts["verdict"]
    turned = feature_maps._summarised(*_measured((after, before), names), ["original", "ALNet"])
    assert turned.facts["verdict"].startswith("in line with the paper")
    few = feature_maps._summarised(*_measured((before, after), ["a", "b", "c", "d"] * 3), ["original", "ALNet"])
    assert few.frame["low"].isna().all() and few.facts["verdict"].startswith("too few patients")
    assert few.facts["ci"] == "4 patients: too few for an interval"


def test_intervals_of_maps_stay_possible():
    entropy = np.array([0.0, 0, 0, 0, 0, 2.0])
    frame, about = _measured((entropy, entropy[::-1]), list("abcdef"))
    frame["dark"] = 1 - frame["entropy"] / 8
    found = feature_maps._summarised(frame, about, ["original", "ALNet"]).frame.query("group == 'all'")
    rows = found.set_index(["network", "measure"])
    assert rows.loc[("original", "entropy"), "low"] == 0 and rows.loc[("ALNet", "dark"), "high"] == 1
    assert rows.loc[("difference, paired by cell", "entropy"), "low"] < 0, "a difference may be below 0"


def test_cell_types_list_granulocytes_only_of_the_synthetic_cohort(twin, profile):
    rows = examples.cell_types(twin, profile)
    assert rows.facts["listed"].startswith("A: neutrophil, eosinophil, basophil, lymphocytes")
    assert [len(row) for row in rows.pictures.values()] == rows.frame.groupby("row").size().tolist()
    assert all(picture.shape == (192, 192, 3) for row in rows.pictures.values() for picture in row)
    assert [label for row in rows.labels.values() for label in row] == rows.frame["cell type"].tolist()
    from dataclasses import replace

    assert "neutrophil" not in examples.cell_types(replace(twin, name="other"), profile).facts["listed"]


def test_figure_7_prefers_testing_cells_and_says_when_there_are_none(twin):
    choice = feature_maps.figure_7_cells(twin.manifest, np.random.default_rng(0))
    assert twin.manifest["split"].iloc[list(choice.rows.values())].eq("test").all()
    assert feature_maps.grid_cell(choice) == next(iter(choice.rows.values()))
    none = feature_maps.figure_7_cells(twin.manifest.assign(cell_type="monocyte"), np.random.default_rng(0))
    assert not none and "myeloid" in none.reason and feature_maps.grid_cell(none) == 0


def test_regions_of_synthetic_cells_are_their_masks(twin, profile):
    row = twin.manifest.iloc[0].to_dict()
    region = regions.regions(twin, profile, row)
    cell, _ = regions.reference_masks(twin, profile, row)
    assert region.shape == (48, 48) and set(np.unique(region)) <= {0, 1, 2}
    assert (region < 2).mean() > cell.mean() * 0.8


def test_the_augmentation_example_begins_with_the_original(twin, profile):
    found = augmentation.augmentation_example(twin.manifest, twin.pictures, profile)
    (pictures,) = found.pictures.values()
    first = np.flatnonzero(twin.manifest["cell_type"].eq("b_lymphoblast") & twin.manifest["split"].eq("train"))[0]
    np.testing.assert_array_equal(pictures[0], twin.pictures([twin.manifest["image_id"].iloc[first]], 192)[0])
    assert found.labels[0] == "original" and len(pictures) == len(found.labels) == 5
    assert found.facts["cell_type"] == "B-lymphoblast"


def test_augmentation_check_measures_a_network_that_always_predicts_one_class(twin, pixels, profile, tmp_path):
    from types import SimpleNamespace

    from alnet_lib.core.outcomes import Unavailable
    from alnet_lib.diagnosis.tasks import MODULE_1
    from alnet_lib.experiments.datasets import CellImages, fit_and_validation

    class First(torch.nn.Module):
        def preprocessing(self, x):
            return x

        def forward(self, x):
            return torch.eye(5)[torch.zeros(len(x), dtype=torch.long)]

    setup = Setup(CellImages(twin.manifest, pixels), profile, tmp_path)
    trained = SimpleNamespace(network=First(), options=SimpleNamespace(device="cpu"))
    found = augmentation.augmentation_check(setup, {"module_1": trained, "module_2": Unavailable("none")})
    frame = found.frame
    assert frame["class"].tolist() == [LABELS[name] for name in MODULE_1.classes] and set(frame["module"]) == {"1"}
    assert frame["untouched"].tolist() == frame["turned"].tolist() == [100, 0, 0, 0, 0]
    assert (frame["difference"] == 0).all() and frame["patients"].between(1, len(twin.manifest)).all()
    given = frame["patients"] >= 5
    assert given.any() and frame.loc[given, "untouched, high"].notna().all() and frame.loc[given, "low"].notna().all()
    assert frame.loc[~given, ["untouched, low", "turned, high", "low"]].isna().all(axis=None)
    first = MODULE_1.classes[0]
    values = {value.key: value for value in found.values}
    assert [values[f"augmentation.module_1.{first}.{name}"].reproduced for name in ("untouched", "turned")] == [
        100,
        100,
    ]
    change = values[f"augmentation.module_1.{first}.difference"]
    assert change.unit == "percentage points" and change.n_patients == frame["patients"].iloc[0]
    fitted, kept = fit_and_validation(setup.data, MODULE_1, profile)
    both, all_of = len(set(fitted.groups) & set(kept.groups)), len(set(kept.groups))
    assert both and found.facts["seen"] == (
        f"Patients of these cells with other images that the module was trained on: {both} of {all_of} for module 1."
    )
    assert augmentation.augmentation_check(setup, {"module_1": Unavailable("too few")}).reason == "too few"
