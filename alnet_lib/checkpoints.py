"""Checkpoints of a training: written whole or not at all, taken up where they end."""

from __future__ import annotations

from pathlib import Path

import torch

from alnet_lib.backbones import Network
from alnet_lib.files import atomic_path


def save(
    path: Path,
    network: Network,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    iteration: int,
    history: list[tuple[int, float, float]],
) -> None:
    """Write all that a training needs to go on after `iteration` iterations."""
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
    """Put a saved state back; the iterations done and the history so far (0 and none without a file)."""
    if path is None or not path.is_file():
        return 0, []
    state = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.last_epoch = state["last_epoch"]
    scheduler._last_lr = [group["lr"] for group in optimizer.param_groups]
    return state["iteration"], [tuple(row) for row in state["history"]]
