"""How fast this machine is: ten seconds of the kit's own training and prediction, kept for the next time."""

from __future__ import annotations

import math
import os
import time
import timeit
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import torch

from alnet_lib.core.files import remember, remembered, sha256
from alnet_lib.core.resources import home
from alnet_lib.imaging import augmentation
from alnet_lib.training import fitting, inference, memory
from alnet_lib.training.data import Images
from alnet_lib.training.device import resolve_device, resolve_precision, use_tensor_cores
from alnet_lib.training.options import Options
from alnet_lib.workflow.plan import counting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from alnet_lib.core.profile import Profile
    from alnet_lib.networks.network import Network

SECONDS = 10.0
"""What all measurements of a device may take together; a network of which one step would take too long is left out."""

STEPS = 3
"""Optimiser steps that are timed, after one that is not."""

ASSUMED = 0.4
"""An estimate: share of the rate of a matrix product that a network reaches where it was not measured."""

PREDICTED = 0.75
"""An estimate: share of the rate of a network's prediction that its training reaches, where only one prediction fits
into the time."""

NARROW, MANY = (64, 64), 60_000_000
"""Hidden layers in place of a head's own, where the network has more parameters than this: the paper's widest heads
hold 400 million, which take long to allocate and little to compute."""

REFERENCE = 0.0125
"""Seconds of `processor_seconds` on the machine (AMD EPYC) that `planning.OTHER` is for."""


@dataclass(frozen=True)
class Device:
    """A device and how it computes: what a calibration holds for.

    Attributes
    ----------
    kind : str
        `cpu` or `cuda`.
    name : str
        Of the card or the processor.
    precision : str
        `float32` or `bf16`.
    threads : int
        Of a computation on the processor.
    memory : int
        Bytes that are free on the card, or on the machine.
    host_memory : int
        Bytes that are free on the machine.
    cards : int
        Number of them; 0 without.
    """

    kind: str
    name: str
    precision: str
    threads: int
    memory: int
    host_memory: int
    cards: int = 0

    @classmethod
    def at_hand(cls, profile: Profile) -> Device:
        """The device that a profile's networks run on."""
        kind, host = resolve_device(profile.device), psutil.virtual_memory().available
        precision = resolve_precision(profile.precision, kind)
        if kind == "cuda":
            free, name = torch.cuda.mem_get_info()[0], torch.cuda.get_device_name(0)
            return cls(kind, name, precision, profile.threads, free, host, torch.cuda.device_count())
        return cls(kind, processor(), precision, profile.threads, host, host)


@dataclass(frozen=True)
class Rates:
    """How fast a device is.

    Attributes
    ----------
    matmul : float
        Floating-point operations a second of a large matrix product in the precision of the profile.
    matmul_float32 : float
        The same in 32 bits, on CUDA in TF32.
    adam : float
        Parameters a second that the optimiser steps.
    processor : float
        Seconds on this processor for a second on the one on which the work besides networks was measured.
    training, prediction : dict of str to float
        Floating-point operations a second of a network at a size (`vgg16 224`).
    disturbed : bool
        Other programs were at work while it was measured, so that it is faster than this says.
    """

    matmul: float
    matmul_float32: float
    adam: float
    processor: float
    training: dict[str, float] = field(default_factory=dict)
    prediction: dict[str, float] = field(default_factory=dict)
    disturbed: bool = False

    def of(self, network: str, size: int, *, training: bool) -> float:
        """Floating-point operations a second of a network, measured or assumed.

        Parameters
        ----------
        network : str
            Name of the architecture.
        size : int
            Pixels a side.
        training : bool
            Or else prediction.
        """
        known = self.training if training else self.prediction
        return known.get(key(network, size), ASSUMED * self.matmul)


def key(network: str, size: int) -> str:
    """Name a network at a size."""
    return f"{network} {size}"


def cache() -> Path:
    """File that keeps calibrations."""
    return home() / "calibration.json"


def rates(device: Device, asked: Iterable[tuple[str, int, int]], *, again: bool = False) -> Rates:
    """Measure a device, or read what was measured before; what is measured on a busy machine is not kept.

    Parameters
    ----------
    device : Device
        What to measure on.
    asked : iterable of (str, int, int)
        Networks, their size in pixels, and the images of a step.
    again : bool
        Measure although there is a calibration.
    """
    own = sha256(device.kind, device.name, device.precision, str(device.threads), torch.__version__)[:16]
    every = remembered(cache(), _usable)
    known = Rates(**every[own]) if own in every and not again else None
    use_tensor_cores(device.kind)
    before = torch.get_num_threads()
    torch.set_num_threads(device.threads)
    try:
        found = known or _machine(device)
        missing = [one for one in dict.fromkeys(asked) if key(*one[:2]) not in found.training]
        share = 0.8 * SECONDS / max(len(missing), 1)
        for network, size, batch in missing:
            found = _measured(found, device, network, size, batch, share)
    finally:
        torch.set_num_threads(before)
    if found != known and busy():
        return replace(found, disturbed=True)
    if found != known:
        remember(cache(), _usable, {own: asdict(found)})
    return found


def busy() -> bool:
    """Whether more processes want to compute than there are processors."""
    return psutil.getloadavg()[0] > 1.5 * (os.cpu_count() or 1)


def _usable(entry: dict[str, Any]) -> Rates:
    return Rates(**entry)


def _machine(device: Device) -> Rates:
    adam = torch.zeros(16_000_000, device=device.kind, requires_grad=True)
    adam.grad = torch.zeros_like(adam)
    step = torch.optim.Adam([adam], fused=True).step
    return Rates(
        matmul(device.kind, device.precision), matmul(device.kind, "float32"),
        len(adam) / fastest(step, device.kind, 0.2), processor_seconds() / REFERENCE,
    )  # fmt: skip


