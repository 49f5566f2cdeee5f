"""The five networks have the blocks, maps and heads that section 2.3 states."""

import pytest
import torch

from alnet_lib.networks import building
from alnet_lib.networks.architectures import ARCHITECTURES
from alnet_lib.networks.starts import random_start

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
    with torch.device("meta"):
        network = building.build(name, CLASSES, 224)
    assert network.map_shapes[-1] == (maps, 7, 7)
    assert network.head.fc1.in_features == features
    assert (network.head.fc1.out_features, network.head.fc2.out_features) == hidden


@pytest.mark.parametrize(
    ("name", "maps"), [("resnet101", 2048), ("senet154", 2048), ("densenet121", 1024), ("vgg19", 512)]
)
def test_heads_follow_the_map_size(name, maps):
    with torch.device("meta"):
        network = building.build(name, CLASSES, 64).eval()
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 6)
    assert len(network.blocks) == 5
    assert network.head.fc1.in_features == maps * 2 * 2


def test_vgg_convolutions_per_block_are_the_papers():
    for name, expected in (("vgg16", [2, 2, 3, 3, 3]), ("vgg19", [2, 2, 4, 4, 4])):
        with torch.device("meta"):
            blocks = ARCHITECTURES[name].blocks()
        assert [sum(isinstance(m, torch.nn.Conv2d) for m in block) for block in blocks] == expected


def test_start_depends_on_the_seed_alone():
    a, b, c = (building.build("squeezenet1_1", CLASSES, 32, seed=s).head.fc3.weight for s in (1, 1, 2))
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


@pytest.mark.slow
def test_a_fitted_start_keeps_the_signal_through_every_layer():
    images = 0.8 + 0.1 * torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    network = building.build("vgg16", CLASSES, 32, seed=3)
    assert _spreads(network, images)[-1] < 0.5
    random_start.start_from(network, images[:20], seed=5)
    assert all(0.5 < spread < 2 for spread in _spreads(network, images[20:]))
    assert network.preprocessing.mean == pytest.approx((0.8,) * 3, abs=0.01)


def test_a_fitted_start_depends_on_the_seed_alone():
    networks = [building.build("squeezenet1_1", CLASSES, 32, seed=3) for _ in range(3)]
    for network, seed in zip(networks, (5, 5, 6), strict=True):
        random_start.start_from(network, torch.linspace(0, 1, 8 * 3 * 32 * 32).view(8, 3, 32, 32), seed=seed)
    first, again, other = (network.blocks[0][0].weight for network in networks)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_network_with_batch_normalisation_only_gets_the_normalising():
    network, plain = (building.build("densenet121", CLASSES, 32, seed=3) for _ in range(2))
    random_start.start_from(network, torch.rand(8, 3, 32, 32))
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), plain.parameters(), strict=True))
    assert network.preprocessing != plain.preprocessing


def test_parts_split_at_the_fine_tuned_blocks():
    network = building.build("squeezenet1_1", CLASSES, 32)
    for blocks in range(1, 6):
        prefix, tail = network.parts(blocks)
        assert [*prefix, *tail] == [*network.blocks, network.head] and len(tail) == blocks + 1
    for blocks in (0, 6):
        with pytest.raises(ValueError, match=f"{blocks} fine-tuned blocks"):
            network.parts(blocks)


def test_unknown_network_and_single_class_are_refused():
    with pytest.raises(ValueError, match="vgg16"):
        building.build("vgg17", CLASSES, 64)
    with pytest.raises(ValueError, match="two classes"):
        building.build("squeezenet1_1", ("only",), 64)
