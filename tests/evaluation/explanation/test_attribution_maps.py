"""Attribution maps: they find a planted square, shares add up, and the page of errors is in order."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn

from alnet_lib.core.profile import Profile
from alnet_lib.core.vocabulary import MODULE_1_CLASSES
from alnet_lib.evaluation.explanation import attribution, randomisation
from alnet_lib.experiments.datasets import CellImages
from alnet_lib.experiments.preparation import Setup
from alnet_lib.figures.pictures import overlay
from alnet_lib.networks import building, storage
from alnet_lib.networks.network import Preprocessing


class _Square(nn.Module):
    """A stand-in for a network: class 1 is how dark the upper left quarter is, nothing else counts."""

    def __init__(self):
        super().__init__()
        self.preprocessing = Preprocessing((0.0,) * 3, (1.0,) * 3)
        self.blocks = nn.ModuleList([nn.Identity(), nn.Identity(), nn.Identity(), nn.AvgPool2d(4)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        half = x.shape[2] // 2
        dark = (1 - x[:, :, :half, :half]).mean((1, 2, 3))
        return torch.stack([torch.zeros_like(dark), dark], 1)


@pytest.fixture
def pictures():
    made = np.full((3, 32, 32, 3), 230, np.uint8)
    made[:, 4:12, 4:12] = 40
    made[:, 20:28, 20:28] = 40
    return made


def test_integrated_gradients_lie_where_the_network_looks(pictures):
    found = attribution.integrated_gradients(_Square(), pictures, np.ones(3, np.int64))
    assert found.shape == (3, 32, 32) and found.max() == pytest.approx(1)
    assert found[:, 4:12, 4:12].sum() > 0.999 * found.sum()


def test_grad_cam_of_a_real_network_has_the_pictures_size_and_repeats():
    network = building.build("vgg16", MODULE_1_CLASSES, 48, seed=1)
    pictures = np.random.default_rng(0).integers(0, 255, (2, 48, 48, 3), dtype=np.uint8)
    first, second = (attribution.grad_cam(network, pictures, np.array([0, 3])) for _ in range(2))
    assert first.shape == (2, 48, 48) and first.min() >= 0 and first.max() <= 1
    np.testing.assert_array_equal(first, second)


def test_attribution_goes_on_in_smaller_parts_when_memory_runs_out(pictures):
    def limited(network, shown, targets):
        if len(shown) > 1:
            raise torch.OutOfMemoryError("planted")
        return attribution.integrated_gradients(network, shown, targets)

    notes = []
    found = attribution._in_batches(limited, _Square(), pictures, np.ones(3, np.int64), notes)
    np.testing.assert_allclose(
        found, attribution.integrated_gradients(_Square(), pictures, np.ones(3, np.int64)), atol=1e-6
    )
    assert notes == ["attribution: out of memory, from then on 1 at a time"]


def test_shares_of_a_map_add_up_and_follow_the_regions():
    region = np.full((10, 10), 2)
    region[2:8, 2:8], region[4:6, 4:6] = 1, 0
    found = attribution.shares(np.ones((10, 10)), region)
    assert found["nucleus"] == pytest.approx(0.04) and found["cytoplasm"] == pytest.approx(0.32)
    assert sum(found[name] for name in attribution.REGIONS) == pytest.approx(1)
    assert found["area, background"] == pytest.approx(found["background"])
    assert np.isnan(attribution.shares(np.zeros((10, 10)), region)["nucleus"])


@pytest.fixture(scope="module")
def trained():
    """A small network with weights that are no random start, so that its parts can be told from one."""
    network = building.build("squeezenet1_1", ("blast", "monocyte"), 48, seed=1).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
    return network


def _same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_the_cascade_randomises_from_the_head_down_and_keeps_what_is_below(trained):
    shown = np.random.default_rng(0).integers(0, 255, (4, 48, 48, 3), dtype=np.uint8)
    kept = {name: value.clone() for name, value in trained.state_dict().items()}
    steps = []
    for step, changed in randomisation.cascade(trained, shown, 7):
        intact = [_same(a, b) for a, b in zip(changed.blocks, trained.blocks, strict=True)]
        done = len(steps)
        assert not _same(changed.head, trained.head) and not changed.training
        assert intact == [True] * (5 - done) + [False] * done
        assert changed.preprocessing == trained.preprocessing
        steps.append(step)
    assert steps == ["head", "block 5", "block 4", "block 3", "block 2", "block 1"]
    assert all(torch.equal(value, kept[name]) for name, value in trained.state_dict().items())
    again = [c for _, c in randomisation.cascade(trained, shown, 7)][-1]
    other = [c for _, c in randomisation.cascade(trained, shown, 8)][-1]
    assert _same(again, changed) and not _same(again, other)


def test_maps_of_the_image_alone_stay_alike_and_those_of_the_weights_do_not(trained):
    shown = np.random.default_rng(0).integers(0, 255, (4, 48, 48, 3), dtype=np.uint8)
    methods = {
        "image": lambda network: shown.mean(3),
        "weights": lambda network: np.random.default_rng(
            int(1e6 * float(network.head.fc3.weight.detach().abs().sum()))
        ).random((4, 48, 48)),
        "nothing": lambda network: np.zeros((4, 48, 48)),
    }
    found = randomisation.correlations(methods, trained, shown, 7)
    assert found["image"].to_numpy() == pytest.approx(1) and next(iter(found["image"])) == "head"
    assert np.abs(found["weights"].to_numpy()).max() < 0.2
    assert found["nothing"].isna().all(axis=None)


def test_correlation_of_maps_is_spearmans():
    a, b = np.random.default_rng(4).integers(0, 9, (2, 12, 12)).astype(float)
    assert randomisation.spearman(a, b) == pytest.approx(stats.spearmanr(a.ravel(), b.ravel()).statistic)


CELLS = 7


@pytest.fixture
def judged(twin, tmp_path, monkeypatch):
    """A function: `statistics` on seven monocytes of as many patients, with methods of one's own."""
    profile = Profile.load("smoke").model_copy(update={"image_size": 48, "feature_map_cells": 40})
    rows = twin.manifest.iloc[:CELLS].assign(
        split="test", cell_type="monocyte", patient_id=[f"p{i}" for i in range(CELLS)]
    )
    one = pd.DataFrame(np.eye(5)[[1] * CELLS], index=rows.index, columns=[f"p1_{c}" for c in MODULE_1_CLASSES])
    pixels = np.random.default_rng(0).integers(0, 255, (CELLS, 48, 48, 3), dtype=np.uint8)
    network = building.build("squeezenet1_1", MODULE_1_CLASSES, 48, seed=3)
    storage.save_network(network, tmp_path / "models" / "module_1.safetensors", {"backbone": "squeezenet1_1"})

    def judge(methods, patients=CELLS):
        monkeypatch.setattr(attribution, "METHODS", methods)
        own = pd.concat([rows, one], axis=1)
        own["patient_id"] = [f"p{i % patients}" for i in range(CELLS)]
        return attribution.statistics(twin, Setup(CellImages(rows, pixels), profile, tmp_path), own)

    return judge


