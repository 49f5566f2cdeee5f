"""Attribution maps: they find a planted square, shares add up, and the page of errors is in order."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from alnet_lib.core.vocabulary import MODULE_1_CLASSES
from alnet_lib.evaluation.explanation import attribution
from alnet_lib.figures.pictures import overlay
from alnet_lib.networks import building
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


def test_shares_of_a_map_add_up_and_follow_the_regions():
    region = np.full((10, 10), 2)
    region[2:8, 2:8], region[4:6, 4:6] = 1, 0
    found = attribution.shares(np.ones((10, 10)), region)
    assert found["nucleus"] == pytest.approx(0.04) and found["cytoplasm"] == pytest.approx(0.32)
    assert sum(found[name] for name in attribution.REGIONS) == pytest.approx(1)
    assert found["area, background"] == pytest.approx(found["background"])
    assert np.isnan(attribution.shares(np.zeros((10, 10)), region)["nucleus"])


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
