"""The device and the precision of a computation."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def resolve_device(device: str) -> str:
    """Resolve `auto` to cuda where there is a GPU, else to cpu.

    Parameters
    ----------
    device : str
        `auto`, `cpu` or `cuda`.

    Returns
    -------
    str
        `cpu` or `cuda`.

    Raises
    ------
    RuntimeError
        `cuda` is asked for and torch sees no GPU.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(
            "the profile asks for a CUDA GPU and torch sees none: set `device: auto`, or repair the driver"
        )
    return device


def autocast(device: str, precision: str) -> AbstractContextManager[Any]:
    """Context of a computation: bf16 autocast where the profile asks for it.

    Parameters
    ----------
    device : str
        `cpu` or `cuda`.
    precision : str
        `float32` or `bf16`.
    """
    return torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext()