def _image(network, pictures, targets):
    return pictures.mean(3)


def _learnt(network, pictures, targets):
    return np.random.default_rng(int(1e6 * float(network.head.fc3.weight.detach().abs().sum()))).random(
        pictures.shape[:3]
    )


def test_shares_and_checks_have_intervals_over_patients_and_values(judged):
    where, checks = judged({"Grad-CAM": _learnt, "integrated gradients": _image})
    frame = where.frame
    assert {"share, %", "low", "high", "patients", "design_effect", "interval", "area, %"} <= set(frame)
    assert set(frame["class"]) == {"all", "Monocytes"} and set(frame["patients"]) == {CELLS}
    value = next(v for v in where.values if v.key == "attribution.module_1.grad_cam.nucleus")
    row = frame[frame["class"].eq("all") & frame["method"].eq("Grad-CAM") & frame["region"].eq("nucleus")].iloc[0]
    assert (value.reproduced, value.ci_low) == (row["share, %"], row["low"]) and value.n_patients == CELLS
    assert value.unit == "%" and row["low"] < row["share, %"] < row["high"]
    shares = frame[frame["class"].eq("all")].groupby("method")["share, %"].sum()
    assert shares.to_numpy() == pytest.approx(100)
    keys = [v.key for v in checks.values]
    assert "attribution_check.module_1.integrated_gradients.block_1" in keys and len(set(keys)) == len(keys) == 12
    step = checks.frame[checks.frame["method"].eq("integrated gradients")]
    assert step["correlation"].to_numpy() == pytest.approx(1) and (step["cells"] == CELLS).all()


