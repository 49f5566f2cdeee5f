"""The start `cells`: small networks learn to give the maps of a larger one on cells (distillation of features).

No label is used: drawn cells by class alone teach a network little that carries over to real ones. The students see the
same cells as the teacher, at several sizes, and learn its maps by a linear read-out at each of their last three blocks.
Sources: Romero et al., FitNets, ICLR 2015 (arXiv:1412.6550); Heo et al., ICCV 2019 (arXiv:1904.01866).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from alnet_lib.imaging.augmentation import jitter_stain, to_float
from alnet_lib.networks.starts.random_start import start_from
from alnet_lib.training.device import autocast

if TYPE_CHECKING:
    from alnet_lib.core.progress import Progress
    from alnet_lib.networks.network import Network

TEACHER_SIZE = 128
"""Pixels a side that the teacher sees."""

SIZES = (64, 64, 96, 112)
"""Pixels a side that the students see, in turn."""

TAUGHT = ((3, (2,)), (4, (3, 4)), (5, (5,)))
"""Block of a student -> blocks of the teacher whose maps it learns, from 1."""

POOLED = 0.5
"""Weight of the maps' means over the picture, beside the maps themselves: they vary far less, and tell cells apart."""


@dataclass(frozen=True)
class Recipe:
    """How the students learn.

    Attributes
    ----------
    steps : int
        Optimiser steps.
    batch_size : int
        Cells a step.
    seed : int
        Of batches, views and random starts.
    learning_rate : float
        Highest of the one cycle.
    weight_decay : float
        Of AdamW.
    threads : int
        Threads of a computation: sums depend on them in the last digits.
    """

    steps: int = 2000
    batch_size: int = 48
    seed: int = 7
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    threads: int = 2


