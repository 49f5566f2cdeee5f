"""The five networks have the blocks, maps and heads that section 2.3 states."""

import hashlib

import pytest
import torch

from alnet_lib import backbones, weights
from alnet_lib.weights import WeightsError

CLASSES = tuple("abcdef")


@pytest.mark.parametrize(
    ("name", "features", "hidden", "maps"),
    [
        ("vgg16", 25_088, (1024, 512), 512),
        ("densenet121", 50_176, (2048, 512), 1024),
        ("vgg19", 25_088, (1024, 512), 512),
    ],
)
def test_head_widths_at_224_pixels_are_the_papers(name, features, hidden, maps):
    network = backbones.build(name, CLASSES, 224)
    assert network.map_shapes[-1] == (maps, 7, 7)
    assert network.head.fc1.in_features == features
    assert (network.head.fc1.out_features, network.head.fc2.out_features) == hidden


@pytest.mark.parametrize(
    ("name", "maps"), [("resnet101", 2048), ("senet154", 2048), ("densenet121", 1024), ("vgg19", 512)]
)
def test_heads_follow_the_map_size(name, maps):
    network = backbones.build(name, CLASSES, 64).eval()
    assert len(network.blocks) == 5
    assert network.head.fc1.in_features == maps * 2 * 2
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 6)


def test_vgg_convolutions_per_block_are_the_papers():
    for name, expected in (("vgg16", [2, 2, 3, 3, 3]), ("vgg19", [2, 2, 4, 4, 4])):
        network = backbones.build(name, CLASSES, 32)
        assert [sum(isinstance(m, torch.nn.Conv2d) for m in block) for block in network.blocks] == expected


@pytest.mark.parametrize("name", ["vgg16", "densenet121", "squeezenet1_1"])
def test_blocks_in_series_compute_what_torchvisions_features_compute(name):
    import torchvision

    network = backbones.build(name, CLASSES, 64, seed=3).eval()
    theirs = getattr(torchvision.models, name)(weights=None)
    state = dict(zip(theirs.features.state_dict(), network.blocks.state_dict().values(), strict=True))
    theirs.features.load_state_dict(state)
    x = torch.rand(1, 3, 64, 64)
    ours = torch.nn.Sequential(*network.blocks)(x)
    expected = theirs.features.eval()(x)
    assert torch.allclose(ours, torch.relu(expected) if name == "densenet121" else expected, atol=1e-5)


def test_start_depends_on_the_seed_alone():
    a, b, c = (backbones.build("squeezenet1_1", CLASSES, 32, seed=s).head.fc3.weight for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


def _spreads(network, images):
    """Standard deviation of the outputs of every convolution and linear layer but the last."""
    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)][:-1]
    found = []
    hooks = [layer.register_forward_hook(lambda *passed: found.append(float(passed[2].std()))) for layer in layers]
    with torch.no_grad():
        network.eval()(network.preprocessing(images))
    for hook in hooks:
        hook.remove()
    return found


def test_a_fitted_start_keeps_the_signal_through_every_layer():
    images = 0.8 + 0.1 * torch.randn(48, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    fitted, again = (backbones.build("vgg16", CLASSES, 32, seed=3) for _ in range(2))
    assert _spreads(fitted, images)[-1] < 0.5
    for network in (fitted, again):
        backbones.start_from(network, images[:32], seed=5)
    assert all(0.5 < spread < 2 for spread in _spreads(fitted, images[32:]))
    assert all(torch.equal(a, b) for a, b in zip(fitted.parameters(), again.parameters(), strict=True))
    assert fitted.preprocessing.mean == pytest.approx((0.8,) * 3, abs=0.01)


def test_a_network_with_batch_normalisation_only_gets_the_normalising():
    network, plain = (backbones.build("densenet121", CLASSES, 32, seed=3) for _ in range(2))
    backbones.start_from(network, torch.rand(8, 3, 32, 32))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), plain.parameters(), strict=True))
    assert network.preprocessing != plain.preprocessing


def test_unknown_network_and_single_class_are_refused():
    with pytest.raises(ValueError, match="vgg16"):
        backbones.build("vgg17", CLASSES, 64)
    with pytest.raises(ValueError, match="two classes"):
        backbones.build("vgg16", ("only",), 64)


