"""Training: cross-entropy, Adam, cyclical learning rate, frozen blocks, checkpoints (paper section 2.3).

Every random draw of iteration i depends on the seed and i alone, so a training that was killed and continued from its
checkpoint ends with the same numbers as an undisturbed one.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from alnet_lib.imaging import augmentation
from alnet_lib.training import checkpoints, memory
from alnet_lib.training.data import Batches, Images
from alnet_lib.training.device import LAYOUTS, arrange, autocast, layout
from alnet_lib.training.inference import predict

if TYPE_CHECKING:
    from alnet_lib.core.progress import Progress
    from alnet_lib.networks.network import Network
    from alnet_lib.training.feature_cache import FrozenMaps
    from alnet_lib.training.options import Options

READ_EVERY = 10
"""Iterations after which their losses are read on CUDA; one that is not finite ends the training then."""


class TrainingDiverged(RuntimeError):
    """The loss became NaN or infinite; the message names the training and the iteration."""


@dataclass
class Fitted:
    """What a training leaves beside the network.

    Attributes
    ----------
    history : DataFrame
        One row an iteration: iteration (from 1), loss, learning_rate.
    validation_accuracy : float
        In [0, 1]; NaN without validation images.
    seconds : float
        Of all iterations up to the last checkpoint and after it, whichever process made them.
    resumed_at : int
        Iterations that a checkpoint had already done.
    micro_batch : int
        Images that went through the network at a time at the end.
    notes : list of str
        What happened on the way that a reader of the result should know.
    layout : str
        Of maps and weights in memory: `NHWC` or `NCHW`.
    """

    history: pd.DataFrame
    validation_accuracy: float
    seconds: float
    resumed_at: int = 0
    micro_batch: int = 0
    notes: list[str] = field(default_factory=list)
    layout: str = ""


def fit(
    network: Network,
    train: Images,
    plan: augmentation.Plan,
    validation: Images,
    options: Options,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    maps: FrozenMaps | None = None,
) -> Fitted:
    """Fine-tune the last blocks and the head of a network.

    Frozen blocks stay in evaluation mode. What happens when memory runs out: see `Steps`; it is noted in the result.

    Parameters
    ----------
    network : Network
        Changed in place and moved to the device of the options.
    train : Images
        Training images.
    plan : augmentation.Plan
        Their balancing plan.
    validation : Images
        Images for the accuracy at the end; may be empty.
    options : Options
        How to train.
    checkpoint : Path, optional
        Where the state is saved every `checkpoint_seconds`, and from where an interrupted training goes on.
    progress : callable, optional
        Called with the iterations done and their number.
    maps : FrozenMaps, optional
        The maps after the frozen blocks, which are else computed in every iteration.

    Raises
    ------
    TrainingDiverged
        The loss is not finite.
    alnet_lib.training.memory.TooLittleMemory
        The network, or one image, does not fit.
    ValueError
        There is no training image, or a label that the network has no class for.
    """
    if not len(train):
        raise ValueError(f"{options.label}: there is no training image")
    if train.labels.max() >= len(network.classes):
        raise ValueError(f"{options.label}: labels go up to {train.labels.max()}, classes are {network.classes}")
    device = torch.device(options.device)
    arrange(network, device, options.precision)
    if device.type == "cuda" and train.resident is None:
        train = train.on(device)
    tail = network.parts(options.fine_tuned_blocks)[1]
    network.requires_grad_(False)
    tail.requires_grad_(True)
    # Fused Adam makes one pass over the parameters instead of several.
    optimizer = torch.optim.Adam(tail.parameters(), lr=options.lr_min, fused=True)
    scheduler = torch.optim.lr_scheduler.CyclicLR(
        optimizer,
        base_lr=options.lr_min,
        max_lr=options.lr_max,
        # Half a cycle may be a fraction of an iteration; torch only declares an int.
        step_size_up=max(options.iterations / (2 * options.cycles), 1),  # type: ignore[arg-type]
        mode="triangular",
        cycle_momentum=False,
    )
    steps = Steps(network, train, plan, options, optimizer, maps=maps)
    start, history, earlier = steps.resume(checkpoint, scheduler)
    batches, pending = Batches(train, plan, options), list[tuple[int, Tensor, float]]()
    # On CUDA each look at a loss would let the device wait for the host.
    read_every = READ_EVERY if device.type == "cuda" else 1
    began, clock = time.perf_counter(), checkpoints.Clock(network, options.checkpoint_seconds)
    for iteration in range(start, options.iterations):
        pending.append((iteration + 1, steps(batches(iteration), iteration), float(scheduler.get_last_lr()[0])))
        if len(pending) >= read_every:
            history += _read(pending, options)
        scheduler.step()
        if progress:
            progress(iteration + 1, options.iterations)
        if checkpoint and clock.due() and iteration + 1 < options.iterations:
            history += _read(pending, options)
            so_far = earlier + time.perf_counter() - began
            checkpoints.save(checkpoint, network, optimizer, scheduler, iteration + 1, history, so_far)
            clock.written()
    history += _read(pending, options)
    steps.renew_statistics(batches)
    frame = pd.DataFrame(history, columns=["iteration", "loss", "learning_rate"])
    seconds = earlier + time.perf_counter() - began
    used = layout(network, device, options.precision)
    result = Fitted(frame, math.nan, seconds, start, steps.micro_batch, steps.notes, used)
    if len(validation):
        probability = predict(network, validation, options, notes=result.notes)
        result.validation_accuracy = float((probability.argmax(1) == validation.labels).mean())
    return result


def _read(pending: list[tuple[int, Tensor, float]], options: Options) -> list[tuple[int, float, float]]:
    found = [(iteration, float(loss), rate) for iteration, loss, rate in pending]
    pending.clear()
    for iteration, loss, _ in found:
        if not math.isfinite(loss):
            at = f"iteration {iteration} of {options.iterations}"
            raise TrainingDiverged(f"{options.label}: the loss is {loss} at {at}")
    return found


class Steps:
    """The optimiser steps of one training.

    When memory runs out, a step is taken again after something has given way, which is noted. First the maps of frozen
    blocks and the images leave the device, which changes no number. Then Adam's moments do, where they are large or the
    last thing left. Else the micro-batch is halved and gradients are accumulated; batch normalisation then sees smaller
    batches.

    Parameters
    ----------
    network : Network
        On the device of the options; what trains has gradients.
    train : Images
        Training images.
    plan : augmentation.Plan
        Their balancing plan.
    options : Options
        How to train.
    optimizer : Optimizer
        Over the parameters of the blocks that train and of the head.
    maps : FrozenMaps, optional
        The maps after the frozen blocks.

    Attributes
    ----------
    micro_batch : int
        Images that go through the network at a time.
    notes : list of str
        What gave way, in sentences.
    """

    def __init__(
        self,
        network: Network,
        train: Images,
        plan: augmentation.Plan,
        options: Options,
        optimizer: torch.optim.Optimizer,
        *,
        maps: FrozenMaps | None = None,
    ) -> None:
        self.network, self.train, self.plan, self.options = network, train, plan, options
        self.optimizer, self.maps = optimizer, maps
        self.prefix, self.tail = network.parts(options.fine_tuned_blocks)
        self.device = torch.device(options.device)
        self.form = LAYOUTS[layout(network, self.device, options.precision)]
        self.micro_batch, self.notes = options.batch_size, list[str]()
        self.on_host: memory.HostUpdates | None = None
        self._updating = False

    def resume(self, checkpoint: Path | None, scheduler: torch.optim.lr_scheduler.LRScheduler) -> checkpoints.Taken:
        """Go on from a checkpoint, as `checkpoints.resume`."""
        self._modes()
        failed = False
        try:
            return checkpoints.resume(checkpoint, self.network, self.optimizer, scheduler)
        except (RuntimeError, MemoryError) as error:
            if not memory.ran_out(error):
                raise
            failed = True
        if failed:
            memory.release()
            self.notes.append(f"checkpoint: out of memory, {self._move_updates()}")
        taken = checkpoints.resume(checkpoint, self.network, self.optimizer, scheduler)
        if self.on_host:
            self.on_host.changed()
        return taken

    def __call__(self, entries: np.ndarray, iteration: int) -> Tensor:
        """Take one step.

        Parameters
        ----------
        entries : ndarray
            int (batch_size,), positions in the plan.
        iteration : int
            Counted from 0; random transforms and dropout depend on it.

        Returns
        -------
        Tensor
            The loss before the step, a float64 scalar on the device. Where it is not finite, no step is taken on the
            CPU; on CUDA, where the host would have to wait to know, the network is of no use afterwards.

        Raises
        ------
        alnet_lib.training.memory.TooLittleMemory
            One image does not fit.
        """
        while True:
            failed = self._updating = False
            try:
                return self._step(entries, iteration)
            except (RuntimeError, MemoryError) as error:
                if not memory.ran_out(error):
                    raise
                failed = True
            if failed:
                self.tail.zero_grad(set_to_none=True)
                memory.release()
                self.notes.append(f"iteration {iteration + 1}: out of memory, {self._give_way()}")

    def _modes(self) -> None:
        self.network.eval()
        self.tail.train()

    def _step(self, entries: np.ndarray, iteration: int) -> Tensor:
        options, mixed = self.options, partial(autocast, self.options.device, self.options.precision)
        self._modes()
        rng = self._transforms(iteration)
        # Dropout draws from torch's global generator: seeding it per iteration makes a resumed run identical.
        torch.manual_seed((options.seed * 1_000_003 + iteration) % (1 << 63))
        self.tail.zero_grad(set_to_none=True)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for first in range(0, len(entries), self.micro_batch):
            part = entries[first : first + self.micro_batch]
            labels = augmentation.to_tensor(self.train.labels[self.plan.source[part]], self.device)
            maps = self._before_tail(part, rng)
            with mixed():
                logits = self.tail(maps)
            loss = functional.cross_entropy(logits.float(), labels) * (len(part) / len(entries))
            loss.backward()
            total += loss.detach().double()
        if self.device.type != "cpu" or math.isfinite(float(total)):
            self._updating = True
            (self.on_host or self.optimizer).step()
        return total

    def renew_statistics(self, batches: Batches) -> None:
        """Take the statistics of batch normalisation anew, as means over the last batches, with the weights at the end.

        The running ones lag behind the weights, the more so the shorter a training is (Wu and Johnson, Rethinking
        "Batch" in BatchNorm, arXiv:2105.07576, section 3).

        Parameters
        ----------
        batches : Batches
            Of the training; as many are taken as the options say.
        """
        options = self.options
        self._modes()
        # Not torch's update_bn: it would take away the statistics of frozen stages within a body of timm as well.
        norms = [m for m in self.tail.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
        first = max(options.iterations - options.renewing_batches, 0)
        if not norms or first == options.iterations:
            return
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        with torch.no_grad(), autocast(options.device, options.precision):
            for iteration in range(first, options.iterations):
                entries, rng = batches(iteration), self._transforms(iteration)
                for start in range(0, len(entries), self.micro_batch):
                    self.tail(self._before_tail(entries[start : start + self.micro_batch], rng))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def _transforms(self, iteration: int) -> np.random.Generator:
        return np.random.default_rng([self.options.seed, 2, iteration])

    def _before_tail(self, part: np.ndarray, rng: np.random.Generator) -> Tensor:
        if self.maps and len(self.prefix):
            return self.maps.after(len(self.prefix), part)
        images = self.network.preprocessing(_transformed(self.train, self.plan, part, self.options, rng))
        with torch.no_grad(), autocast(self.options.device, self.options.precision):
            return self.prefix(images.contiguous(memory_format=self.form))

    def _give_way(self) -> str:
        for relieve in (self.maps.spill if self.maps else str, self.train.leave):
            if moved := relieve():
                return moved
        trains = sum(parameter.nbytes for parameter in self.tail.parameters() if parameter.requires_grad)
        large = checkpoints.MOMENTS * trains > memory.LARGE * memory.total(self.device)
        if self.on_host is None and (self._updating or large or self.micro_batch == 1):
            return self._move_updates()
        if self.micro_batch == 1:
            raise memory.too_little(f"{self.options.label}: one image", self.device)
        self.micro_batch //= 2
        return f"micro-batch halved to {self.micro_batch}"

    def _move_updates(self) -> str:
        self.on_host = memory.HostUpdates(self.optimizer)
        return "Adam's moments lie in the memory of the host from then on"


def _transformed(
    train: Images, plan: augmentation.Plan, part: np.ndarray, options: Options, rng: np.random.Generator
) -> Tensor:
    images = train.batch(plan.source[part], torch.device(options.device))
    if options.random_orientation:
        images = augmentation.random_orientation(images, rng, options.rotation)
    else:
        images = augmentation.transform(images, plan, part)
    varied = (
        (augmentation.jitter_stain, options.colour_jitter),
        (augmentation.vary_scale, options.scale_jitter),
        (augmentation.vary_focus, options.focus_jitter),
        (augmentation.vary_light, options.light_jitter),
    )
    for vary, spread in varied:
        images = vary(images, spread, rng) if spread else images
    return images
