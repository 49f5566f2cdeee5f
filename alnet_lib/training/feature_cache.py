"""Activations of frozen blocks: computed once per network, shared by the trainings that fine-tune later blocks only.

The augmented training set is a fixed list (paper section 2.2), and frozen blocks give the same maps for an entry every
time. So the forward pass through them is needed once, not once a training and epoch, as long as the maps have room
somewhere from where they come faster than they are computed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from alnet_lib.core.files import is_full, reserve
from alnet_lib.imaging import augmentation
from alnet_lib.training import memory
from alnet_lib.training.data import Batches, Images
from alnet_lib.training.device import LAYOUTS, autocast, layout, seconds_of

if TYPE_CHECKING:
    from alnet_lib.networks.network import Network
    from alnet_lib.training.options import Options

CHUNK = 64
"""Entries that pass through the frozen blocks at a time: always the same ones, so that a resumed training repeats."""


class Place(StrEnum):
    """Where maps lie."""

    device = "in the memory of the device"
    host = "in the memory of the host"
    file = "in a file"
    nowhere = "nowhere, and are computed each time"


class FrozenMaps:
    """Maps after the frozen blocks of every entry that a training draws from its plan.

    Fine-tune 4 blocks first, then 3, 2 and 1: the maps after more frozen blocks are made from those after fewer, so
    that no entry passes a block twice. Earlier maps are dropped on the way.

    They lie in the device's memory where half of what is free is enough. Elsewhere on CUDA it is measured from where
    they come fastest: the host's memory, a file, or the frozen blocks themselves, once more each time. On the CPU they
    lie in a file then, and are computed each time where the disk has no room: nothing depends on a measurement there.

    Parameters
    ----------
    network : Network
        Its frozen blocks as all the trainings have them; its blocks are moved to the device.
    train : Images
        Training images.
    plan : augmentation.Plan
        Their balancing plan.
    options : Options
        Of any of the trainings, whose draws are the same.
    budget : float
        Bytes at most that maps may take in the device's memory.
    folder : Path
        Where a file of maps lies.

    Attributes
    ----------
    drawn : ndarray
        int, entries that the training draws, ascending.
    passes : int
        Entries times blocks computed so far.
    place : Place
        Where the maps lie now.
    notes : list of str
        Where maps went that the device has no memory for, and when memory ran out.

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
        network.blocks.to(self.device)
        batches = Batches(train, plan, options)
        self.drawn = np.unique(np.concatenate([batches(i) for i in range(options.iterations)]))
        self.kept, self.maps, self.place = 0, torch.empty(0), Place.nowhere
        self.passes = 0
        self.notes: list[str] = []
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

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
        return self._of(np.searchsorted(self.drawn, entries), kept)

    def spill(self) -> str:
        """Move the maps out of the device's memory, so that it is free for a training.

        Returns
        -------
        str
            Where they went, in words; empty where none were there.
        """
        if self.place is not Place.device or not self.kept:
            return ""
        maps = self.maps
        room, place, self._scratch = self._elsewhere(tuple(maps.shape), maps.dtype, maps[:CHUNK], self.kept)
        for first in range(0, len(maps) if len(room) else 0, CHUNK):
            room[first : first + CHUNK] = maps[first : first + CHUNK].to(room.device)
        self.maps, self.place = room, place
        del maps
        memory.release()
        return f"the maps of frozen blocks left it and lie {place}"

    def close(self) -> None:
        """Drop all maps and their file."""
        self.kept, self.maps, self.place = 0, torch.empty(0), Place.nowhere
        if self._scratch:
            self._scratch.cleanup()
        self._scratch = None

    def _move_to(self, kept: int) -> None:
        start = self.kept if self.kept < kept else 0
        if not start:
            self.close()
        room, place, scratch = torch.empty(0), Place.nowhere, None

        def work(index: np.ndarray) -> Tensor:
            return self._through(self._of(index, start), start, kept)

        for index, maps in memory.in_parts(
            work, len(self.drawn), CHUNK, what="maps of frozen blocks", device=self.device, notes=self.notes,
            relieve=self.spill,
        ):  # fmt: skip
            if not index[0]:
                room, place, scratch = self._room((len(self.drawn), *maps.shape[1:]), maps.dtype, maps, kept)
            if place is Place.nowhere:
                break
            room[index[0] : index[-1] + 1] = maps.to(room.device)
        if self._scratch:
            self._scratch.cleanup()
        self.kept, self.maps, self.place, self._scratch = kept, room, place, scratch

    def _of(self, slots: np.ndarray, kept: int) -> Tensor:
        """Maps after `kept` blocks, those that are kept, of entries by their positions in `drawn`; images for 0."""
        if not kept or self.place is Place.nowhere:
            given = self._images(slots)
            return self._through(given, 0, kept) if kept else given
        return self.maps[augmentation.to_tensor(slots, self.maps.device)].to(self.device)

    def _images(self, slots: np.ndarray) -> Tensor:
        entries = self.drawn[slots]
        images = self.train.batch(self.plan.source[entries], self.device)
        return self.network.preprocessing(augmentation.transform(images, self.plan, entries))

    def _through(self, maps: Tensor, start: int, stop: int) -> Tensor:
        self.passes += len(maps) * (stop - start)
        form = LAYOUTS[layout(self.network, self.device, self.options.precision)]
        maps = maps.contiguous(memory_format=form)
        with torch.no_grad(), autocast(self.options.device, self.options.precision):
            for block in self.network.blocks[start:stop]:
                maps = block.eval()(maps)
        return maps

    def _room(self, shape: tuple[int, ...], dtype: torch.dtype, some: Tensor, kept: int) -> _Room:
        size = _bytes(shape, dtype)
        if size <= self.budget:
            free, before = memory.free(self.device), self.maps.nbytes if self.place is Place.device else 0
            # The maps before these still lie there, and are read once more only.
            if memory.SHARE * free < size <= memory.SHARE * (free + before):
                self.notes.append(f"maps of frozen blocks: no room for those before and after, {self.spill()}")
            if size <= memory.SHARE * memory.free(self.device):
                try:
                    return torch.empty(shape, dtype=dtype, device=self.device), Place.device, None
                except (RuntimeError, MemoryError) as error:
                    if not memory.ran_out(error):
                        raise
                memory.release()
        room = self._elsewhere(shape, dtype, some, kept)
        self.notes.append(f"maps of frozen blocks after block {kept}, {size / 1e9:.2f} GB, lie {room[1]}")
        return room

    def _elsewhere(self, shape: tuple[int, ...], dtype: torch.dtype, some: Tensor, kept: int) -> _Room:
        size, on_cuda = _bytes(shape, dtype), self.device.type == "cuda"
        self.folder.mkdir(parents=True, exist_ok=True)
        places = [Place.file] if shutil.disk_usage(self.folder).free > 2 * size else []
        if on_cuda and size <= memory.SHARE * memory.free(torch.device("cpu")):
            places.insert(0, Place.host)
        if on_cuda and places:
            seconds = self._seconds(places, some, kept)
            places = [place for place in places if seconds[place] < seconds[Place.nowhere]]
            places.sort(key=seconds.__getitem__)
        for place in places:
            try:
                return self._at(place, shape, dtype)
            except (OSError, RuntimeError, MemoryError) as error:
                if not (memory.ran_out(error) or is_full(error)):
                    raise
        return torch.empty(0, dtype=dtype), Place.nowhere, None

    def _at(self, place: Place, shape: tuple[int, ...], dtype: torch.dtype) -> _Room:
        if place is Place.host:
            return torch.empty(shape, dtype=dtype), place, None
        scratch = tempfile.TemporaryDirectory(dir=self.folder, prefix="maps-", ignore_cleanup_errors=True)
        file, size = str(Path(scratch.name) / "maps"), _bytes(shape, dtype)
        try:
            with open(file, "wb") as empty:
                reserve(empty.fileno(), size)
            maps = torch.from_file(file, shared=True, size=size // dtype.itemsize, dtype=dtype).view(shape)
        except BaseException:
            scratch.cleanup()
            raise
        return maps, place, scratch

    def _seconds(self, places: list[Place], some: Tensor, kept: int) -> dict[Place, float]:
        """How long the first maps take to come from each place, and to be computed once more."""
        slots, on_host = np.arange(len(some)), some.cpu()

        def from_file() -> None:
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.write(on_host.contiguous().view(torch.uint8).numpy().data)
                file.flush()
                os.fsync(file.fileno())
            from_host()

        def from_host() -> None:
            on_host[torch.from_numpy(slots)].to(self.device)

        def again() -> None:
            self._through(self._images(slots), 0, kept)

        ways = {Place.host: from_host, Place.file: from_file, Place.nowhere: again}
        return {place: seconds_of(ways[place], self.device) for place in (*places, Place.nowhere)}


_Room = tuple[Tensor, Place, tempfile.TemporaryDirectory[str] | None]


def _bytes(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    return int(np.prod(shape)) * dtype.itemsize
