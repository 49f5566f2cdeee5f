"""fit: cross-entropy, Adam, cyclical learning rate, frozen prefix, checkpoint (paper section 2.3).

Every random draw of iteration i depends on the seed and i alone, so a training that was killed and continued from its
checkpoint ends with the same numbers as an undisturbed one.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from alnet_lib import augment, checkpoints
from alnet_lib.backbones import Network
from alnet_lib.files import atomic_path, write_json

Progress = Callable[[int, int], None]
MapsOf = Callable[[int, np.ndarray], Tensor]
"""(blocks, plan entries) to the entries' maps after so many frozen blocks: `frozen.FrozenMaps.after`."""


class TrainingDiverged(RuntimeError):
    """The loss became NaN or infinite; the message names network, depth, fold and iteration."""


@dataclass(frozen=True)
class Images:
    """Labelled images in a pixel array.

    Attributes
    ----------
    pixels: uint8 (m, S, S, 3), may be memory-mapped. rows: int64 (n,), rows of `pixels`. labels: int64 (n,).
    groups: (n,), patient of each image. classes: names of the labels.
    resident: the images of `rows` as a uint8 tensor on the device, where they were put there (`on`).
    """

    pixels: np.ndarray
    rows: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...]
    resident: Tensor | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> Images:
        """The images at `index` (int or bool array), in that order."""
        return Images(self.pixels, self.rows[index], self.labels[index], self.groups[index], self.classes)

    def batch(self, index: np.ndarray, device: torch.device) -> Tensor:
        """float32 (N, 3, S, S) in [0, 1] on `device`."""
        if self.resident is None:
            return augment.to_float(self.pixels[self.rows[index]], device)
        return augment.to_float(self.resident[torch.from_numpy(index).to(self.resident.device)], device)

    def on(self, device: torch.device) -> Images:
        """The same images, their pixels copied to `device` once, so that no batch waits for the host."""
        return replace(self, resident=augment.to_tensor(self.pixels[self.rows], device))


@dataclass(frozen=True)
class Options:
    """How one training runs; numbers come from the profile."""

    iterations: int
    batch_size: int
    lr_min: float
    lr_max: float
    cycles: int = 1
    depth: int = 5
    precision: str = "float32"
    device: str = "cpu"
    seed: int = 0
    sampling: str = "plan"
    random_orientation: bool = False
    rotation: float = 60.0
    colour_jitter: float = 0.0
    checkpoint_every: int = 100
    label: str = ""
    """Names network, depth and fold in messages."""


@dataclass
class Fitted:
    """What a training leaves: history (iteration, loss, learning_rate), validation accuracy, seconds."""

    history: pd.DataFrame
    validation_accuracy: float
    seconds: float
    resumed_at: int = 0
    micro_batch: int = 0
    notes: list[str] = field(default_factory=list)


def split_validation(labels: np.ndarray, fraction: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Indices of train and validation images, stratified by class (80% and 20% of the images in the paper).

    Every class with two images or more has at least one on both sides.
    """
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(round(fraction * len(members)), 1), len(members) - 1) if len(members) > 1 else 0
        held[members[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def resolve_device(device: str) -> str:
    """`auto` becomes cuda where there is a GPU, else cpu.

    Raises
    ------
    RuntimeError
        `cuda` asked for and not there.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(
            "the profile asks for a CUDA GPU and torch sees none: set `device: auto`, or mend the driver"
        )
    return device


def autocast(device: str, precision: str) -> AbstractContextManager:
    """bf16 autocast on `device` where the profile asks for it."""
    return torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext()


def sampling_weights(images: Images, plan: augment.Plan) -> np.ndarray:
    """Probability of each plan entry so that classes are alike, and patients alike within a class."""
    frame = pd.DataFrame({"label": images.labels[plan.source], "group": images.groups[plan.source]})
    size = frame.groupby(["label", "group"])["label"].transform("size")
    patients = frame.groupby("label")["group"].transform("nunique")
    weight = (1.0 / (size * patients)).to_numpy(float)
    return weight / weight.sum()


class Batches:
    """Plan entries of iteration i, a function of seed and i alone."""

    def __init__(self, images: Images, plan: augment.Plan, options: Options) -> None:
        self.n, self.options = len(plan), options
        self.weights = sampling_weights(images, plan) if options.sampling == "patient" else None

    def __call__(self, iteration: int) -> np.ndarray:
        size, seed = self.options.batch_size, self.options.seed
        if self.weights is not None:
            return np.random.default_rng([seed, 1, iteration]).choice(self.n, size, p=self.weights)
        position = np.arange(iteration * size, (iteration + 1) * size)
        epochs, offsets = position // self.n, position % self.n
        order = {epoch: self._order(epoch) for epoch in np.unique(epochs)}
        return np.array([order[epoch][offset] for epoch, offset in zip(epochs, offsets, strict=True)])

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.options.seed, 0, int(epoch)]).permutation(self.n)


