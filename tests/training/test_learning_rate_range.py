"""The range test: a copy is trained, rates grow, and the proposal lies where the loss falls."""

import numpy as np
import pandas as pd
import pytest
import torch

from alnet_lib.imaging import augmentation
from alnet_lib.networks import building
from alnet_lib.training import learning_rate_range
from alnet_lib.training.data import Images
from alnet_lib.training.options import Options


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 24)
    pixels = rng.integers(0, 60, (48, 32, 32, 3), dtype=np.uint8)
    pixels[labels == 1] += np.array([150, 0, 0], np.uint8)
    return Images(pixels, np.arange(48), labels, np.arange(48), ("dark", "red"))


def test_the_network_is_not_changed_and_rates_grow_geometrically(images):
    network = building.build("squeezenet1_1", images.classes, 32, seed=1)
    before = [p.clone() for p in network.parameters()]
    plan = augmentation.balancing_plan(images.labels, 24, np.random.default_rng(0))
    options = Options(iterations=1, batch_size=16, lr_min=1e-4, lr_max=1e-3)
    curve = learning_rate_range.range_test(network, images, plan, options, iterations=13)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    ratio = curve["learning_rate"].to_numpy()[1:] / curve["learning_rate"].to_numpy()[:-1]
    np.testing.assert_allclose(ratio, 10**0.5, rtol=1e-6)
    assert curve["smoothed"].iloc[0] == pytest.approx(curve["loss"].iloc[0])


def test_the_proposal_lies_where_the_loss_falls():
    rate = np.geomspace(1e-7, 1e-1, 61)
    log = np.log10(rate)
    smoothed = 2 - 1.5 / (1 + np.exp(-4 * (log + 4))) + np.where(log > -2.5, (log + 2.5) ** 2 * 3, 0)
    low, high = learning_rate_range.propose(pd.DataFrame({"learning_rate": rate, "smoothed": smoothed}))
    assert 1e-5 < low < 1e-4 < high < 3e-3


def test_a_loss_that_never_falls_proposes_nothing():
    curve = pd.DataFrame({"learning_rate": [1e-3, 1e-2, 1e-1], "smoothed": [1.0, 2.0, 3.0]})
    assert np.isnan(learning_rate_range.propose(curve)).all()
