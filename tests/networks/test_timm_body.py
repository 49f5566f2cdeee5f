"""Networks of timm under the paper's protocol: frozen groups stay as they are, offline weights load, unknown names."""

import dataclasses

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from alnet_lib.imaging import augmentation
from alnet_lib.networks import building, storage
from alnet_lib.networks.starts import imagenet
from alnet_lib.networks.timm_body import TimmBody
from alnet_lib.training import fitting, inference
from alnet_lib.training.data import Images
from alnet_lib.training.options import Options

NAMES = ["convnext_atto", "vit_tiny_patch16_224"]


def images(size=32):
    pixels = np.random.default_rng(0).integers(0, 255, (16, size, size, 3), dtype=np.uint8)
    return Images(pixels, np.arange(16), np.arange(16) % 2, np.arange(16), ("a", "b"))


@pytest.mark.parametrize("name", NAMES)
def test_groups_are_five_and_in_order(name):
    body = TimmBody(name, 32)
    assert set(body.group_of.values()) == {0, 1, 2, 3, 4}
    assert set(body.group_of) == {n for n, _ in body.model.named_parameters()}
    first = "stem.0.weight" if name.startswith("convnext") else "patch_embed.proj.weight"
    assert body.group_of[first] == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("blocks", [1, 3, 5])
def test_only_the_last_groups_and_the_head_change(name, blocks):
    data = images()
    start, net = (building.build(name, data.classes, 32, seed=1) for _ in range(2))
    plan = augmentation.balancing_plan(data.labels, 8, np.random.default_rng(0))
    options = Options(iterations=2, batch_size=8, lr_min=1e-3, lr_max=1e-3, fine_tuned_blocks=blocks, label=name)
    fitting.fit(net, data, plan, data, options)
    before = dict(start.blocks[0].model.named_parameters())
    for key, after in net.blocks[0].model.named_parameters():
        group = net.blocks[0].group_of[key]
        if group < 5 - blocks:
            assert torch.equal(before[key], after), key
    changed = {
        net.blocks[0].group_of[k] for k, v in net.blocks[0].model.named_parameters() if not torch.equal(before[k], v)
    }
    assert changed == set(range(5 - blocks, 5))


def test_a_network_is_saved_and_loaded(tmp_path):
    data = images()
    net = building.build("convnext_atto", data.classes, 32, seed=1)
    options = Options(iterations=1, batch_size=4, lr_min=1e-4, lr_max=1e-3)
    storage.save_network(net, tmp_path / "m.safetensors", {})
    again, _ = storage.load_network(tmp_path / "m.safetensors")
    assert np.array_equal(inference.predict(net, data, options), inference.predict(again, data, options))


def test_weights_from_a_file_and_none_without(tmp_path, monkeypatch):
    donor = TimmBody("convnext_atto", 32)
    with torch.no_grad():
        for parameter in donor.parameters():
            parameter.fill_(0.25)
    save_file(donor.model.state_dict(), tmp_path / "convnext_atto.safetensors")
    net = building.build("convnext_atto", ("a", "b"), 32, start="imagenet", weights_dir=str(tmp_path))
    assert float(next(net.blocks[0].model.parameters()).detach().mean()) == 0.25
    assert net.weights == "timm convnext_atto" and net.preprocessing.mean == (0.485, 0.456, 0.406)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(imagenet.WeightsError, match=r"vit_tiny_patch16_224\.safetensors"):
        building.build("vit_tiny_patch16_224", ("a", "b"), 32, start="imagenet", weights_dir=str(tmp_path))


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"unknown network `vgg17`.*timm"):
        building.build("vgg17", ("a", "b"), 32)


def test_more_blocks_than_there_are_are_refused():
    net = building.build("convnext_atto", ("a", "b"), 32)
    with pytest.raises(ValueError, match="6 fine-tuned blocks"):
        fitting.fit(
            net,
            images(),
            augmentation.balancing_plan(np.arange(16) % 2, 8, np.random.default_rng(0)),
            images(),
            dataclasses.replace(Options(iterations=1, batch_size=4, lr_min=1e-4, lr_max=1e-3), fine_tuned_blocks=6),
        )
