"""Pretrained weights land in the layers they were trained for, whatever their order; others are refused."""

import hashlib

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from alnet_lib.networks import building, timm_body
from alnet_lib.networks.architectures import ARCHITECTURES, senet
from alnet_lib.networks.starts import imagenet, start
from alnet_lib.networks.starts.imagenet import WeightsError
from alnet_lib.workflow import reproduce

CLASSES = tuple("abcdef")
HEAD_LIMIT = 1 << 21
"""Larger tensors of a classifier are left out of the files: they are not read, and VGG's take half a gigabyte."""


def library_network(name):
    """The library's network with a random start in which every vector, biases and statistics too, is its own."""
    generator = torch.Generator().manual_seed(7)
    network = ARCHITECTURES[name].library().eval()
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.ndim == 1:
                tensor += 0.2 * torch.rand(tensor.shape, generator=generator)
    return network


def shuffled(network):
    """Its state dict in another order, as a library may save it any day."""
    state = network.state_dict()
    keys = list(state)
    classifier = ("classifier.", "fc.", "last_linear.", "pre_logits.", "head.")
    kept = [key for key in keys if not key.startswith(classifier) or state[key].numel() < HEAD_LIMIT]
    return {key: state[key] for key in np.random.default_rng(0).permutation(kept).tolist()}


def weight_file(monkeypatch, folder, name, state):
    """A file under a name that carries its checksum, as torchvision publishes them."""
    path = folder / "draft.pth"
    torch.save(state, path)
    named = folder / f"{name}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    path.rename(named)
    monkeypatch.setattr(imagenet, "source", lambda name: f"https://example.org/{named.name}")
    return named


def logits(name, library, maps):
    """What the library's own classifier makes of maps."""
    if name.startswith("vgg"):
        return library.classifier(torch.flatten(library.avgpool(maps), 1))
    if name == "resnet101":
        return library.fc(torch.flatten(library.avgpool(maps), 1))
    if name == "densenet121":
        return library.classifier(maps.mean((2, 3)))
    return torch.flatten(library.classifier(maps), 1)


LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in ("vgg16", "vgg19", "resnet101", "densenet121")]


@pytest.mark.parametrize("name", [*LARGE, "squeezenet1_1"])
def test_a_shuffled_file_gives_torchvisions_logits(monkeypatch, tmp_path, name):
    library = library_network(name)
    path = weight_file(monkeypatch, tmp_path, name, shuffled(library))
    network = building.build(name, CLASSES, 64, start="imagenet", weights_dir=str(tmp_path), seed=1).eval()
    assert network.weights == path.name
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        maps = torch.nn.Sequential(*network.blocks)(picture)
        torch.testing.assert_close(logits(name, library, maps), library(picture), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_shuffled_senet_weights_give_pretrainedmodels_features():
    library = library_network("senet154")
    network = building.build("senet154", CLASSES, 64, seed=1).eval()
    imagenet.fill(network, shuffled(library))
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        maps = torch.nn.Sequential(*network.blocks)(picture)
        torch.testing.assert_close(maps, library.features(picture), rtol=1e-4, atol=1e-4)


def test_timms_senet_has_the_names_of_pretrainedmodels():
    import timm

    with torch.device("meta"):
        theirs = timm.create_model("legacy_senet154").state_dict()
        ours = senet().senet154(num_classes=1000, pretrained=None).state_dict()
    assert {k: v.shape for k, v in theirs.items()} == {k: v.shape for k, v in ours.items()}


def test_the_published_densenet_files_older_names_load():
    library = library_network("densenet121")
    old = {}
    for key, value in shuffled(library).items():
        for part in ("norm", "conv"):
            for number in "12":
                if "denselayer" in key:
                    key = key.replace(f".{part}{number}.", f".{part}.{number}.")
        old[key] = value
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    network = building.build("densenet121", CLASSES, 32, seed=1)
    imagenet.fill(network, old)
    expected = library.state_dict()["features.denseblock4.denselayer16.conv2.weight"]
    assert torch.equal(network.blocks[4].state_dict()["denseblock4.denselayer16.conv2.weight"], expected)


def _swapped(state):
    """Two tensors of one shape under each other's names cannot be seen; two of different shape must be."""
    a, b = "features.3.squeeze.weight", "features.3.expand3x3.weight"
    return state | {a: state[b], b: state[a]}


TIMMS = [(name, imagenet.TIMM[name].split(".")[0]) for name in imagenet.TIMM]
SLOW = {"vgg16", "vgg19", "resnet101", "senet154"}


@pytest.mark.parametrize(
    ("name", "theirs"), [pytest.param(*one, marks=[pytest.mark.slow] if one[0] in SLOW else []) for one in TIMMS]
)
@pytest.mark.parametrize("form", ["safetensors", "pth"])
def test_a_file_written_by_timm_gives_timms_features(monkeypatch, tmp_path, name, theirs, form):
    import timm

    if (name, form) in {("vgg16", "pth"), ("vgg19", "pth"), ("resnet101", "pth"), ("senet154", "safetensors")}:
        pytest.skip("one small network in both forms is enough, the large ones in timm's own")
    library = timm.create_model(theirs, pretrained=False).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for tensor in library.state_dict().values():
            if tensor.ndim == 1:
                tensor += 0.2 * torch.rand(tensor.shape, generator=generator)
    state = shuffled(library)
    if form == "pth":
        path = weight_file(monkeypatch, tmp_path, theirs, state)
        monkeypatch.setattr(timm_body, "published", lambda _: f"https://example.org/{path.name}")
        monkeypatch.setattr(imagenet, "source", lambda _: "https://example.org/none-00000000.pth")
    else:
        path = tmp_path / f"{imagenet.TIMM[name]}.safetensors"
        save_file(state, path)
    network = building.build(name, CLASSES, 64, start="imagenet", weights_dir=str(tmp_path), seed=1).eval()
    assert network.weights == path.name and imagenet.find(name, str(tmp_path)) == path
    picture = torch.rand(1, 3, 64, 64, generator=generator)
    with torch.inference_mode():
        maps = torch.nn.Sequential(*network.blocks)(picture)
        # timm's VGG has its first fully connected layer, as a convolution, among its features.
        expected = library.features(picture) if name.startswith("vgg") else library.forward_features(picture)
        torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-4)


