"""Checkpoints of a training: written whole or not at all, taken up where they end."""

from __future__ import annotations

from pathlib import Path

import torch

from alnet_lib.core.files import atomic_path
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
    """
    state = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "last_epoch": scheduler.last_epoch,
        "iteration": iteration,
        "history": history,
    }
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        torch.save(state, file)


def resume(
    path: Path | None,
    network: Network,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
) -> tuple[int, list[tuple[int, float, float]]]:
    """Put a saved state back.

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
    if path is None or not path.is_file():
        return 0, []
    state = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.last_epoch = state["last_epoch"]
    scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]
    return state["iteration"], [tuple(row) for row in state["history"]]
