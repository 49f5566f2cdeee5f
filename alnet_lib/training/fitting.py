"""Training: cross-entropy, Adam, cyclical learning rate, frozen blocks, checkpoints (paper section 2.3).

Every random draw of iteration i depends on the seed and i alone, so a training that was killed and continued from its
checkpoint ends with the same numbers as an undisturbed one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
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
from alnet_lib.training import checkpoints
from alnet_lib.training.data import Batches, Images
from alnet_lib.training.device import autocast
from alnet_lib.training.inference import predict

if TYPE_CHECKING:
    from alnet_lib.core.progress import Progress
    from alnet_lib.networks.network import Network
    from alnet_lib.training.options import Options

MapsOf = Callable[[int, np.ndarray], Tensor]
"""(blocks, plan entries) to the entries' maps after so many frozen blocks: `feature_cache.FrozenMaps.after`."""


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
    """

    history: pd.DataFrame
    validation_accuracy: float
    seconds: float
    resumed_at: int = 0
    micro_batch: int = 0
    notes: list[str] = field(default_factory=list)


def fit(
    network: Network,
    train: Images,
    plan: augmentation.Plan,
    validation: Images,
    options: Options,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    maps_of: MapsOf | None = None,
) -> Fitted:
    """Fine-tune the last blocks and the head of a network.

    Frozen blocks stay in evaluation mode. Out of GPU memory halves the micro-batch and accumulates gradients (noted in
    the result; batch normalisation then sees smaller batches).

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
    maps_of : callable, optional
        Gives the maps after the frozen blocks, which are else computed in every iteration.

    Raises
    ------
    TrainingDiverged
        The loss is not finite.
    ValueError
        There is no training image, or a label that the network has no class for.
    """
    if not len(train):
        raise ValueError(f"{options.label}: there is no training image")
    if train.labels.max() >= len(network.classes):
        raise ValueError(f"{options.label}: labels go up to {train.labels.max()}, classes are {network.classes}")
    device = torch.device(options.device)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cuda" and train.resident is None:
        train = train.on(device)
    prefix, tail = network.parts(options.fine_tuned_blocks)
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
    network.eval()
    tail.train()
    start, history, earlier = checkpoints.resume(checkpoint, network, optimizer, scheduler)
    result = Fitted(pd.DataFrame(), math.nan, 0.0, resumed_at=start, micro_batch=options.batch_size)
    batches = Batches(train, plan, options)
    began, clock = time.perf_counter(), checkpoints.Clock(network, options.checkpoint_seconds)
    for iteration in range(start, options.iterations):
        entries = batches(iteration)
        network.eval()
        tail.train()
        loss = step(network, prefix, tail, train, plan, entries, iteration, options, optimizer, result, maps_of)
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"{options.label}: the loss is {loss} at iteration {iteration + 1} of {options.iterations}"
            )
        history.append((iteration + 1, loss, float(scheduler.get_last_lr()[0])))
        scheduler.step()
        if progress:
            progress(iteration + 1, options.iterations)
        if checkpoint and clock.due() and iteration + 1 < options.iterations:
            so_far = earlier + time.perf_counter() - began
            checkpoints.save(checkpoint, network, optimizer, scheduler, iteration + 1, history, so_far)
            clock.written()
    result.seconds = earlier + time.perf_counter() - began
    result.history = pd.DataFrame(history, columns=["iteration", "loss", "learning_rate"])
    if len(validation):
        probability = predict(network, validation, options)
        result.validation_accuracy = float((probability.argmax(1) == validation.labels).mean())
    return result


def step(
    network: Network,
    prefix: nn.Sequential,
    tail: nn.Module,
    train: Images,
    plan: augmentation.Plan,
    entries: np.ndarray,
    iteration: int,
    options: Options,
    optimizer: torch.optim.Optimizer,
    result: Fitted,
    maps_of: MapsOf | None = None,
) -> float:
    """Take one optimiser step.

    Out of GPU memory halves result.micro_batch, notes it and tries again, accumulating gradients.

    Parameters
    ----------
    network : Network
        Its preprocessing is used.
    prefix : Sequential
        Frozen part, as `Network.parts` gives it.
    tail : Module
        The part that trains.
    train : Images
        Training images.
    plan : augmentation.Plan
        Their balancing plan.
    entries : ndarray
        int (batch_size,), positions in the plan.
    iteration : int
        Counted from 0; random transforms and dropout depend on it.
    options : Options
        How to train.
    optimizer : torch.optim.Optimizer
        Over the tail's parameters.
    result : Fitted
        Holds the micro-batch and the notes.
    maps_of : callable, optional
        Gives the maps after the frozen blocks.

    Returns
    -------
    float
        The loss before the step; infinite or NaN where no step was taken.
    """
    device, mixed = torch.device(options.device), partial(autocast, options.device, options.precision)
    while True:
        try:
            rng = np.random.default_rng([options.seed, 2, iteration])
            # Dropout draws from torch's global generator: seeding it per iteration makes a resumed run identical.
            torch.manual_seed((options.seed * 1_000_003 + iteration) % (1 << 63))
            optimizer.zero_grad(set_to_none=True)
            total = 0.0
            for first in range(0, len(entries), result.micro_batch):
                part = entries[first : first + result.micro_batch]
                labels = torch.from_numpy(train.labels[plan.source[part]]).to(device)
                if maps_of and len(prefix):
                    maps = maps_of(len(prefix), part)
                else:
                    images = network.preprocessing(_transformed(train, plan, part, options, rng))
                    with torch.no_grad(), mixed():
                        maps = prefix(images.contiguous(memory_format=torch.channels_last))
                with mixed():
                    logits = tail(maps)
                loss = functional.cross_entropy(logits.float(), labels) * (len(part) / len(entries))
                loss.backward()
                total += float(loss.detach())
            if math.isfinite(total):
                optimizer.step()
            return total
        except torch.OutOfMemoryError:
            if result.micro_batch == 1:
                raise
            result.micro_batch //= 2
            result.notes.append(f"iteration {iteration + 1}: out of memory, micro-batch halved to {result.micro_batch}")
            torch.cuda.empty_cache()


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
