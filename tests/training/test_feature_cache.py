"""Maps of frozen blocks: the same losses as the plain loop, made once, dropped on the way, spilled when too large."""

import dataclasses

import numpy as np
import pytest
import torch

from alnet_lib.imaging import augmentation
from alnet_lib.networks import building
from alnet_lib.training import feature_cache, fitting
from alnet_lib.training.feature_cache import Place
from alnet_lib.training.options import Options

OPTIONS = Options(iterations=4, batch_size=8, lr_min=1e-4, lr_max=1e-3, checkpoint_seconds=0, label="test")


@pytest.fixture(scope="module")
def plan(images):
    return augmentation.balancing_plan(images.labels, 25, np.random.default_rng(1))


def start(name):
    return building.build(name, ("dark", "red"), 32, seed=3, dropout=0.2)


def shared(network, images, plan, folder, budget=1e9, **changed):
    options = dataclasses.replace(OPTIONS, **changed)
    return feature_cache.FrozenMaps(network, images, plan, options, budget=budget, folder=folder)


# Adam divides by a gradient's own size, so that rounding grows from step to step: fast where a batch is normalised.
@pytest.mark.parametrize(
    ("name", "rate", "trainings"),
    [("squeezenet1_1", 1e-3, (4, 3, 2, 1)), pytest.param("densenet121", 1e-7, (4, 1), marks=pytest.mark.slow)],
)
def test_losses_are_those_of_the_plain_loop(images, plan, tmp_path, name, rate, trainings):
    maps = shared(start(name), images, plan, tmp_path)
    for blocks in trainings:
        options = dataclasses.replace(OPTIONS, fine_tuned_blocks=blocks, lr_max=rate, lr_min=rate / 10)
        plain = fitting.fit(start(name), images, plan, images, options)
        fast = fitting.fit(start(name), images, plan, images, options, maps=maps)
        np.testing.assert_allclose(fast.history["loss"], plain.history["loss"], rtol=1e-4)
    assert maps.passes == 4 * len(maps.drawn), "an entry passed a block twice"


def test_maps_above_the_budget_lie_in_a_file_that_goes(images, plan, tmp_path):
    in_memory, on_disk = (shared(start("squeezenet1_1"), images, plan, tmp_path, budget) for budget in (1e9, 0))
    entries = in_memory.drawn[:5]
    assert torch.equal(in_memory.after(2, entries), on_disk.after(2, entries))
    assert on_disk.place is Place.file and in_memory.place is Place.device
    assert len(list(tmp_path.iterdir())) == 1
    on_disk.close()
    assert not list(tmp_path.iterdir())


def test_a_killed_training_with_maps_ends_with_the_same_numbers(images, plan, tmp_path):
    options = dataclasses.replace(OPTIONS, fine_tuned_blocks=2)
    whole, killed, again = start("squeezenet1_1"), start("squeezenet1_1"), start("squeezenet1_1")
    undisturbed = fitting.fit(
        whole, images, plan, images, options, maps=shared(start("squeezenet1_1"), images, plan, tmp_path)
    )

    class Killed(Exception):
        pass

    def kill(done, total):
        if done == 3:
            raise Killed

    saved = tmp_path / "checkpoint"
    with pytest.raises(Killed):
        maps = shared(start("squeezenet1_1"), images, plan, tmp_path)
        fitting.fit(killed, images, plan, images, options, checkpoint=saved, progress=kill, maps=maps)
    maps = shared(start("squeezenet1_1"), images, plan, tmp_path)
    continued = fitting.fit(again, images, plan, images, options, checkpoint=saved, maps=maps)
    assert continued.resumed_at == 2
    assert continued.history["loss"].tolist() == undisturbed.history["loss"].tolist()


def test_transforms_drawn_anew_cannot_be_shared(images, plan, tmp_path):
    with pytest.raises(ValueError, match="fixed"):
        shared(start("squeezenet1_1"), images, plan, tmp_path, random_orientation=True)
