"""`alnet starts`: list, describe and make, and what it refuses."""

import pytest
import torch
from command import alnet_here

from alnet_lib.core.integrity.index import digest_of
from alnet_lib.experiments.transfer import making
from alnet_lib.experiments.transfer.distillation import Recipe
from alnet_lib.networks import building
from alnet_lib.networks.starts import files, imagenet, start


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """The kit brings `cells` of one network."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(start, "DATA", tmp_path)
    path = start.shipped("resnet_miniature")
    about = {"trained_on": "drawn\x1b[31m cells", "method": "by hand", "licence": "MIT", "origin": "a test"}
    files.write(path, building.build("resnet_miniature", ("a", "b"), 64), sizes=(32, 160), **about)
    files.note_sums([path])
    return path


def test_starts_are_listed_with_the_networks_of_cells(cells):
    listed = alnet_here("starts", "list")
    assert listed.exit_code == 0 and all(name in listed.stdout for name in start.MEANING)
    assert "`cells` is there for: resnet_miniature" in listed.stdout


def test_a_start_is_described(cells):
    for arguments in (["cells"], ["cells", "--network", "resnet_miniature"], [cells]):
        shown = alnet_here("starts", "describe", *arguments)
        assert shown.exit_code == 0 and digest_of(cells) in shown.stdout
        assert "licence: MIT" in shown.stdout and "method: by hand" in shown.stdout
        assert "trained on: drawn" in shown.stdout and "\x1b" not in shown.stdout
    assert "nothing is transferred" in alnet_here("starts", "describe", "random").stdout
    hub = alnet_here("starts", "describe", "hf-hub:someone/small")
    assert hub.exit_code == 0 and "card on the hub" in hub.stdout


def test_imagenet_weights_are_described_whether_at_hand_or_not(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("ALNET_WEIGHTS", raising=False)
    shown = alnet_here("starts", "describe", "imagenet")
    assert shown.exit_code == 0 and "network: vgg16" in shown.stdout and "file: not at hand" in shown.stdout
    refused = alnet_here("starts", "describe", "imagenet", "--network", "vgg16_miniature")
    assert refused.exit_code == 1 and "no ImageNet weights of vgg16_miniature" in refused.stderr


def test_imagenet_weights_are_listed_and_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("ALNET_WEIGHTS", raising=False)
    listed = alnet_here("starts", "list")
    assert "legacy_senet154-e9eb9fe6.pth" in listed.stdout and str(tmp_path) in listed.stdout
    lacking = alnet_here("starts", "check", "--network", "squeezenet1_1")
    assert lacking.exit_code == 1 and "squeezenet1_1: not at hand" in lacking.stdout
    (tmp_path / imagenet.KERAS_SQUEEZENET).write_bytes(b"x")
    damaged = alnet_here("starts", "check", "--network", "squeezenet1_1", "--weights-dir", tmp_path)
    assert damaged.exit_code == 1 and "cannot be read as weights" in damaged.stdout
    assert "starts check --fetch" in damaged.stdout


def test_what_cannot_be_checked_is_named(tmp_path):
    unknown = alnet_here("starts", "check", "--network", "nonsense")
    assert unknown.exit_code == 1 and "unknown network `nonsense`" in unknown.stdout
    nobody = alnet_here("starts", "check", "--network", "vgg16_miniature")
    assert nobody.exit_code == 1 and "no ImageNet weights of vgg16_miniature" in nobody.stdout
    nowhere = alnet_here("starts", "check", "--weights-dir", tmp_path / "none")
    assert nowhere.exit_code == 1 and "none is not a folder" in nowhere.stderr and not nowhere.stdout


def test_weights_that_fit_are_named_with_their_path(tmp_path, monkeypatch):
    import timm
    from safetensors.torch import save_file

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    name = "convnext_atto"
    save_file(timm.create_model(name, pretrained=False).state_dict(), tmp_path / f"{name}.safetensors")
    found = alnet_here("starts", "check", "--network", name, "--weights-dir", tmp_path)
    assert found.exit_code == 0 and f"{name}: {tmp_path / name}.safetensors" in found.stdout
    state = timm.create_model("densenet121", pretrained=False).state_dict()
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: state)
    fetched = alnet_here("starts", "check", "--network", "densenet121", "--fetch")
    assert fetched.exit_code == 0 and "densenet121: densenet121-a639ec97.pth" in fetched.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "unknown start `nothing`"),
        (["weights.pth"], "others can run code"),
        (["none.safetensors"], "there is no such start"),
        (["cells", "--network", "vgg16"], "no start `cells` of vgg16"),
        (["\x1b[31mred"], "unknown start `\N{REPLACEMENT CHARACTER}[31mred`"),
    ],
)
def test_what_is_no_start_is_refused_in_one_line(cells, arguments, message):
    refused = alnet_here("starts", "describe", *arguments)
    assert refused.exit_code == 1 and refused.stderr.startswith("StartError: ") and message in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_damaged_start_of_the_kit_is_refused_and_doctor_still_answers(cells):
    data = bytearray(cells.read_bytes())
    data[-100] ^= 1
    cells.write_bytes(data)
    refused = alnet_here("starts", "describe", "cells")
    assert refused.exit_code == 1 and f"{cells.name} is damaged" in refused.stderr
    assert "Start `cells`" in alnet_here("doctor").stdout


def test_cells_are_made_and_told(tmp_path, monkeypatch):
    given = {}

    def make(teacher, healthy, out, **more):
        given.update(more, healthy=healthy)
        more["progress"]("steps")(1, 2)
        return making.Made({"resnet_miniature": 0.75}, (out / "cells-resnet_miniature.safetensors",))

    monkeypatch.setattr(making, "make_cells", make)
    asked = ("--steps", 5, "--drawn", 9, "--seed", 8, "--threads", 1)
    made = alnet_here("starts", "make", "cells", "--teacher", "t.h5", "--out", tmp_path, *asked)
    assert (
        made.exit_code == 0
        and given["recipe"] == Recipe(steps=5, seed=8, threads=1)
        and given["drawn"] == 9
        and given["healthy"] is None
    )
    assert "resnet_miniature: loss 0.750" in made.stdout and "cells-resnet_miniature.safetensors" in made.stdout
    assert "20 to 40 minutes" in made.stderr and "steps: 1 of 2" in made.stderr


def test_what_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "broken.h5").write_bytes(b"x")
    asked = ["starts", "make", "cells", "--out", tmp_path, "--teacher", tmp_path / "broken.h5"]
    refused = alnet_here(*asked)
    assert refused.exit_code == 1 and "cannot be read as weights" in refused.stderr
    assert "nothing to learn from" in alnet_here(*asked, "--drawn", 0).stderr
    assert alnet_here("starts", "make", "imagenet", "--out", tmp_path, "--teacher", "t.h5").exit_code == 2
