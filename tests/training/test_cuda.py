"""On a CUDA card the numbers are those of the processor, within what its arithmetic loses; skipped without a card."""

import dataclasses

import numpy as np
import pytest
import torch

from alnet_lib.imaging import augmentation
from alnet_lib.networks.building import build
from alnet_lib.training import device, fitting, inference
from alnet_lib.training.options import Options

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA card")

FOUND = "cuda"
NETWORKS = ("vgg16_miniature", "resnet_miniature", "densenet_miniature", "senet_miniature", "vgg16")

IEEE, TF32, BF16 = 1e-3, 2e-2, 0.02
"""Largest differences: of a loss, relative, after ten steps in float32 (sums in another order) and in TF32 (10 bits of
mantissa); of a probability in bf16 (7 bits), absolute."""


@pytest.fixture
def ieee():
    """float32 without TF32."""
    yield _float32("ieee")
    device.use_tensor_cores(FOUND)


def _float32(precision):
    torch.backends.cuda.matmul.fp32_precision = precision
    torch.backends.cudnn.conv.fp32_precision = precision


def trained(images, name, where):
    """A network after ten steps, and its losses; without dropout, which each device draws for itself."""
    net = build(name, ("dark", "red"), 32, seed=3, dropout=0)
    plan = augmentation.balancing_plan(images.labels, 25, np.random.default_rng(1))
    options = Options(iterations=10, batch_size=8, lr_min=1e-5, lr_max=1e-4, device=where, label=name)
    fitted = fitting.fit(net, images, plan, images.take(np.empty(0, int)), options)
    return net, fitted.history["loss"].to_numpy(), options


@pytest.mark.parametrize("name", NETWORKS)
def test_ten_losses_in_float32_are_those_of_the_processor(images, name, ieee):
    _, expected, _ = trained(images, name, "cpu")
    np.testing.assert_allclose(trained(images, name, FOUND)[1], expected, rtol=IEEE)


@pytest.mark.parametrize("name", NETWORKS)
def test_ten_losses_in_tf32_are_near(images, name):
    _, expected, _ = trained(images, name, "cpu")
    device.use_tensor_cores(FOUND)
    np.testing.assert_allclose(trained(images, name, FOUND)[1], expected, rtol=TF32)


@pytest.mark.parametrize("name", NETWORKS)
def test_predictions_in_bf16_are_those_of_float32_on_the_processor(images, name):
    net, _, options = trained(images, name, "cpu")
    expected = inference.predict(net, images, options)
    on_card = dataclasses.replace(options, device=FOUND, precision="bf16")
    np.testing.assert_allclose(inference.predict(net, images, on_card), expected, atol=BF16)


@pytest.mark.parametrize("form", device.LAYOUTS)
def test_both_layouts_give_the_same(images, form, ieee):
    _, expected, _ = trained(images, "resnet_miniature", "cpu")
    with device.fixed_layout(form):
        np.testing.assert_allclose(trained(images, "resnet_miniature", FOUND)[1], expected, rtol=IEEE)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_no_step_waits_for_the_card(images, precision):
    net = build("vgg16_miniature", ("dark", "red"), 32)
    options = Options(iterations=6, batch_size=8, lr_min=1e-5, lr_max=1e-4, device=FOUND, precision=precision)
    plan = augmentation.balancing_plan(images.labels, 25, np.random.default_rng(1))
    device.arrange(net, torch.device(FOUND), precision)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-5, fused=True)
    steps = fitting.Steps(net, images.on(torch.device(FOUND)), plan, options, optimizer)
    entries = np.arange(len(plan))[-8:]
    for iteration in range(2):  # Libraries choose their algorithms, Adam makes its moments.
        steps(entries, iteration)
    torch.cuda.set_sync_debug_mode("error")
    try:
        steps(entries, 2)
    finally:
        torch.cuda.set_sync_debug_mode("default")