def test_missing_weights_name_the_file_and_the_folders(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", _no_network)
    with pytest.raises(WeightsError, match=r"vgg16-397923af\.pth") as caught:
        backbones.build("vgg16", CLASSES, 32, weights="imagenet")
    assert str(tmp_path) in str(caught.value) and "weights: none" in str(caught.value)


def _no_network(*_, **__):
    raise OSError("no network")


def small_weight_file(monkeypatch, folder, network):
    """A state dict as torchvision lays it out (with its classifier), under a name that carries its checksum."""
    state = {f"features.{i}": v for i, v in enumerate(network.blocks.state_dict().values())}
    state["classifier.6.weight"] = torch.zeros(1000, 8)
    path = folder / "draft.pth"
    torch.save(state, path)
    named = folder / f"{network.name}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    path.rename(named)
    monkeypatch.setattr(weights, "source", lambda name: f"https://example.org/{named.name}")
    return named


def test_weights_in_a_given_folder_are_verified_and_loaded(monkeypatch, tmp_path):
    donor = backbones.build("squeezenet1_1", CLASSES, 32, seed=9)
    path = small_weight_file(monkeypatch, tmp_path, donor)
    network = backbones.build("squeezenet1_1", CLASSES, 32, weights="imagenet", weights_dir=str(tmp_path), seed=1)
    for ours, theirs in zip(network.blocks.state_dict().values(), donor.blocks.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    assert network.weights == path.name
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(WeightsError, match="damaged"):
        backbones.build("squeezenet1_1", CLASSES, 32, weights="imagenet", weights_dir=str(tmp_path))


def test_weights_of_another_network_are_refused(monkeypatch, tmp_path):
    small_weight_file(monkeypatch, tmp_path, backbones.build("squeezenet1_1", CLASSES, 32))
    with pytest.raises(WeightsError, match="do not fit vgg16"):
        backbones.build("vgg16", CLASSES, 32, weights="imagenet", weights_dir=str(tmp_path))


def test_keras_weights_load_with_their_preprocessing(tmp_path):
    import h5py

    donor = backbones.build("squeezenet1_1", CLASSES, 32, seed=5)
    names = ["conv1"] + [f"fire{i}/{p}" for i in range(2, 10) for p in ("squeeze1x1", "expand1x1", "expand3x3")]
    tensors = list(donor.blocks.state_dict().values())
    with h5py.File(tmp_path / weights.KERAS_SQUEEZENET, "w") as file:
        for i, name in enumerate(names):
            file[f"{name}/{name}_3/kernel:0"] = tensors[2 * i].permute(2, 3, 1, 0).numpy()
            file[f"{name}/{name}_3/bias:0"] = tensors[2 * i + 1].numpy()
    network = backbones.build("squeezenet1_1", CLASSES, 32, weights="imagenet", weights_dir=str(tmp_path))
    for ours, theirs in zip(network.blocks.state_dict().values(), tensors, strict=True):
        assert torch.equal(ours, theirs)
    white = network.preprocessing(torch.ones(1, 3, 1, 1)).flatten()
    assert torch.allclose(white, torch.tensor([255 - 103.939, 255 - 116.779, 255 - 123.68]), atol=1e-3)


def test_the_published_squeezenet_weights_load_and_see_edges(weights_sample):
    network = backbones.build("squeezenet1_1", CLASSES, 64, weights="imagenet", weights_dir=str(weights_sample))
    assert sum(p.numel() for p in network.blocks.parameters()) == 722_496
    assert network.weights == "squeezenet_v1.1_imagenet_notop_tf.h5"
    # Trained filters answer to structure: a picture with edges moves the first block's maps more than an even one.
    even = torch.full((1, 3, 64, 64), 0.5)
    edges = even.clone()
    edges[..., ::8] = 0.0
    with torch.no_grad():
        spread = [network.eval().blocks[0](network.preprocessing(x)).std(dim=(2, 3)).mean() for x in (even, edges)]
    assert spread[1] > 3 * spread[0]