def test_a_method_that_shows_the_image_is_not_reported_without_saying_so(judged):
    where, checks = judged({"Grad-CAM": _learnt, "integrated gradients": _image})
    good, bad = attribution.findings(where, checks)
    assert good.startswith("Module 1, Grad-CAM: ") and "The maps change when all weights are random" in good
    assert "over 7 patients" in good
    before, _, shares = bad.partition("no finding about the network: ")
    assert "do not depend on what was learnt" in before and "on the nucleus" in shares and "nucleus" not in before
    assert checks.facts["verdict"] == "Does not depend on what was learnt: integrated gradients of module 1"


def test_whether_maps_depend_on_what_was_learnt_is_judged_by_the_interval():
    names = ["yes", "no", "wide", "few", "alike"]
    checks = pd.DataFrame(
        {
            "module": 1, "method": names, "step": "block 1", "correlation": [0.2, 0.8, 0.6, 0.7, 1.0],
            "low": [0.1, 0.7, 0.4, np.nan, np.nan], "high": [0.3, 0.9, 0.8, np.nan, np.nan],
            "patients": [9, 9, 9, 3, 9], "interval": "Student's t over patients",
        }
    )  # fmt: skip
    rows = [
        {"module": 1, "method": name, "class": "all", "region": region, "share, %": 40.0}
        | {"low": 30.0, "high": 50.0, "patients": 9, "interval": "Student's t over patients"}
        for name in names
        for region in ("nucleus", "background")
    ]
    where = pd.DataFrame(rows)
    where.loc[where["method"].eq("few"), ["share, %", "low", "high"]] = np.nan
    told = attribution.findings(attribution.Result(where), attribution.Result(checks))
    yes, no, wide, few, alike = told
    assert "The maps change when all weights are random" in yes
    assert all("do not depend on what was learnt" in sentence for sentence in (no, alike))
    for sentence in (wide, few):
        before, _, after = sentence.partition("no finding about the network: ")
        assert "cannot be judged" in before and "do not depend" not in sentence and "40.0%" not in before and after
    assert "nan" not in few and "no share can be given" in few and "3 patients: too few for an interval" in few
    assert attribution._verdict(checks) == (
        "Does not depend on what was learnt: no of module 1, alike of module 1; "
        "cannot be judged: wide of module 1, few of module 1"
    )
    assert attribution._verdict(checks.head(1)) == "All methods' maps change with the weights"


def test_intervals_of_shares_and_correlations_stay_possible(judged):
    def spiked(network, pictures, targets):
        maps = np.zeros(pictures.shape[:3])
        maps[:, 0, 0] = 1
        maps[0] = 1
        return maps

    where, _ = judged({"Grad-CAM": spiked})
    shares = where.frame[where.frame["low"].notna()]
    assert len(shares) and shares["low"].min() == 0 and shares["high"].max() == 100


def test_below_five_patients_there_is_no_interval_and_empty_maps_are_not_checked(judged):
    where, checks = judged({"Grad-CAM": _learnt}, patients=4)
    assert where.frame["low"].isna().all() and checks.frame["low"].isna().all()
    assert "4 patients: too few for an interval" in attribution.findings(where, checks)[0]
    where, checks = judged({"Grad-CAM": lambda network, pictures, targets: np.zeros(pictures.shape[:3])})
    assert "not checked" in attribution.findings(where, checks)[0]
    none = attribution.Unavailable("nothing")
    assert attribution.findings(none, none) is none


def test_an_overlay_is_a_picture_and_no_attribution_leaves_it_grey(pictures):
    shown = overlay(pictures[0], np.zeros((32, 32), np.float32))
    assert shown.dtype == np.uint8 and (shown[..., 0] == shown[..., 1]).all()


def test_confident_errors_are_wrong_testing_cells_surest_first():
    cells = pd.DataFrame(np.eye(5, dtype=float)[[0, 1, 4, 2, 3]], columns=[f"p1_{c}" for c in MODULE_1_CLASSES]) * 0.9
    cells.loc[2, "p1_blast"] = 0.95
    cells["cell_type"] = ["monocyte", "monocyte", "lymphocyte", "lymphocyte", "lymphocyte"]
    cells["split"] = ["test", "test", "test", "test", "train"]
    cells["image_id"] = list("abcde")
    found = attribution.confident_errors(cells)
    errors = found.frame
    assert errors["image_id"].tolist() == ["c", "a", "d"]
    assert errors["predicted"].tolist() == ["blast", "lymphocyte", "reactive_lymphocyte"]
    assert found.facts["listed"].startswith("Lymphocytes predicted as Blasts (0.95); ")
    assert not attribution.confident_errors(cells.iloc[:0])
