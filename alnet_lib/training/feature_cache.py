"""Activations of frozen blocks: computed once per network, shared by the trainings that fine-tune later blocks only.

The augmented training set is a fixed list (paper section 2.2), and frozen blocks give the same maps for an entry every
time. So the forward pass through them is needed once, not once a training and epoch.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from alnet_lib.imaging import augmentation
from alnet_lib.training.data import Batches, Images
from alnet_lib.training.device import autocast

if TYPE_CHECKING:
    from alnet_lib.networks.network import Network
    from alnet_lib.training.options import Options

CHUNK = 64
"""Entries that pass through the frozen blocks at a time: always the same ones, so that a resumed training repeats."""


class FrozenMaps:
    """Maps after the frozen blocks of every entry that a training draws from its plan.

    Fine-tune 4 blocks first, then 3, 2 and 1: the maps after more frozen blocks are made from those after fewer, so
    that no entry passes a block twice. Earlier maps are dropped on the way.

    Parameters
    ----------
    network : Network
        On the device of the options, its frozen blocks as all the trainings have them.
    train : Images
        Training images.
    plan : augmentation.Plan
        Their balancing plan.
    options : Options
        Of any of the trainings, whose draws are the same.
    budget : float
        Bytes that maps may take in the device's memory; more lie in a memory-mapped file.
    folder : Path
        Where that file lies.

    Attributes
    ----------
    drawn : ndarray
        int, entries that the training draws, ascending.
    passes : int
        Entries times blocks computed so far.

    Raises
    ------
    ValueError
        The options draw new transforms in each iteration, so that the list is not fixed.
    """

    def __init__(
        self, network: Network, train: Images, plan: augmentation.Plan, options: Options, *, budget: float, folder: Path
    ) -> None:
        if options.random_orientation or options.colour_jitter:
            raise ValueError("maps of frozen blocks are only shared where the augmented list is fixed")
        self.network, self.train, self.plan, self.options = network, train, plan, options
        self.budget, self.folder, self.device = budget, folder, torch.device(options.device)
        batches = Batches(train, plan, options)
        self.drawn = np.unique(np.concatenate([batches(i) for i in range(options.iterations)]))
        self.kept, self.maps = 0, torch.empty(0)
        self.passes = 0
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    @property
    def on_disk(self) -> bool:
        """Whether the maps lie in a file."""
        return self._scratch is not None

    def after(self, kept: int, entries: np.ndarray) -> Tensor:
        """Give the maps of entries after the frozen blocks.

        Parameters
        ----------
        kept : int
            Number of frozen blocks, 1 to 4.
        entries : ndarray
            int (N,), positions in the plan, among those that the training draws.

        Returns
        -------
        Tensor
            (N, C, H, W), on the device.
        """
        if kept != self.kept:
            self._move_to(kept)
        slots = torch.from_numpy(np.searchsorted(self.drawn, entries))
        return self.maps[slots.to(self.maps.device)].to(self.device)

    def close(self) -> None:
        """Drop all maps and their file."""
        self.kept, self.maps = 0, torch.empty(0)
        if self._scratch:
            self._scratch.cleanup()
        self._scratch = None

    def _move_to(self, kept: int) -> None:
        start = self.kept if self.kept < kept else 0
        old, old_scratch, self._scratch = self.maps, self._scratch, None
        room = torch.empty(0)
        for first in range(0, len(self.drawn), CHUNK):
            slots = slice(first, first + CHUNK)
            given = old[slots].to(self.device) if start else self._images(self.drawn[slots])
            maps = self._through(given.contiguous(memory_format=torch.channels_last), start, kept)
            room = room if first else self._room((len(self.drawn), *maps.shape[1:]), maps.dtype)
            room[slots] = maps.to(room.device)
        del old
        if old_scratch:
            old_scratch.cleanup()
        self.kept, self.maps = kept, room

    def _images(self, entries: np.ndarray) -> Tensor:
        images = augmentation.transform(self.train.batch(self.plan.source[entries], self.device), self.plan, entries)
        return self.network.preprocessing(images)

    def _through(self, maps: Tensor, start: int, stop: int) -> Tensor:
        self.passes += len(maps) * (stop - start)
        with torch.no_grad(), autocast(self.options.device, self.options.precision):
            for block in self.network.blocks[start:stop]:
                maps = block.eval()(maps)
        return maps

    def _room(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        values = int(np.prod(shape))
        if values * dtype.itemsize <= self.budget:
            return torch.empty(shape, dtype=dtype, device=self.device)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._scratch = tempfile.TemporaryDirectory(dir=self.folder, prefix="maps-", ignore_cleanup_errors=True)
        file = str(Path(self._scratch.name) / "maps")
        return torch.from_file(file, shared=True, size=values, dtype=dtype).view(shape)
