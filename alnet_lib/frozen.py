"""Activations of frozen blocks: computed once per network, shared by the depths that fine-tune later blocks only.

The augmented training set is a fixed list (paper section 2.2), and frozen blocks give the same maps for an entry every
time. So the forward pass through them is needed once, not once a depth and epoch.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from alnet_lib import augment
from alnet_lib.backbones import Network
from alnet_lib.training import Batches, Images, Options, autocast

CHUNK = 64
"""Entries that pass through the frozen blocks at a time: always the same ones, so that a resumed training repeats."""


class FrozenMaps:
    """Maps after the frozen blocks of every entry that a training draws from its plan.

    Go through the depths from 4 to 1: the maps of one depth are made from those of the depth before, so that no entry
    passes a block twice. Maps of earlier depths are dropped on the way.
    """

    def __init__(
        self, network: Network, train: Images, plan: augment.Plan, options: Options, *, budget: float, folder: Path
    ) -> None:
        """network: on options.device, its frozen blocks as all depths have them.

        options: of any depth, the draws being the same for all. budget: bytes that maps may take in the device's
        memory; more lie in a memory-mapped file in `folder`.

        Raises
        ------
        ValueError
            options that draw new transforms in each iteration, so that no list is fixed.
        """
        if options.random_orientation or options.colour_jitter:
            raise ValueError("maps of frozen blocks are only shared where the augmented list is fixed")
        self.network, self.train, self.plan, self.options = network, train, plan, options
        self.budget, self.folder, self.device = budget, folder, torch.device(options.device)
        batches = Batches(train, plan, options)
        self.drawn = np.unique(np.concatenate([batches(i) for i in range(options.iterations)]))
        self.kept, self.maps = 0, torch.empty(0)
        self.passes = 0
        """Entries x blocks computed so far."""
        self._scratch: tempfile.TemporaryDirectory | None = None

    @property
    def on_disk(self) -> bool:
        """Whether the maps lie in a file."""
        return self._scratch is not None

    def after(self, kept: int, entries: np.ndarray) -> Tensor:
        """Maps (N, C, H, W) of `entries` that the training draws, after the first `kept` blocks (1 to 4)."""
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
        old, old_scratch, self._scratch, room = self.maps, self._scratch, None, None
        for first in range(0, len(self.drawn), CHUNK):
            slots = slice(first, first + CHUNK)
            given = old[slots].to(self.device) if start else self._images(self.drawn[slots])
            maps = self._through(given.contiguous(memory_format=torch.channels_last), start, kept)
            room = self._room((len(self.drawn), *maps.shape[1:]), maps.dtype) if room is None else room
            room[slots] = maps.to(room.device)
        del old
        if old_scratch:
            old_scratch.cleanup()
        self.kept, self.maps = kept, room

    def _images(self, entries: np.ndarray) -> Tensor:
        images = augment.transform(self.train.batch(self.plan.source[entries], self.device), self.plan, entries)
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
