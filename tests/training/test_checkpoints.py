"""Checkpoints: what trains and no more, as often as their size allows, taken up only by the training they are of."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from alnet_lib.core.profile import Profile
from alnet_lib.experiments.backbone_comparison import trainings
from alnet_lib.imaging import augmentation
from alnet_lib.networks.building import build
from alnet_lib.training import checkpoints, fitting
from alnet_lib.training.options import Options

CLASSES = tuple("abcdef")
OPTIONS = Options(iterations=4, batch_size=8, lr_min=1e-4, lr_max=1e-3, checkpoint_seconds=0, label="test")


class Killed(Exception):
    pass


def kill(done, _):
    if done == 3:
        raise Killed


def plan(images):
    return augmentation.balancing_plan(images.labels, 25, np.random.default_rng(1))


def begun(blocks, name="squeezenet1_1", size=32, device="cpu"):
    with torch.device(device):
        network = build(name, CLASSES, size, seed=1)
    tail = network.parts(blocks)[1]
    network.requires_grad_(False)
    tail.requires_grad_(True)
    network.eval()
    tail.train()
    return network, torch.optim.Adam(tail.parameters())


def cut_short(images, path, blocks, seed=1):
    network = build("squeezenet1_1", ("dark", "red"), 32, seed=seed)
    options = dataclasses.replace(OPTIONS, fine_tuned_blocks=blocks)
    return fitting.fit(network, images, plan(images), images, options, checkpoint=path, progress=kill)


@pytest.mark.parametrize("name", ["squeezenet1_1", "densenet_miniature"])
@pytest.mark.parametrize("blocks", [1, 5])
def test_a_checkpoint_holds_what_trains_and_is_as_large_as_foretold(tmp_path, name, blocks):
    network, optimizer = begun(blocks, name)
    network(torch.rand(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    checkpoints.save(tmp_path / "c", network, optimizer, schedule, 1, [])
    whole = sum(tensor.nbytes for tensor in network.state_dict().values())
    # Names and Adam's step counts beside the tensors.
    assert (tmp_path / "c").stat().st_size == pytest.approx(checkpoints.size(network), rel=0.25)
    assert checkpoints.size(network) < 3 * whole if blocks == 1 else checkpoints.size(network) >= 2.9 * whole
    saved = torch.load(tmp_path / "c", weights_only=True)["network"]
    first = [key for key in saved if key.startswith("blocks.0")]
    assert bool(first) == (blocks == 5) and "head.fc3.bias" in saved


def test_statistics_of_normalising_layers_are_saved_where_they_change():
    network, _ = begun(1, "densenet_miniature")
    kept = checkpoints.trained(network)
    assert "blocks.4.norm5.running_mean" in kept and not [key for key in kept if key.startswith("blocks.3")]


def test_a_resumed_training_keeps_its_seconds(images, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(fitting.time, "perf_counter", lambda: now[0])
    step = fitting.Steps._step

    def slow(*given):
        now[0] += 10
        return step(*given)

    monkeypatch.setattr(fitting.Steps, "_step", slow)
    with pytest.raises(Killed):
        cut_short(images, tmp_path / "c", 1)
    network = build("squeezenet1_1", ("dark", "red"), 32, seed=1)
    options = dataclasses.replace(OPTIONS, fine_tuned_blocks=1)
    found = fitting.fit(network, images, plan(images), images, options, checkpoint=tmp_path / "c")
    assert found.resumed_at == 2 and found.seconds == 40, "two iterations of the killed training, and two more"


def test_a_checkpoint_of_another_start_is_put_aside(images, tmp_path, capsys):
    with pytest.raises(Killed):
        cut_short(images, tmp_path / "c", 1, seed=2)
    again = build("squeezenet1_1", ("dark", "red"), 32, seed=1)
    options = dataclasses.replace(OPTIONS, fine_tuned_blocks=1)
    found = fitting.fit(again, images, plan(images), images, options, checkpoint=tmp_path / "c")
    assert found.resumed_at == 0 and "another start or other frozen blocks" in capsys.readouterr().err


def test_checkpoints_come_by_time_and_large_ones_less_often(images, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(checkpoints, "save", lambda *given: written.append(given[4]))
    now = [0.0]
    monkeypatch.setattr(checkpoints.time, "perf_counter", lambda: now[0])

    def minute(*_):
        now[0] += 60

    options = dataclasses.replace(OPTIONS, iterations=7, checkpoint_seconds=120)
    for rate in (1e12, checkpoints.size(begun(5)[0]) / 170):
        monkeypatch.setattr(checkpoints, "RATE", rate)
        network = build("squeezenet1_1", CLASSES, 32, seed=1)
        fitting.fit(network, images, plan(images), images, options, checkpoint=tmp_path / "c", progress=minute)
    assert written == [2, 4, 6, 3, 6]


def test_table_3_writes_under_100_gb_on_any_card_of_two_teraflops():
    profile = Profile.load("paper")
    asked, written = profile.comparison, 0
    every = trainings(asked)
    for name in asked.backbones:
        counted = FlopCounterMode(display=False)
        network, _ = begun(5, name, profile.image_size, "meta")
        with torch.no_grad(), counted:
            network(torch.zeros(1, 3, profile.image_size, profile.image_size, device="meta"))
        counts = counted.get_flop_counts()
        blocks = [sum(counts[f"Network.blocks.{k}"].values()) for k in range(5)]
        assert sum(blocks) > 1e9
        images = asked.training(name).iterations * asked.batch_size
        for depth in asked.fine_tuned_blocks:
            tail = network.parts(depth)[1]
            network.requires_grad_(False).eval()
            tail.requires_grad_(True).train()
            # A step costs three forward passes of what trains; maps of frozen blocks are made once.
            seconds = 3 * sum(blocks[5 - depth :]) * images / 2e12
            number = max(math.ceil(seconds / checkpoints.interval(network, 60 * profile.checkpoint_minutes)) - 1, 0)
            written += number * checkpoints.size(network) * sum(one[::2] == (name, depth) for one in every)
    assert 1e9 < written < 100e9
