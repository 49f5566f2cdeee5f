"""The families in miniature keep what the paper's networks have: five blocks, the head, the meaning of fine-tuning."""

import pytest
import torch

from alnet_lib.networks import activations, building, storage
from alnet_lib.networks.architectures import ARCHITECTURES, in_the_paper, stand_ins, title

MINIATURES = [name for name, known in ARCHITECTURES.items() if known.miniature_of]
CLASSES = tuple("abcdef")


def test_every_network_of_the_papers_table_3_and_of_module_2_has_one():
    assert {in_the_paper(name) for name in MINIATURES} == {"vgg16", "vgg19", "resnet101", "densenet121", "senet154"}
    assert all("miniature" in title(name) for name in MINIATURES)
    assert in_the_paper("vgg16") == "vgg16" and in_the_paper("vit_tiny_patch16_224") == "vit_tiny_patch16_224"


@pytest.mark.parametrize("name", MINIATURES)
def test_a_miniature_is_small_and_has_five_blocks_and_the_head(name):
    """At most two million parameters at 112 pixels; the maps halve from block to block as in the large network."""
    with torch.device("meta"):
        network = building.build(name, CLASSES, 112).eval()
        assert network(torch.zeros(2, 3, 112, 112)).shape == (2, 6)
    assert sum(parameter.numel() for parameter in network.parameters()) <= 2_000_000
    assert len(network.blocks) == 5
    assert {"fc1", "fc2", "fc3"} < dict(network.head.named_children()).keys()


@pytest.mark.parametrize("name", MINIATURES)
def test_blocks_of_a_miniature_keep_the_sizes_of_the_papers_network(name):
    """Stride for stride: the maps after each block have the same height and width."""
    with torch.device("meta"):
        large = building.build(in_the_paper(name), CLASSES, 224)
        small = building.build(name, CLASSES, 224)
    assert [shape[1:] for shape in small.map_shapes] == [shape[1:] for shape in large.map_shapes]


def test_vgg_miniatures_have_the_papers_convolutions_per_block():
    for name, expected in (("vgg16_miniature", [2, 2, 3, 3, 3]), ("vgg19_miniature", [2, 2, 4, 4, 4])):
        with torch.device("meta"):
            blocks = building.build(name, CLASSES, 32).blocks
        assert [sum(isinstance(m, torch.nn.Conv2d) for m in block.modules()) for block in blocks] == expected


@pytest.mark.parametrize("name", MINIATURES)
def test_fine_tuning_the_last_blocks_freezes_the_first(name):
    with torch.device("meta"):
        prefix, tail = building.build(name, CLASSES, 40).parts(2)
    assert len(prefix) == 3 and len(tail) == 3


def test_a_miniature_is_saved_and_loaded(tmp_path):
    network = building.build("senet_miniature", CLASSES, 40, seed=3).eval()
    storage.save_network(network, tmp_path / "m.safetensors", {})
    again, about = storage.load_network(tmp_path / "m.safetensors")
    images = torch.rand(2, 3, 40, 40)
    assert about["backbone"] == "senet_miniature" and torch.equal(network(images), again(images))


def test_the_papers_map_has_a_counterpart_in_a_miniature():
    """Map 202 of 256 in VGG16; the same share of a narrower layer."""
    with torch.device("meta"):
        networks = {name: building.build(name, CLASSES, 32) for name in ("vgg16", "vgg16_miniature")}
    address = {name: activations.papers_map(network) for name, network in networks.items()}
    assert address == {"vgg16": (3, 1, 202), "vgg16_miniature": (3, 1, 202 * 64 // 256)}


def test_a_caption_says_what_stands_for_the_networks_of_the_paper():
    assert stand_ins(["vgg16", "squeezenet1_1", "vit_tiny_patch16_224"]) == ""
    told = stand_ins(["vgg16_miniature", "vgg16", "vgg16_miniature", "senet_miniature"])
    assert told.endswith(": VGG16, miniature for VGG16, SENet, miniature for SENet154.")
