"""fit: learns, resumes to the same numbers, freezes what it should, stops on a loss that is not finite."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from alnet_lib.imaging import augmentation
from alnet_lib.networks.building import build
from alnet_lib.training import fitting
from alnet_lib.training.data import Batches, Resident
from alnet_lib.training.feature_cache import FrozenMaps
from alnet_lib.training.fitting import TrainingDiverged
from alnet_lib.training.options import Options

OPTIONS = Options(
    iterations=6, batch_size=8, lr_min=1e-4, lr_max=1e-3, checkpoint_seconds=0, label="squeezenet1_1, test"
)


def network(seed=0):
    return build("squeezenet1_1", ("dark", "red"), 32, seed=seed, dropout=0.3)


def plan(images):
    return augmentation.balancing_plan(images.labels, 25, np.random.default_rng(1))


def test_learns_two_colours(images):
    options = dataclasses.replace(OPTIONS, iterations=40)
    result = fitting.fit(network(), images, plan(images), images, options)
    assert result.validation_accuracy >= 0.9
    assert result.history["loss"].iloc[-5:].mean() < result.history["loss"].iloc[:5].mean()


def test_learning_rate_is_one_triangle(images):
    rates = fitting.fit(network(), images, plan(images), images, OPTIONS).history["learning_rate"].tolist()
    assert rates == pytest.approx([1e-4, 4e-4, 7e-4, 1e-3, 7e-4, 4e-4])


def test_a_killed_training_ends_with_the_same_numbers(images, tmp_path):
    whole, killed, again = network(), network(), network(seed=5)
    undisturbed = fitting.fit(whole, images, plan(images), images, OPTIONS)

    class Killed(Exception):
        pass

    def kill(done, total):
        if done == 5:
            raise Killed

    path = tmp_path / "checkpoint"
    with pytest.raises(Killed):
        fitting.fit(killed, images, plan(images), images, OPTIONS, checkpoint=path, progress=kill)
    continued = fitting.fit(again, images, plan(images), images, OPTIONS, checkpoint=path)
    assert continued.resumed_at == 4
    assert continued.history["loss"].tolist() == undisturbed.history["loss"].tolist()
    for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("blocks", [1, 3, 5])
def test_only_the_last_blocks_and_the_head_change(images, blocks):
    start, net = network(), network()
    fitting.fit(net, images, plan(images), images, dataclasses.replace(OPTIONS, fine_tuned_blocks=blocks, iterations=2))
    for index, (before, after) in enumerate(zip(start.blocks, net.blocks, strict=True)):
        weights = [(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True)]
        changed = any(not torch.equal(a, b) for a, b in weights)
        assert changed == (index >= 5 - blocks and bool(weights))


def test_frozen_batch_norm_keeps_its_statistics(images):
    net = build("densenet121", ("dark", "red"), 32)
    before = net.blocks[0].norm0.running_mean.clone()
    fitting.fit(net, images, plan(images), images, dataclasses.replace(OPTIONS, fine_tuned_blocks=1, iterations=2))
    assert torch.equal(net.blocks[0].norm0.running_mean, before)
    assert not torch.equal(net.blocks[4].norm5.running_mean, torch.zeros(1024))


def miniature():
    return build("vgg16_miniature", ("dark", "red"), 32, dropout=0.3)


def norms(net, block):
    return [layer for layer in net.blocks[block].modules() if isinstance(layer, torch.nn.BatchNorm2d)]


def test_statistics_are_taken_anew_with_the_weights_at_the_end(images):
    # Nothing varies, and the batch is the whole plan, so the inputs of the first layer are known.
    options = dataclasses.replace(OPTIONS, iterations=3, batch_size=len(plan(images)), renewing_batches=2)
    net, known = miniature(), plan(images)
    fitting.fit(net, images, known, images, options)
    batch = images.batch(known.source, torch.device("cpu"))
    with torch.no_grad():
        maps = net.blocks[0][0](net.preprocessing(augmentation.transform(batch, known, np.arange(len(known)))))
    first = norms(net, 0)[0]
    assert torch.allclose(first.running_mean, maps.mean((0, 2, 3)), atol=1e-4)
    assert torch.allclose(first.running_var, maps.var((0, 2, 3)), rtol=1e-3)
    assert first.momentum == 0.1


def test_taking_statistics_anew_changes_nothing_else(images):
    running, renewed = miniature(), miniature()
    for net, batches in ((running, 0), (renewed, 4)):
        options = dataclasses.replace(OPTIONS, renewing_batches=batches, fine_tuned_blocks=2)
        history = fitting.fit(net, images, plan(images), images, options).history
    assert len(history) == OPTIONS.iterations
    changed = {
        name
        for name, value in renewed.state_dict().items()
        if not torch.equal(value, running.state_dict()[name]) and "num_batches" not in name
    }
    assert changed and all("running" in name and name.split(".")[1] in "34" for name in changed)


def test_statistics_taken_anew_do_not_depend_on_the_memory_that_was_left(images):
    # Means over parts of a batch are means over the batch where the parts are alike in size.
    options = dataclasses.replace(OPTIONS, iterations=1, batch_size=8, renewing_batches=1)
    means = []
    for micro in (8, 4):
        net = miniature()
        steps = fitting.Steps(net, images, plan(images), options, torch.optim.SGD(net.parameters(), lr=0.0))
        steps.micro_batch = micro
        steps.renew_statistics(Batches(images, plan(images), options))
        means.append(norms(net, 0)[0].running_mean)
    assert torch.allclose(*means, atol=1e-6)


def test_statistics_of_frozen_stages_of_a_timm_model_stay(images):
    net = build("resnet18", ("dark", "red"), 32)
    before = {name: value.clone() for name, value in net.state_dict().items() if "running_mean" in name}
    options = dataclasses.replace(OPTIONS, fine_tuned_blocks=1, iterations=2, renewing_batches=2)
    fitting.fit(net, images, plan(images), images, options)
    kept = [torch.equal(value, net.state_dict()[name]) for name, value in before.items()]
    assert any(kept) and not all(kept)


def test_a_loss_that_is_not_finite_stops_with_a_name(images):
    net = network()
    with torch.no_grad():
        net.head.fc3.weight.fill_(float("nan"))
    with pytest.raises(TrainingDiverged, match=r"squeezenet1_1, test: the loss is nan at iteration 1 of 6"):
        fitting.fit(net, images, plan(images), images, OPTIONS)


def test_out_of_memory_halves_the_micro_batch_and_says_so(images, monkeypatch):
    net = network()
    forward = net.preprocessing.__class__.__call__

    def limited(self, x):
        if len(x) > 2 and not torch.is_inference_mode_enabled():
            raise torch.OutOfMemoryError("planted")
        return forward(self, x)

    monkeypatch.setattr(net.preprocessing.__class__, "__call__", limited)
    result = fitting.fit(net, images, plan(images), images, dataclasses.replace(OPTIONS, iterations=2))
    assert result.micro_batch == 2
    assert len(result.notes) == 2 and "out of memory" in result.notes[0]


def test_accumulated_gradients_equal_the_whole_batch(images):
    nets = [build("squeezenet1_1", ("dark", "red"), 32, dropout=0.0) for _ in range(2)]
    losses = []
    for net, micro in zip(nets, (8, 3), strict=True):
        steps = fitting.Steps(net, images, plan(images), OPTIONS, torch.optim.SGD(net.parameters(), lr=0.1))
        steps.micro_batch = micro
        losses.append(float(steps(np.arange(8), 0)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_no_image_and_too_many_labels_are_refused(images):
    with pytest.raises(ValueError, match="no training image"):
        fitting.fit(network(), images.take(np.array([], int)), plan(images), images, OPTIONS)
    with pytest.raises(ValueError, match="labels go up to 2"):
        bad = dataclasses.replace(images, labels=images.labels + 1)
        fitting.fit(network(), bad, plan(images), images, OPTIONS)


class Waits(TorchDispatchMode):
    """Notes what would let the host wait for a device: copies that block, and looks at values."""

    def __init__(self):
        super().__init__()
        self.copies, self.found = 0, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, function.overloadpacket.__name__
        if name == "_to_copy" and args[0].device.type == "cpu" and torch.device(kwargs["device"]).type == "meta":
            self.copies += 1
            self.found += [] if kwargs.get("non_blocking") else [f"{name} {tuple(args[0].shape)}"]
        if name == "copy_" and args[0].device != args[1].device:
            self.found.append(name)
        if name in ("_local_scalar_dense", "nonzero", "masked_select"):
            self.found.append(name)
        return function(*args, **kwargs)


@pytest.mark.parametrize("sampled", ["by plan", "at random", "varied", "maps"])
def test_no_step_lets_the_host_wait_for_the_device(images, tmp_path, sampled):
    # A tensor on the meta device has no values, as one of which the host does not know whether it is computed yet.
    device, net, own = torch.device("meta"), network(), plan(images)
    spread = 0.1 * (sampled == "varied")
    options = dataclasses.replace(
        OPTIONS, device="meta", fine_tuned_blocks=3, random_orientation=sampled == "at random", colour_jitter=spread,
        scale_jitter=spread, focus_jitter=spread, light_jitter=spread,
    )  # fmt: skip
    resident = dataclasses.replace(images, resident=Resident(torch.from_numpy(images.pixels[images.rows]).to(device)))
    maps = FrozenMaps(net, resident, own, options, budget=1e9, folder=tmp_path) if sampled == "maps" else None
    net.to(device)
    tail = net.parts(3)[1]
    steps = fitting.Steps(net, resident, own, options, torch.optim.SGD(tail.parameters()), maps=maps)
    if maps:
        steps(maps.drawn[:8], 0)  # The first step makes the maps.
    with Waits() as waits:
        steps(maps.drawn[-8:] if maps else np.arange(len(own))[-8:], 1)
    assert waits.copies and not waits.found