def views(cells: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Cells as the teacher sees them: turned, mirrored, nearer or farther, stained and focused otherwise.

    Parameters
    ----------
    cells : ndarray
        uint8 (N, S, S, 3).
    rng : numpy.random.Generator
        Source of all draws.

    Returns
    -------
    Tensor
        float32 (N, 3, TEACHER_SIZE, TEACHER_SIZE) in [0, 1].
    """
    images, count = to_float(cells), len(cells)
    angle = torch.from_numpy(rng.uniform(0, 2 * np.pi, count).astype(np.float32))
    part = torch.from_numpy(np.exp(rng.uniform(np.log(0.55), 0, count)).astype(np.float32))
    mirror = torch.from_numpy(np.where(rng.random(count) < 0.5, -1.0, 1.0).astype(np.float32))
    shift = torch.from_numpy(rng.uniform(-0.08, 0.08, (count, 2)).astype(np.float32))
    cos, sin = part * angle.cos(), part * angle.sin()
    matrix = torch.stack(
        [torch.stack([mirror * cos, -sin, shift[:, 0]], 1), torch.stack([mirror * sin, cos, shift[:, 1]], 1)], 1
    )
    grid = functional.affine_grid(matrix, [count, 3, TEACHER_SIZE, TEACHER_SIZE], align_corners=False)
    images = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    images = jitter_stain(images, 0.3, rng)
    blurred = functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
    share = torch.from_numpy((rng.random(count) * (rng.random(count) < 0.5)).astype(np.float32)).view(-1, 1, 1, 1)
    return images + share * (blurred - images)


def maps(network: Network, images: Tensor) -> list[Tensor]:
    """Maps after each block, from images in [0, 1]."""
    found, x = [], network.preprocessing(images).contiguous(memory_format=torch.channels_last)
    for block in network.blocks:
        x = block(x)
        found.append(x)
    return found


class _Student(nn.Module):
    """A network and the linear read-outs of the teacher's maps, which are thrown away afterwards."""

    def __init__(self, network: Network, teacher: Network) -> None:
        super().__init__()
        self.network = network
        channels = [shape[0] for shape in teacher.map_shapes]
        self.readouts = nn.ModuleList(
            nn.Conv2d(network.map_shapes[own - 1][0], sum(channels[block - 1] for block in taught), 1)
            for own, taught in TAUGHT
        )

    def loss(self, images: Tensor, targets: Sequence[Tensor]) -> Tensor:
        """Mean squared error of standardised maps and of their means; 1 + POOLED for a student that knows nothing."""
        found, total = maps(self.network, images), images.new_zeros(())
        for (own, taught), readout in zip(TAUGHT, self.readouts, strict=True):
            predicted = readout(found[own - 1]).float()
            wanted = torch.cat(
                [functional.adaptive_avg_pool2d(targets[block - 1], predicted.shape[2:]) for block in taught], 1
            )
            variance = wanted.var((0, 2, 3), keepdim=True).clamp_min(1e-3)
            total = total + ((predicted - wanted) ** 2 / variance).clamp_max(100).mean()
            means, wanted_means = predicted.mean((2, 3)), wanted.mean((2, 3))
            spread = wanted_means.var(0, keepdim=True).clamp_min(1e-4)
            total = total + POOLED * ((means - wanted_means) ** 2 / spread).clamp_max(100).mean()
        return total / len(TAUGHT)


class Teacher:
    """The network that is learned from, its maps standardised by channel.

    Attributes
    ----------
    network : Network
        In evaluation mode.
    """

    def __init__(self, network: Network, cells: Sequence[np.ndarray], recipe: Recipe) -> None:
        self.network = network.eval()
        rng = np.random.default_rng([recipe.seed, 1])
        some = views(_some(cells, 256, rng), rng)
        with torch.no_grad():
            found = maps(network, some)
        self.scales: list[tuple[Tensor, Tensor]] = [
            (one.mean((0, 2, 3), keepdim=True), one.std((0, 2, 3), keepdim=True).clamp_min(1e-2)) for one in found
        ]

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Maps after each block with mean 0 and deviation 1 in each channel, at most 6 deviations."""
        with torch.no_grad(), autocast("cpu", "bf16"):
            found = maps(self.network, images)
        return [((one.float() - mean) / std).clamp(-6, 6) for one, (mean, std) in zip(found, self.scales, strict=True)]


def distil(
    teacher: Network,
    students: Sequence[Network],
    cells: Sequence[np.ndarray],
    recipe: Recipe,
    progress: Progress | None = None,
) -> list[float]:
    """Teach several students side by side, so that the teacher looks at each cell once.

    Parameters
    ----------
    teacher : Network
        With its pretrained weights.
    students : sequence of Network
        From any start; changed in place, in evaluation mode afterwards.
    cells : sequence of ndarray
        uint8 (n, S, S, 3), RGB; each batch takes alike from each of them (drawn ones, real ones).
    recipe : Recipe
        How.
    progress : callable, optional
        Called with steps done and in all.

    Returns
    -------
    list of float
        Loss of each student over the last tenth of the steps; 1.5 is that of one that knows nothing.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    rng = np.random.default_rng([recipe.seed, 2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        taught = [_begun(network, teacher, cells, recipe) for network in students]
        look = Teacher(teacher, cells, recipe)
        optimisers = [_optimiser(student, recipe) for student in taught]
        losses: list[list[float]] = [[] for _ in taught]
        for step in range(recipe.steps):
            images = views(_some(cells, recipe.batch_size, rng), rng)
            targets = look(images)
            size = SIZES[step % len(SIZES)]
            seen = functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
            for student, (optimiser, schedule), trace in zip(taught, optimisers, losses, strict=True):
                optimiser.zero_grad(set_to_none=True)
                with autocast("cpu", "bf16"):
                    loss = student.loss(seen, targets)
                loss.backward()
                nn.utils.clip_grad_norm_(student.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                trace.append(float(loss.detach()))
            if progress:
                progress(step + 1, recipe.steps)
    torch.set_num_threads(threads)
    for network in students:
        network.eval()
    return [float(np.mean(trace[-max(recipe.steps // 10, 1) :])) for trace in losses]


def _some(cells: Sequence[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    share = -(-count // len(cells))
    return np.concatenate([own[rng.integers(0, len(own), share)] for own in cells])[:count]


def _begun(network: Network, teacher: Network, cells: Sequence[np.ndarray], recipe: Recipe) -> _Student:
    rng = np.random.default_rng([recipe.seed, 3])
    # Only its normalising is needed: all students have normalising layers of their own.
    start_from(network, views(_some(cells, 64, rng), rng), seed=recipe.seed)
    return _Student(network, teacher).train().to(memory_format=torch.channels_last)


def _optimiser(student: _Student, recipe: Recipe) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.OneCycleLR]:
    rate, steps = recipe.learning_rate, recipe.steps
    optimiser = torch.optim.AdamW(student.parameters(), lr=rate, weight_decay=recipe.weight_decay, fused=True)
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.15)
