"""Starts: what is written is read, and what does not fit, is damaged or unknown is refused with its name."""

import hashlib
import json
import struct

import pytest
import timm
import torch
from safetensors.torch import save_file

from alnet_lib.core.integrity.index import digest_of
from alnet_lib.networks import building, storage
from alnet_lib.networks.starts import files, imagenet, start
from alnet_lib.networks.starts.files import StartError

ABOUT = {
    "sizes": (32, 160),
    "trained_on": "nothing",
    "method": "drawn at random",
    "licence": "MIT",
    "origin": "this test",
}
NAME = "resnet_miniature"


@pytest.fixture(scope="module")
def donor():
    """A network that no seed of the tests gives."""
    network = building.build(NAME, ("a", "b"), 64, seed=11)
    network.preprocessing = network.preprocessing.__class__((0.7, 0.6, 0.5), (0.1, 0.2, 0.3), True)
    return network


@pytest.fixture
def written(donor, tmp_path):
    """Its start."""
    files.write(tmp_path / "mine.safetensors", donor, **ABOUT)
    return tmp_path / "mine.safetensors"


@pytest.fixture
def shipped(donor, tmp_path, monkeypatch):
    """The kit brings it as `cells`."""
    monkeypatch.setattr(start, "DATA", tmp_path / "data")
    files.write(start.shipped(NAME), donor, **ABOUT)
    files.note_sums([start.shipped(NAME)])
    return start.shipped(NAME)


def build(begin, name=NAME, size=48, classes="abcdef"):
    return building.build(name, tuple(classes), size, start=str(begin), seed=1)