def fit(
    network: Network,
    train: Images,
    plan: augment.Plan,
    validation: Images,
    options: Options,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    maps_of: MapsOf | None = None,
) -> Fitted:
    """Fine-tune the last `options.depth` blocks and the head of `network` in place.

    Frozen blocks stay in evaluation mode. With a checkpoint path the state is saved every `checkpoint_every`
    iterations and an interrupted training is taken up there. Out of GPU memory halves the micro-batch and accumulates
    gradients (noted in the result; batch normalisation then sees smaller batches). `maps_of` gives the maps after the
    frozen blocks instead of computing them in every iteration.

    Raises
    ------
    TrainingDiverged
        a loss that is not finite.
    ValueError
        no training image, or a label that the network has no class for.
    """
    if not len(train):
        raise ValueError(f"{options.label}: there is no training image")
    if train.labels.max() >= len(network.classes):
        raise ValueError(f"{options.label}: labels go up to {train.labels.max()}, classes are {network.classes}")
    device = torch.device(options.device)
    network.to(device, memory_format=torch.channels_last)
    if device.type == "cuda" and train.resident is None:
        train = train.on(device)
    prefix, tail = network.parts(options.depth)
    network.requires_grad_(False)
    tail.requires_grad_(True)
    # Fused Adam makes one pass over the parameters instead of several.
    optimizer = torch.optim.Adam(tail.parameters(), lr=options.lr_min, fused=True)
    scheduler = torch.optim.lr_scheduler.CyclicLR(
        optimizer,
        base_lr=options.lr_min,
        max_lr=options.lr_max,
        step_size_up=max(options.iterations / (2 * options.cycles), 1),
        mode="triangular",
        cycle_momentum=False,
    )
    start, history = checkpoints.resume(checkpoint, network, optimizer, scheduler)
    result = Fitted(pd.DataFrame(), math.nan, 0.0, resumed_at=start, micro_batch=options.batch_size)
    batches = Batches(train, plan, options)
    began = time.perf_counter()
    for iteration in range(start, options.iterations):
        entries = batches(iteration)
        network.eval()
        tail.train()
        loss = step(network, prefix, tail, train, plan, entries, iteration, options, optimizer, result, maps_of)
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"{options.label}: the loss is {loss} at iteration {iteration + 1} of {options.iterations}"
            )
        history.append((iteration + 1, loss, scheduler.get_last_lr()[0]))
        scheduler.step()
        if progress:
            progress(iteration + 1, options.iterations)
        if checkpoint and (iteration + 1) % options.checkpoint_every == 0 and iteration + 1 < options.iterations:
            checkpoints.save(checkpoint, network, optimizer, scheduler, iteration + 1, history)
    result.seconds = time.perf_counter() - began
    result.history = pd.DataFrame(history, columns=["iteration", "loss", "learning_rate"])
    if len(validation):
        probability = predict(network, validation, options)
        result.validation_accuracy = float((probability.argmax(1) == validation.labels).mean())
    return result


