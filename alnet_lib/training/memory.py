"""Memory: how much is free, and how work goes on when it runs out, in smaller parts or from elsewhere."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import psutil
import torch

T = TypeVar("T")

SHARE = 0.5
"""Of the free memory that what could also lie elsewhere may take."""

LARGE = 0.25
"""Of a device's memory: larger moments of Adam leave it before a batch is cut."""

_TOLD = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
"""How torch, CUDA's libraries and the allocator of the CPU say that memory ran out."""

Relieve = Callable[[], str]
"""Moves something out of a device's memory and says what it was; an empty text where nothing is left to move."""


class TooLittleMemory(RuntimeError):
    """Not even one image at a time fits; the message says where, and what to change."""


def ran_out(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, of a device or of the host.

    Parameters
    ----------
    error : BaseException
        Any.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _TOLD)


def free(device: torch.device) -> float:
    """Bytes free for new tensors: of the host's memory for the CPU.

    Parameters
    ----------
    device : torch.device
        `cpu` or `cuda`.
    """
    if device.type != "cuda":
        return float(psutil.virtual_memory().available)
    # What torch keeps of freed tensors is free for the next ones.
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return float(torch.cuda.mem_get_info(device)[0] + kept)


def total(device: torch.device) -> float:
    """Bytes of a device's memory, the host's for the CPU.

    Parameters
    ----------
    device : torch.device
        `cpu` or `cuda`.
    """
    return float(torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else psutil.virtual_memory().total)


def release() -> None:
    """Give back to the device what torch keeps of freed tensors; call it outside `except`, whose traceback has some."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def too_little(what: str, device: torch.device) -> TooLittleMemory:
    """Say that work cannot be done on a device.

    Parameters
    ----------
    what : str
        What did not fit, as the subject of a sentence.
    device : torch.device
        Where.
    """
    sizes = f"{total(device) / 1e9:.1f} GB, {free(device) / 1e9:.1f} GB free"
    return TooLittleMemory(
        f"{what} does not fit into the memory of {device} ({sizes}): end other programs there, or take a device with "
        "more, a smaller `image_size` or network, or `device: cpu`"
    )


def in_parts(
    work: Callable[[np.ndarray], T],
    count: int,
    size: int,
    *,
    what: str,
    device: torch.device,
    notes: list[str] | None = None,
    relieve: Relieve | None = None,
) -> Iterator[tuple[np.ndarray, T]]:
    """Do work on so many things, some at a time; when memory runs out, half as many from then on.

    Parameters
    ----------
    work : callable
        Given positions, int (n,), ascending neighbours; called again with fewer where it ran out of memory.
    count : int
        Things in all.
    size : int
        Things at a time, at first.
    what : str
        Names the work in notes, e.g. `prediction`.
    device : torch.device
        Where it is done.
    notes : list of str, optional
        Gets a sentence for each time that memory ran out, which is else a warning.
    relieve : callable, optional
        Asked first, before there are fewer things at a time.

    Yields
    ------
    tuple
        Positions, and what `work` gave for them.

    Raises
    ------
    TooLittleMemory
        One thing does not fit.
    """
    first = 0
    while first < count:
        index = np.arange(first, min(first + size, count))
        failed = False
        try:
            done = work(index)
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            failed = True
        if not failed:
            yield index, done
            first += len(index)
            continue
        release()
        if relieve and (moved := relieve()):
            then = moved
        elif len(index) == 1:
            raise too_little(f"{what}: a single image", device)
        else:
            size = len(index) // 2
            then = f"from then on {size} at a time"
        note = f"{what}: out of memory, {then}"
        if notes is None:
            warnings.warn(note, RuntimeWarning, stacklevel=2)
        else:
            notes.append(note)


def told(notes: Sequence[str]) -> str:
    """Put notes into a caption: empty without any, else a sentence with a blank before it.

    Parameters
    ----------
    notes : sequence of str
        Of `in_parts`.
    """
    return f" ({'; '.join(dict.fromkeys(notes))}.)" if notes else ""


class HostUpdates:
    """Adam on the host: its moments and a copy of what trains lie in the host's memory, gradients come to it.

    A step then costs the way of the gradients to the host and of the parameters back; a device needs eight bytes less
    for each parameter.

    Parameters
    ----------
    optimizer : Optimizer
        Changed in place: its groups hold the copies, in the same order, so that its checkpoints stay the same.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        self.pairs: list[tuple[torch.nn.Parameter, torch.nn.Parameter]] = []
        for group in optimizer.param_groups:
            own = []
            for parameter in group["params"]:
                copy = torch.nn.Parameter(parameter.detach().to("cpu", copy=True), parameter.requires_grad)
                state = optimizer.state.pop(parameter, {})
                # Memory may have run out between a parameter's first moment and its second.
                if {"step", "exp_avg", "exp_avg_sq"} <= state.keys():
                    optimizer.state[copy] = {name: value.to("cpu") for name, value in state.items()}
                own.append(copy)
                self.pairs.append((parameter, copy))
            group["params"] = own

    def step(self) -> None:
        """Take the gradients from the device, update there, and bring the parameters back."""
        with torch.no_grad():
            for parameter, copy in self.pairs:
                copy.grad = None if parameter.grad is None else parameter.grad.to("cpu", copy=True)
                parameter.grad = None
            self.optimizer.step()
            for parameter, copy in self.pairs:
                parameter.copy_(copy)
                copy.grad = None

    def changed(self) -> None:
        """Take over parameters that were changed on the device, e.g. by a checkpoint."""
        with torch.no_grad():
            for parameter, copy in self.pairs:
                copy.copy_(parameter)
