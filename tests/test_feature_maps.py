"""Numbers about feature maps have their known values."""

import numpy as np
import pytest
import torch

from alnet_lib import feature_maps
from alnet_lib.backbones import build


def test_the_papers_layer_has_256_maps_and_hooks_are_removed():
    network = build("vgg16", ("a", "b"), 32).train()
    block, layer, number = feature_maps.PAPERS_MAP
    maps = feature_maps.activations(network, torch.rand(2, 3, 32, 32), block, layer)
    assert maps.shape == (2, 256, 8, 8) and number <= 256
    assert (maps >= 0).all()
    assert network.training
    assert not feature_maps.convolution(network, block, layer)._forward_hooks


def test_a_layer_that_is_not_there_is_named():
    network = build("vgg16", ("a", "b"), 32)
    with pytest.raises(ValueError, match="block 1 of vgg16 has 2"):
        feature_maps.convolution(network, 1, 3)
    with pytest.raises(ValueError, match="block 6"):
        feature_maps.convolution(network, 6, 1)


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