def product(kind: str, precision: str) -> tuple[Callable[[], torch.Tensor], float]:
    """Make a large matrix product.

    Parameters
    ----------
    kind : str
        `cpu` or `cuda`.
    precision : str
        `float32` or `bf16`.

    Returns
    -------
    tuple
        What computes it, and its floating-point operations.
    """
    size = 8192 if kind == "cuda" else 1024
    a, b = (torch.full((size, size), 0.01, device=kind) for _ in range(2))
    a, b = (one.bfloat16() if precision == "bf16" else one for one in (a, b))
    return lambda: a @ b, 2.0 * size**3


def matmul(kind: str, precision: str) -> float:
    """Floating-point operations a second of `product`, with its arguments."""
    work, flops = product(kind, precision)
    return flops / fastest(work, kind, 0.3)


def processor_seconds() -> float:
    """Seconds of one core for a fixed piece of the work that is no network: Python, numpy, sorting."""
    rng = np.random.default_rng(0)
    values = rng.random(300_000)

    def work() -> float:
        return float(np.sort(values).sum()) + sum(i * i for i in range(400_000)) + float(np.exp(values).sum())

    # The time that this process has had: others may be at work.
    return min(timeit.repeat(work, timer=time.process_time, number=1, repeat=8))


def fastest(work: Callable[[], object], kind: str, seconds: float) -> float:
    """Seconds of the fastest of several repetitions, after one that does not count.

    Parameters
    ----------
    work : callable
        What is timed.
    kind : str
        Device that it runs on.
    seconds : float
        For all repetitions; there are at least two.
    """
    work()
    best, began, done = math.inf, time.perf_counter(), 0
    while done < 2 or time.perf_counter() - began < seconds:
        _wait(kind)
        start = time.perf_counter()
        work()
        _wait(kind)
        best, done = min(best, time.perf_counter() - start), done + 1
    return max(best, 1e-9)


def _wait(kind: str) -> None:
    if kind == "cuda":
        torch.cuda.synchronize()


def _measured(found: Rates, device: Device, network: str, size: int, batch: int, share: float) -> Rates:
    """Add the rates of a network, where one step of a few images fits into the time and the memory."""
    counts = counting.count(network, size)
    image = (1 + counting.BACKWARD) * sum(counts.flops)
    affordable = share * ASSUMED / 2 * found.matmul
    # Batch normalisation of one image may have no variance.
    batch = max(min(batch, 1 << max(int(affordable / image / (STEPS + 1)), 1).bit_length() - 1), 2)
    needed = 4 * sum(counts.kept) * batch + 16 * sum(counts.parameters[:-1])
    if needed > 0.3 * device.memory or sum(counts.flops) > affordable:
        return found
    name = key(network, size)
    if affordable < 2 * image * (STEPS + 1):
        predicted = sum(counts.flops) / _prediction(device, *_pictures(device, network, size, 1))
        return replace(
            found,
            training=found.training | {name: PREDICTED * predicted},
            prediction=found.prediction | {name: predicted},
        )
    try:
        step, predicted = _timed(device, network, size, batch)
    except memory.TooLittleMemory:
        return found
    # What the optimiser takes does not grow with the images, and is added for the network's own parameters.
    narrow = sum(p.numel() for p in _network(network, size, counts).parameters())
    own = max(step - narrow / found.adam, 0.2 * step)
    return replace(
        found,
        training=found.training | {name: image * batch / own},
        prediction=found.prediction | {name: sum(counts.flops) * batch / predicted},
    )


def _network(network: str, size: int, counts: counting.Counts) -> Network:
    return counting.unfilled(network, size, NARROW if sum(counts.parameters) > MANY else None)


def _pictures(device: Device, name: str, size: int, batch: int) -> tuple[Network, Images]:
    network = _network(name, size, counting.count(name, size)).to_empty(device=device.kind)
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.fill_(0.01)
    pixels = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    labels = np.arange(batch) % len(counting.CLASSES)
    return network, Images(pixels, np.arange(batch), labels, np.arange(batch), counting.CLASSES)


def _options(device: Device, batch: int) -> Options:
    return Options(STEPS + 1, batch, 1e-9, 1e-9, precision=device.precision, device=device.kind)


def _prediction(device: Device, network: Network, images: Images) -> float:
    """Seconds of a prediction of some images."""
    return fastest(lambda: inference.predict(network, images, _options(device, len(images))), device.kind, 0.0)


def _timed(device: Device, name: str, size: int, batch: int) -> tuple[float, float]:
    """Seconds of an optimiser step and of a prediction, by the kit's own training and prediction."""
    network, images = _pictures(device, name, size, batch)
    plan = augmentation.balancing_plan(images.labels, 1, np.random.default_rng(0), augmentations_per_image=1)
    ticks: list[float] = []

    def tick(*_: int) -> None:
        _wait(device.kind)
        ticks.append(time.perf_counter())

    # Nothing is learnt from these numbers; some networks overflow on them at the first step.
    with torch.random.fork_rng(), suppress(fitting.TrainingDiverged):
        fitting.fit(network, images, plan, images.take(np.empty(0, int)), _options(device, batch), progress=tick)
    predicted, steps = _prediction(device, network, images), np.diff(ticks)
    return (float(steps.min()) if len(steps) else 3 * predicted), predicted


def processor() -> str:
    """Name the processor of this machine, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "processor")
    return name
