"""Checkpoints of a training: written whole or not at all, taken up where they end."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch

from alnet_lib.core.files import DiskFull, atomic_path, is_full
from alnet_lib.core.integrity.reading import kept

if TYPE_CHECKING:
    from alnet_lib.networks.network import Network


def save(
    path: Path,
    network: Network,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    iteration: int,
    history: list[tuple[int, float, float]],
) -> None:
    """Write all that a training needs to go on.

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

    Raises
    ------
    DiskFull
        There is no room; the message says how much is needed, and that the training goes on from the last checkpoint.
    """
    state = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "last_epoch": scheduler.last_epoch,
        "iteration": iteration,
        "history": history,
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


def _state(path: Path) -> dict[str, Any]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    if lacking := {"network", "optimizer", "last_epoch", "iteration", "history"} - state.keys():
        raise ValueError(f"it lacks {', '.join(sorted(lacking))}")
    return state


def resume(
    path: Path | None,
    network: Network,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> tuple[int, list[tuple[int, float, float]]]:
    """Put a saved state back; a damaged one is put aside, and the training begins again.

    Parameters
    ----------
    path : Path or None
        The checkpoint, if there is to be one.
    network : Network
        Changed in place.
    optimizer : torch.optim.Optimizer
        Changed in place.
    scheduler : torch.optim.lr_scheduler.LRScheduler
        Changed in place.

    Returns
    -------
    tuple
        Iterations done, and their history; 0 and none where there is no checkpoint.
    """
    if path is None or (state := kept(path, _state)) is None:
        return 0, []
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.last_epoch = state["last_epoch"]
    scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]
    return state["iteration"], [tuple(row) for row in state["history"]]