def test_a_vision_transformers_file_written_by_timm_gives_timms_logits(tmp_path):
    import timm

    library = timm.create_model("vit_tiny_patch16_224", pretrained=False, img_size=64).eval()
    save_file(library.state_dict(), tmp_path / "vit_tiny_patch16_224.safetensors")
    network = building.build("vit_tiny_patch16_224", CLASSES, 64, start="imagenet", weights_dir=str(tmp_path)).eval()
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        tokens = network.blocks[0](picture)
        torch.testing.assert_close(library.forward_head(tokens), library(picture), rtol=1e-4, atol=1e-4)


def test_the_hubs_cache_is_looked_into_and_its_checksum_compared(monkeypatch, tmp_path):
    state = torchvision.models.densenet121(weights=None).state_dict()
    blobs, snapshot = (
        tmp_path / "models--timm--densenet121.tv_in1k/blobs",
        tmp_path / "models--timm--densenet121.tv_in1k/snapshots/1",
    )
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    save_file(state, blobs / "draft")
    blob = (blobs / "draft").rename(blobs / hashlib.sha256((blobs / "draft").read_bytes()).hexdigest())
    (snapshot / "model.safetensors").symlink_to(blob)
    monkeypatch.setattr(timm_body, "cached", lambda name: snapshot / "model.safetensors")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "none"))
    monkeypatch.delenv("ALNET_WEIGHTS", raising=False)
    network = building.build("densenet121", CLASSES, 32, start="imagenet")
    assert network.weights == "timm/densenet121.tv_in1k/model.safetensors"
    assert start.describe("imagenet", "densenet121").file == network.weights
    blob.write_bytes(blob.read_bytes() + b"x")
    with pytest.raises(WeightsError, match="damaged"):
        imagenet.find("densenet121")


def test_senet_comes_under_timms_name_from_timms_address(monkeypatch, tmp_path):
    asked, state = [], torch.nn.Linear(1, 1).state_dict()

    def answer(url, **_):
        asked.append(url)
        if "lip6" in url:
            raise OSError("the host is gone")
        return state

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", answer)
    assert imagenet._download("senet154") == (state, "legacy_senet154-e9eb9fe6.pth")
    assert len(asked) == 2 and "legacy_senet154-e9eb9fe6.pth" in imagenet.names("senet154")


