"""Pretrained weights land in the layers they were trained for, whatever their order; others are refused."""

import hashlib

import numpy as np
import pytest
import torch
import torchvision

from alnet_lib.networks import building
from alnet_lib.networks.architectures import ARCHITECTURES, senet
from alnet_lib.networks.starts import imagenet
from alnet_lib.networks.starts.imagenet import WeightsError

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
    classifier = ("classifier.", "fc.", "last_linear.")
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
