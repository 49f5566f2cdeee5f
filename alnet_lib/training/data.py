"""Labelled images in a pixel array, the validation split, and the batches of a training."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from alnet_lib.imaging import augmentation
from alnet_lib.training import memory

if TYPE_CHECKING:
    from alnet_lib.training.options import Options


@dataclass
class Resident:
    """Images in the memory of a device.

    Attributes
    ----------
    pixels : Tensor or None
        uint8 (n, S, S, 3); None once they have left.
    """

    pixels: Tensor | None


@dataclass(frozen=True)
class Images:
    """Labelled images in a pixel array.

    Attributes
    ----------
    pixels : ndarray
        uint8 (m, S, S, 3), may be memory-mapped.
    rows : ndarray
        int64 (n,), rows of `pixels`.
    labels : ndarray
        int64 (n,), positions in `classes`.
    groups : ndarray
        (n,), patient of each image.
    classes : tuple of str
        Names of the labels.
    resident : Resident, optional
        The images of `rows` on the device, where they were put there (`on`).
    """

    pixels: np.ndarray
    rows: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    classes: tuple[str, ...]
    resident: Resident | None = field(default=None, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> Images:
        """Select images.

        Parameters
        ----------
        index : ndarray
            int or bool, positions in `rows`; the result has their order.
        """
        return Images(self.pixels, self.rows[index], self.labels[index], self.groups[index], self.classes)

    def batch(self, index: np.ndarray, device: torch.device | str) -> Tensor:
        """Images as the networks take them.

        Parameters
        ----------
        index : ndarray
            int (N,), positions in `rows`.
        device : torch.device or str
            Where the result lies.

        Returns
        -------
        Tensor
            float32 (N, 3, S, S) in [0, 1], RGB.
        """
        device = torch.device(device)
        own = self.resident.pixels if self.resident else None
        if own is None:
            return augmentation.to_float(self.pixels[self.rows[index]], device)
        return augmentation.to_float(own[augmentation.to_tensor(index, own.device)], device)

    def on(self, device: torch.device) -> Images:
        """Copy the pixels to a device once, so that no batch waits for the host, if half of its free memory is enough.

        Parameters
        ----------
        device : torch.device
            Where they are to lie.

        Returns
        -------
        Images
            The same, with `resident` set where there is room.
        """
        if len(self.rows) * int(np.prod(self.pixels.shape[1:])) > memory.SHARE * memory.free(device):
            return self
        try:
            return replace(self, resident=Resident(augmentation.to_tensor(self.pixels[self.rows], device)))
        except (RuntimeError, MemoryError) as error:
            if not memory.ran_out(error):
                raise
        memory.release()
        return self

    def leave(self) -> str:
        """Give back the memory that `on` took; batches come from the host then.

        Returns
        -------
        str
            What left, in words; empty where nothing was there.
        """
        if self.resident is None or self.resident.pixels is None:
            return ""
        self.resident.pixels = None
        memory.release()
        return "the images left it"


def split_validation(labels: np.ndarray, fraction: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Split images into those to fit on and those for validation, stratified by class (80% and 20% in the paper).

    Parameters
    ----------
    labels : ndarray
        int (n,).
    fraction : float
        Share for validation, in (0, 1). A class of two images or more has at least one on both sides.
    rng : numpy.random.Generator
        Source of the draw.

    Returns
    -------
    tuple of ndarray
        Positions to fit on, and positions for validation, both ascending.
    """
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        count = min(max(round(fraction * len(members)), 1), len(members) - 1) if len(members) > 1 else 0
        held[members[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def sampling_weights(images: Images, plan: augmentation.Plan) -> np.ndarray:
    """Probabilities of drawing each entry of a plan: classes are alike, and patients alike within a class.

    Parameters
    ----------
    images : Images
        The training images.
    plan : augmentation.Plan
        Their balancing plan.

    Returns
    -------
    ndarray
        (entries,), sums to 1.
    """
    frame = pd.DataFrame({"label": images.labels[plan.source], "group": images.groups[plan.source]})
    size = frame.groupby(["label", "group"])["label"].transform("size")
    patients = frame.groupby("label")["group"].transform("nunique")
    weight = (1.0 / (size * patients)).to_numpy(float)
    return weight / weight.sum()


class Batches:
    """Plan entries of iteration i, a function of seed and i alone.

    Attributes
    ----------
    n : int
        Entries of the plan.
    options : Options
        Batch size, seed and sampling.
    weights : ndarray or None
        Probability of each entry where patients are sampled alike.
    """

    def __init__(self, images: Images, plan: augmentation.Plan, options: Options) -> None:
        self.n, self.options = len(plan), options
        self.weights = sampling_weights(images, plan) if options.sampling == "patient" else None

    def __call__(self, iteration: int) -> np.ndarray:
        """Entries of one iteration.

        Parameters
        ----------
        iteration : int
            Counted from 0.

        Returns
        -------
        ndarray
            int (batch_size,), positions in the plan.
        """
        size, seed = self.options.batch_size, self.options.seed
        if self.weights is not None:
            return np.random.default_rng([seed, 1, iteration]).choice(self.n, size, p=self.weights)
        position = np.arange(iteration * size, (iteration + 1) * size)
        epochs, offsets = position // self.n, position % self.n
        order = {epoch: self._order(epoch) for epoch in np.unique(epochs)}
        return np.array([order[epoch][offset] for epoch, offset in zip(epochs, offsets, strict=True)])

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.options.seed, 0, int(epoch)]).permutation(self.n)