def header(path):
    """Its parsed header and where its tensors begin."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), 8 + length


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 0x15
    path.write_bytes(data)


@pytest.mark.parametrize(("size", "classes"), [(48, "ab"), (96, "abcdef")])
def test_a_start_fills_the_blocks_whatever_the_classes_and_size(donor, written, size, classes):
    network = build(written, size=size, classes=classes)
    for own, theirs in zip(network.blocks.parameters(), donor.blocks.parameters(), strict=True):
        assert torch.equal(own, theirs.half().float())
    assert network.preprocessing == donor.preprocessing and network.weights == "mine.safetensors"
    assert network.head.fc3.out_features == len(classes)
    fresh = build("random", size=size, classes=classes)
    assert all(torch.equal(a, b) for a, b in zip(network.head.parameters(), fresh.head.parameters(), strict=True))


def test_a_start_tells_where_it_comes_from(written):
    origin = start.describe(str(written), NAME)
    assert origin.sha256 == hashlib.sha256(written.read_bytes()).hexdigest()
    assert (origin.file, origin.licence, origin.trained_on) == ("mine.safetensors", "MIT", "nothing")
    assert start.networks_of(str(written)) == [NAME]
    with pytest.raises(StartError, match="is a start of resnet_miniature, not of vgg16_miniature"):
        start.describe(str(written), "vgg16_miniature")


def test_a_start_of_another_network_or_size_is_refused(written):
    with pytest.raises(StartError, match="start of resnet_miniature, the profile asks for senet_miniature"):
        build(written, name="senet_miniature")
    with pytest.raises(StartError, match="meant for 32 to 160 pixels a side, the profile's image_size is 224"):
        build(written, size=224)


def test_tensors_that_are_not_the_networks_are_refused_and_change_nothing(donor, written):
    described, tensors = files.read(written)
    network, same = (building.build(NAME, ("a", "b"), 48, seed=1) for _ in range(2))
    for change, message in (
        ({"0.conv1.weight": torch.zeros(16, 3, 5, 5)}, r"0\.conv1\.weight is \(16, 3, 5, 5\), the network has"),
        ({"9.more": torch.zeros(2)}, r"9\.more is unknown"),
    ):
        save_file(tensors | change, written, metadata={files.HEADER: described.model_dump_json()})
        with pytest.raises(StartError, match=message):
            files.fill(network, written)
    del tensors["0.conv1.weight"]
    save_file(tensors, written, metadata={files.HEADER: described.model_dump_json()})
    with pytest.raises(StartError, match=r"0\.conv1\.weight is missing"):
        files.fill(network, written)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), same.parameters(), strict=True))
    assert network.preprocessing == same.preprocessing


@pytest.mark.parametrize("kept", [0, 5, 100, -1000, -1])
def test_a_truncated_file_is_refused(written, kept):
    written.write_bytes(written.read_bytes()[:kept])
    with pytest.raises(StartError, match=r"mine\.safetensors is damaged or no safetensors file"):
        build(written)


def test_a_flipped_byte_in_the_structure_of_the_header_is_refused(written):
    """The quotes, brackets and names that hold it together; the length before it."""
    intact = written.read_bytes()
    for position in (0, 2, 8, 9, 11, intact.index(b"data_offsets"), intact.index(b'"F16"') + 1, intact.index(b"sizes")):
        written.write_bytes(intact)
        flip(written, position)
        with pytest.raises(StartError, match=r"mine\.safetensors"):
            build(written)


@pytest.mark.parametrize(
    ("change", "what"), [({"mean": [0.5, 0.5]}, "mean"), ({"network": ""}, "network"), ({"more": 1}, "more")]
)
def test_a_description_that_is_not_valid_is_refused(written, change, what):
    described, tensors = files.read(written)
    save_file(tensors, written, metadata={files.HEADER: json.dumps(described.model_dump(mode="json") | change)})
    with pytest.raises(StartError, match=rf"its description is not valid \({what}"):
        build(written)


def test_values_that_are_not_finite_are_neither_read_nor_written(written, tmp_path):
    described, tensors = files.read(written)
    tensors["0.bn1.bias"][0] = float("nan")
    save_file(tensors, written, metadata={files.HEADER: described.model_dump_json()})
    with pytest.raises(StartError, match=r"0\.bn1\.bias has values that are not finite"):
        build(written)
    network = build("random")
    with torch.no_grad():
        network.blocks[0].bn1.bias[0] = 1e6
    with pytest.raises(StartError, match=r"0\.bn1\.bias has values that are not finite in half precision"):
        files.write(tmp_path / "other.safetensors", network, **ABOUT)
    assert not (tmp_path / "other.safetensors").exists()


def test_a_trained_model_is_no_start(tmp_path):
    path = tmp_path / "module_1.safetensors"
    storage.save_network(build("random"), path, {})
    with pytest.raises(StartError, match=r"module_1\.safetensors is a trained model of the kit.*not a start"):
        build(path)
    save_file({"0.weight": torch.zeros(2)}, path)
    with pytest.raises(StartError, match="is no start: its header has no entry"):
        build(path)


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "imagnet", ""])
def test_pickles_and_unknown_names_are_refused(tmp_path, name):
    torch.save({}, tmp_path / "weights.pth")
    with pytest.raises(StartError, match=r"unknown start `.*must end in \.safetensors, since others can run code"):
        build(tmp_path / name if "." in name else name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StartError, match=r"none\.safetensors: there is no such start"):
        build(tmp_path / "none.safetensors")


def test_cells_are_there_for_the_networks_that_the_kit_brings(donor, shipped):
    network = build("cells")
    assert network.weights == f"cells: {shipped.name}" and start.brought() == [NAME] == start.networks_of("cells")
    assert torch.equal(network.blocks[0].conv1.weight, donor.blocks[0].conv1.weight.half().float())
    with pytest.raises(StartError, match=f"no start `cells` of vgg16_miniature; it is there for {NAME}"):
        build("cells", name="vgg16_miniature")


def test_a_flipped_byte_in_the_tensors_of_cells_is_found(shipped):
    flip(shipped, header(shipped)[1] + 1000)
    for use in (lambda: build("cells"), lambda: start.describe("cells", NAME)):
        with pytest.raises(StartError, match=rf"cells-{NAME}\.safetensors is damaged: its SHA-256"):
            use()


def test_cells_without_their_checksum_are_refused_and_others_sums_are_kept(shipped, tmp_path):
    other = shipped.with_name("other.safetensors")
    other.write_bytes(b"x")
    listed = files.note_sums([other])
    assert files.sums(listed.parent) == {path.name: digest_of(path) for path in (shipped, other)}
    listed.unlink()
    with pytest.raises(StartError, match="SHA256SUMS beside it does not list it"):
        build("cells")


def test_what_the_kit_brings_is_intact():
    for network in start.brought():
        assert start.describe("cells", network).licence == "MIT"


def test_imagenet_weights_of_a_miniature_do_not_exist(tmp_path):
    for use in (lambda: build("imagenet"), lambda: start.describe("imagenet", NAME)):
        with pytest.raises(imagenet.WeightsError, match=f"no ImageNet weights of {NAME}"):
            use()
    save_file({"a": torch.zeros(1)}, tmp_path / "test_vit.safetensors")
    assert start.describe("imagenet", "test_vit", str(tmp_path)).file == "test_vit.safetensors"
    assert start.describe("imagenet", "test_vit").file == ""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with one model, `someone/small`, as timm saves it; anything else cannot be reached."""
    from timm.models._hub import save_for_hf

    own = {"mean": (0.7, 0.6, 0.5), "std": (0.2, 0.2, 0.2)}
    model = timm.create_model("test_vit", num_classes=3, pretrained_cfg_overlay=own)
    with torch.no_grad():
        model.patch_embed.proj.bias.fill_(0.25)
    save_for_hf(model, tmp_path / "small")
    create = timm.create_model

    def reached(name, **given):
        if name == "hf-hub:someone/small":
            name = f"local-dir:{tmp_path / 'small'}"
        elif name.startswith("hf-hub:"):
            raise OSError("no network")
        return create(name, **given)

    monkeypatch.setattr(timm, "create_model", reached)
    return "hf-hub:someone/small"


