"""Checkpoints of a training: what trains and no more, written whole or not at all, taken up where they end.

A training has one checkpoint, which the next one replaces, so that while it is written there are two.
"""

from __future__ import annotations

import time
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from alnet_lib.core.files import DiskFull, atomic_path, is_full
from alnet_lib.core.integrity.reading import kept

if TYPE_CHECKING:
    from alnet_lib.networks.network import Network

RATE = 3e6
"""Bytes a second of training that checkpoints may write: a large one comes less often than was asked for."""

MOMENTS = 2
"""Numbers that Adam keeps for each one that trains."""


class Taken(NamedTuple):
    """Where a training goes on.

    Attributes
    ----------
    iteration : int
        Iterations done.
    history : list of tuple
        (iteration, loss, learning rate) of each.
    seconds : float
        That they took.
    """

    iteration: int
    history: list[tuple[int, float, float]]
    seconds: float


def trained(network: torch.nn.Module) -> dict[str, Tensor]:
    """Tensors of a network that its training changes.

    Parameters
    ----------
    network : Module
        As in training: its frozen parts in evaluation mode and without gradients.

    Returns
    -------
    dict
        Name in the state dict to parameter with gradient, or to buffer of a module in training mode.
    """
    names = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    for name, module in network.named_modules():
        if module.training:
            names |= {f"{name}.{own}" if name else own for own, _ in module.named_buffers(recurse=False)}
    return {name: tensor for name, tensor in network.state_dict().items() if name in names}


def size(network: torch.nn.Module) -> int:
    """Bytes of a checkpoint of a network: what trains, and Adam's two moments of each parameter.

    Parameters
    ----------
    network : Module
        As for `trained`; may be without memory (torch's meta device).
    """
    parameters = {name for name, _ in network.named_parameters()}
    return sum(_size(tensor) * (1 + MOMENTS * (name in parameters)) for name, tensor in trained(network).items())


def interval(network: torch.nn.Module, asked: float) -> float:
    """Seconds between two checkpoints: those asked for, and more for a large one, so that `RATE` is kept.

    Parameters
    ----------
    network : Module
        As for `trained`.
    asked : float
        Seconds; 0 writes a checkpoint after each iteration.
    """
    return max(asked, size(network) / RATE) if asked else 0.0


class Clock:
    """Says when the next checkpoint is due.

    Parameters
    ----------
    network : Module
        As for `trained`.
    asked : float
        As for `interval`.
    """

    def __init__(self, network: torch.nn.Module, asked: float) -> None:
        self.every, self.last = interval(network, asked), time.perf_counter()

    def due(self) -> bool:
        """Whether so much time has passed since the last checkpoint, or since the beginning."""
        return time.perf_counter() - self.last >= self.every

    def written(self) -> None:
        """Begin to count again."""
        self.last = time.perf_counter()


def frozen(network: torch.nn.Module) -> int:
    """Checksum of the tensors that a training does not change, and that a checkpoint therefore does not hold.

    Parameters
    ----------
    network : Module
        As for `trained`.
    """
    own, total = trained(network), 0
    for name, tensor in network.state_dict().items():
        if name not in own:
            total = zlib.crc32(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy(), total)
    return total


def save(
    path: Path,
    network: Network,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    iteration: int,
    history: list[tuple[int, float, float]],
    seconds: float = 0.0,
) -> None:
    """Write all that a training needs to go on from its start.

    Parameters
    ----------
    path : Path
        The checkpoint.
    network : Network
        As it is now.
    optimizer : torch.optim.Optimizer
        As it is now.
    scheduler : torch.optim.lr_scheduler.LRScheduler
        As it is now.
    iteration : int
        Iterations done.
    history : list of tuple
        (iteration, loss, learning rate) of each.
    seconds : float
        That these iterations took.

    Raises
    ------
    DiskFull
        There is no room; the message says how much is needed, and that the training goes on from the last checkpoint.
    """
    state = {
        "network": trained(network),
        "frozen": frozen(network),
        "optimizer": optimizer.state_dict(),
        "last_epoch": scheduler.last_epoch,
        "iteration": iteration,
        "history": history,
        "seconds": seconds,
    }
    with atomic_path(path) as temporary:
        written = None
        try:
            with open(temporary, "wb") as file:
                written = _Written(file)
                torch.save(state, written)  # type: ignore[arg-type]
        except Exception as error:
            # torch says `unexpected pos` whatever hindered it.
            if is_full(error) or (written and written.error and is_full(written.error)):
                where = "its last checkpoint" if path.is_file() else "its beginning, for there is no checkpoint yet"
                raise DiskFull.at(path, need=_size(state), then=f"this training goes on from {where}") from error
            raise (written.error if written and written.error else error) from error


class _Written:
    """A file that remembers why a write failed."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        self.file.flush()


def _size(content: object) -> int:
    # Tensors are nearly all of a checkpoint.
    if isinstance(content, torch.Tensor):
        return content.numel() * content.element_size()
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, list | tuple) else ()
    return sum(_size(part) for part in inner)


_ENTRIES = {"network", "frozen", "optimizer", "last_epoch", "iteration", "history", "seconds"}


def _state(path: Path, network: torch.nn.Module) -> dict[str, Any]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    if lacking := _ENTRIES - state.keys():
        raise ValueError(f"it lacks {', '.join(sorted(lacking))}")
    if state["network"].keys() != trained(network).keys() or state["frozen"] != frozen(network):
        raise ValueError("it is of a training with another start or other frozen blocks")
    return state


def resume(
    path: Path | None,
    network: Network,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> Taken:
    """Put a saved state back; one that is damaged or of another start is put aside, and the training begins again.

    Parameters
    ----------
    path : Path or None
        The checkpoint, if there is to be one.
    network : Network
        At its start, as for `trained`; changed in place.
    optimizer : torch.optim.Optimizer
        Changed in place.
    scheduler : torch.optim.lr_scheduler.LRScheduler
        Changed in place.

    Returns
    -------
    Taken
        With 0 iterations where there is no checkpoint.
    """
    if path is None or (state := kept(path, lambda file: _state(file, network))) is None:
        return Taken(0, [], 0.0)
    network.load_state_dict(state["network"], strict=False)
    optimizer.load_state_dict(state["optimizer"])
    scheduler.last_epoch = state["last_epoch"]
    scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]
    return Taken(state["iteration"], [tuple(row) for row in state["history"]], state["seconds"])