def test_weights_are_looked_for_before_any_work_and_all_that_lack_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", _no_network)
    monkeypatch.setattr(timm_body, "cached", lambda _: None)
    monkeypatch.setattr(timm_body, "from_hub", _no_network)
    monkeypatch.delenv("ALNET_WEIGHTS", raising=False)
    with pytest.raises(start.StartError) as told:
        start.ensure({"vgg16": "imagenet", "senet154": "imagenet", "resnet_miniature": "cells"})
    message = str(told.value)
    assert "vgg16-397923af.pth" in message and "legacy_senet154-e9eb9fe6.pth" in message and str(tmp_path) in message
    monkeypatch.setattr(reproduce.building, "resolve", lambda _: None)
    with pytest.raises(ValueError, match=r"vgg16-397923af\.pth"):
        reproduce.reproduce(tmp_path / "run", profile="paper", cohort="synthetic")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "features.6.squeeze.bias"}, "missing features.6.squeeze.bias"),
        (lambda s: s | {"features.13.weight": torch.zeros(3)}, "unknown features.13.weight"),
        (_swapped, "features.3.expand3x3.weight of shape"),
        (lambda s: {f"features.{i}": v for i, v in enumerate(s.values())}, "tensors differ"),
    ],
)
def test_weights_that_are_not_the_networks_are_refused_and_change_nothing(change, message):
    state = ARCHITECTURES["squeezenet1_1"].library().state_dict()
    network, same = (building.build("squeezenet1_1", CLASSES, 32, seed=2) for _ in range(2))
    with pytest.raises(WeightsError, match=message):
        imagenet.fill(network, change(state))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), same.parameters(), strict=True))


def test_weights_of_another_network_are_refused(monkeypatch, tmp_path):
    weight_file(monkeypatch, tmp_path, "squeezenet1_1", torchvision.models.squeezenet1_1(weights=None).state_dict())
    with pytest.raises(WeightsError, match="do not fit vgg16"):
        building.build("vgg16", CLASSES, 32, start="imagenet", weights_dir=str(tmp_path))


def test_a_damaged_file_is_refused(monkeypatch, tmp_path):
    state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    path = weight_file(monkeypatch, tmp_path, "squeezenet1_1", state)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(WeightsError, match="damaged"):
        building.build("squeezenet1_1", CLASSES, 32, start="imagenet", weights_dir=str(tmp_path))


def test_missing_weights_name_the_file_and_the_folders(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", _no_network)
    monkeypatch.setattr(timm_body, "from_hub", _no_network)
    with pytest.raises(WeightsError, match=r"vgg16-397923af\.pth") as caught:
        building.build("vgg16", CLASSES, 32, start="imagenet")
    assert str(tmp_path) in str(caught.value) and "another `start`" in str(caught.value)


def _no_network(*_, **__):
    raise OSError("no network")


def test_keras_weights_load_with_their_preprocessing(monkeypatch, tmp_path):
    import h5py

    donor = building.build("squeezenet1_1", CLASSES, 32, seed=5)
    names = ["conv1"] + [f"fire{i}/{p}" for i in range(2, 10) for p in ("squeeze1x1", "expand1x1", "expand3x3")]
    tensors = list(donor.blocks.state_dict().values())
    with h5py.File(tmp_path / imagenet.KERAS_SQUEEZENET, "w") as file:
        for i, name in enumerate(names):
            file[f"{name}/{name}_3/kernel:0"] = tensors[2 * i].permute(2, 3, 1, 0).numpy()
            file[f"{name}/{name}_3/bias:0"] = tensors[2 * i + 1].numpy()
    monkeypatch.delenv("ALNET_WEIGHTS", raising=False)
    network = building.build("squeezenet1_1", CLASSES, 32, start="imagenet", weights_dir=str(tmp_path))
    for ours, theirs in zip(network.blocks.state_dict().values(), tensors, strict=True):
        assert torch.equal(ours, theirs)
    white = network.preprocessing(torch.ones(1, 3, 1, 1)).flatten()
    assert torch.allclose(white, torch.tensor([255 - 103.939, 255 - 116.779, 255 - 123.68]), atol=1e-3)


def test_the_published_squeezenet_weights_load_and_see_edges(weights_sample):
    network = building.build("squeezenet1_1", CLASSES, 64, start="imagenet", weights_dir=str(weights_sample))
    assert sum(p.numel() for p in network.blocks.parameters()) == 722_496
    assert network.weights == "squeezenet_v1.1_imagenet_notop_tf.h5"
    # Trained filters answer to structure: a picture with edges moves the first block's maps more than an even one.
    even = torch.full((1, 3, 64, 64), 0.5)
    edges = even.clone()
    edges[..., ::8] = 0.0
    with torch.no_grad():
        spread = [network.eval().blocks[0](network.preprocessing(x)).std(dim=(2, 3)).mean() for x in (even, edges)]
    assert spread[1] > 3 * spread[0]