def test_a_model_of_a_hub_fills_the_same_network_of_timm(hub):
    network = build(hub, name="test_vit", size=64)
    assert float(network.blocks[0].model.patch_embed.proj.bias.detach().mean()) == 0.25
    assert network.preprocessing.mean == (0.7, 0.6, 0.5) and network.weights == hub
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 6)
    origin = start.describe(hub, "test_vit")
    assert origin.start == hub and not origin.sha256


def test_a_model_of_a_hub_of_another_network_is_refused(hub):
    with pytest.raises(imagenet.WeightsError, match="someone/small is of test_vit, the profile asks for test_vit2"):
        build(hub, name="test_vit2", size=64)
    with pytest.raises(StartError, match=f"{hub} is for a network of timm, the profile asks for {NAME}"):
        build(hub)


def test_a_hub_that_cannot_be_reached_is_named(hub):
    with pytest.raises(imagenet.WeightsError, match=r"hf-hub:someone/else is not at hand.*no network"):
        build("hf-hub:someone/else", name="test_vit", size=64)


def test_a_starts_fingerprint_follows_its_content_and_origins_name_every_network(donor, written, shipped):
    before = start.fingerprint(str(written), NAME)
    assert start.fingerprint("random", NAME) == "random" and before.startswith(str(written))
    files.write(written, donor, **ABOUT | {"method": "otherwise"})
    assert start.fingerprint(str(written), NAME) != before
    with pytest.raises(StartError, match="there is no such start"):
        start.fingerprint("gone.safetensors", NAME)
    found = start.origins_of({NAME: "cells", "vgg16": "random"})
    assert [(one["network"], one["start"], one["licence"]) for one in found] == [
        (NAME, "cells", "MIT"), ("vgg16", "random", ""),
    ]  # fmt: skip
    assert found[0]["sha256"] == digest_of(start.shipped(NAME))