def step(
    network: Network,
    prefix: nn.Module,
    tail: nn.Module,
    train: Images,
    plan: augment.Plan,
    entries: np.ndarray,
    iteration: int,
    options: Options,
    optimizer: torch.optim.Optimizer,
    result: Fitted,
    maps_of: MapsOf | None = None,
) -> float:
    """One optimiser step on the plan's `entries`; the loss before it, which may be infinite or NaN (no step then).

    Out of GPU memory halves result.micro_batch, notes it and tries again, accumulating gradients.
    """
    device = torch.device(options.device)
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
                    with torch.no_grad(), autocast(options.device, options.precision):
                        maps = prefix(images.contiguous(memory_format=torch.channels_last))
                with autocast(options.device, options.precision):
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
    train: Images, plan: augment.Plan, part: np.ndarray, options: Options, rng: np.random.Generator
) -> Tensor:
    images = train.batch(plan.source[part], torch.device(options.device))
    if options.random_orientation:
        images = augment.random_orientation(images, rng, options.rotation)
    else:
        images = augment.transform(images, plan, part)
    return augment.jitter_stain(images, options.colour_jitter, rng) if options.colour_jitter else images


def predict(
    network: Network, images: Images, options: Options, *, batch: int = 256, progress: Progress | None = None
) -> np.ndarray:
    """Class probabilities, float32 (n, classes): the softmax of the network's logits, in evaluation mode."""
    device = torch.device(options.device)
    network.to(device, memory_format=torch.channels_last).eval()
    out = np.empty((len(images), len(network.classes)), np.float32)
    with torch.inference_mode(), autocast(options.device, options.precision):
        for first in range(0, len(images), batch):
            index = np.arange(first, min(first + batch, len(images)))
            x = network.preprocessing(images.batch(index, device)).contiguous(memory_format=torch.channels_last)
            out[index] = network(x).float().softmax(1).cpu().numpy()
            if progress:
                progress(int(index[-1]) + 1, len(images))
    return out


def training_key(network_name: str, train: Images, plan: augment.Plan, options: Options, *extra: str) -> str:
    """A name for a training that changes with anything that could change its result (data, plan, settings)."""
    digest = hashlib.sha256(repr((network_name, options, train.classes, extra)).encode())
    for array in (
        train.rows,
        train.labels,
        plan.source,
        plan.angle,
        plan.flip_vertical,
        plan.flip_horizontal,
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def save_network(network: Network, path: Path, settings: dict) -> None:
    """Write weights to `path` (safetensors) and what is needed to build the network again to `path` with .json."""
    with atomic_path(path) as temporary:
        save_file({k: v.contiguous().cpu() for k, v in network.state_dict().items()}, temporary)
    write_json(
        path.with_suffix(".json"),
        {
            "backbone": network.name,
            "classes": list(network.classes),
            "input_size": network.input_size,
            "weights": network.weights,
            "preprocessing": vars(network.preprocessing),
            "head": [network.head.fc1.out_features, network.head.fc2.out_features],
            **settings,
        },
    )


def load_network(path: Path) -> tuple[Network, dict]:
    """The network that `save_network` wrote, in evaluation mode on the CPU, and its settings.

    Raises
    ------
    FileNotFoundError
        the weights or their description are missing.
    """
    import json

    from alnet_lib.backbones import Preprocessing, build

    settings = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    network = build(settings["backbone"], settings["classes"], settings["input_size"])
    network.load_state_dict(load_file(path))
    given = settings["preprocessing"]
    network.preprocessing = Preprocessing(tuple(given["mean"]), tuple(given["std"]), given["bgr"])
    network.weights = settings["weights"]
    return network.eval(), settings


def class_labels(cell_types: Sequence[str], mapping: dict[str, str], classes: Sequence[str]) -> np.ndarray:
    """int64 (n,): index in `classes` of each cell type under `mapping`; -1 where it has no class."""
    index = {name: position for position, name in enumerate(classes)}
    return np.array([index.get(mapping.get(cell_type, ""), -1) for cell_type in cell_types], np.int64)
