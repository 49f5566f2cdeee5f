"""Predictions: independent of the batch, the same after saving, in the columns asked for."""

import numpy as np
import pytest

from alnet_lib.imaging.augmentation import to_float
from alnet_lib.networks import storage
from alnet_lib.networks.building import build
from alnet_lib.training import device, inference
from alnet_lib.training.options import Options

OPTIONS = Options(iterations=1, batch_size=8, lr_min=1e-4, lr_max=1e-3)


def network():
    return build("squeezenet1_1", ("dark", "red"), 32)


def test_saved_networks_come_back_the_same(images, tmp_path):
    net = network().eval()
    storage.save_network(net, tmp_path / "m.safetensors", {"key": "k"})
    loaded, settings = storage.load_network(tmp_path / "m.safetensors")
    assert settings["classes"] == ["dark", "red"] and settings["key"] == "k"
    assert np.array_equal(inference.predict(net, images, OPTIONS), inference.predict(loaded, images, OPTIONS))


def test_predictions_do_not_depend_on_the_batch_size(images):
    net = network()
    a, b = (inference.predict(net, images, OPTIONS, batch=n) for n in (7, 40))
    assert np.allclose(a, b, atol=1e-6) and np.allclose(a.sum(1), 1, atol=1e-6)


def test_columns_are_the_classes_asked_for_and_unknown_ones_are_zero(images):
    net, rows = network(), np.array([5, 2, 39])
    done = []
    found = inference.class_probabilities(
        net, images.pixels, rows, OPTIONS, ("red", "green"), batch=2, progress=lambda *at: done.append(at)
    )
    expected = inference.predict(net, images.take(rows), OPTIONS)
    assert list(found.columns) == ["red", "green"]
    np.testing.assert_allclose(found["red"], expected[:, 1], atol=1e-6)
    assert (found["green"] == 0).all() and found["red"].dtype == np.float32
    assert done == [(2, 3), (3, 3)]


def test_no_image_gives_no_row(images):
    found = inference.class_probabilities(network(), images.pixels, np.array([], int), OPTIONS, ("dark", "red"))
    assert found.shape == (0, 2)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert device.resolve_device("auto") == device.resolve_device("cpu") == "cpu"
    with pytest.raises(RuntimeError, match="torch sees none"):
        device.resolve_device("cuda")


def test_features_are_means_and_maxima_of_the_last_block_in_the_order_of_the_rows(images):
    net = network().eval()
    rows = np.array([5, 2, 9])
    found = inference.features(net, images.pixels, rows, OPTIONS, batch=2)
    x = net.preprocessing(to_float(images.pixels[rows]))
    for block in net.blocks:
        x = block(x)
    maps = x.detach().flatten(2)
    assert np.allclose(found, np.concatenate([maps.mean(2), maps.amax(2)], 1), atol=1e-4)
    assert inference.features(net, images.pixels, np.array([], int), OPTIONS).shape == (0, 0)


def test_features_of_a_timm_model_are_what_its_classifier_gets(images):
    net = build("convnext_atto", ("dark", "red"), 32).eval()
    found = inference.features(net, images.pixels, np.arange(2), OPTIONS)
    assert found.shape == (2, net.blocks[0].model.num_features) and np.isfinite(found).all()
