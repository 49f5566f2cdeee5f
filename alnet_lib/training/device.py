"""The device, the precision and the memory layout of a computation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from alnet_lib.core.files import remember, remembered
from alnet_lib.core.resources import home
from alnet_lib.training import memory

if TYPE_CHECKING:
    from alnet_lib.networks.network import Network

LAYOUTS = {"NHWC": torch.channels_last, "NCHW": torch.contiguous_format}
"""Name of a memory layout of maps and weights -> torch's; the first is that of the CPU."""

MEASURED_IMAGES = 16
"""Images that pass forward and backward when layouts are compared."""

_known: dict[str, str] = {}
"""Network, size and precision, and the device that it was measured on -> faster layout."""

_fixed = ""
"""Layout of every network while `fixed_layout` holds."""


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


def resolve_precision(precision: str, device: str) -> str:
    """Resolve `auto` to bf16 where the device computes in it, else to float32.

    Parameters
    ----------
    precision : str
        `auto`, `float32` or `bf16`.
    device : str
        `cpu` or `cuda`.

    Returns
    -------
    str
        `float32` or `bf16`.
    """
    if precision != "auto":
        return precision
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    # Without these instructions bf16 is emulated, and slower than float32.
    own = torch.cpu.get_capabilities()
    return "bf16" if any(there and "bf16" in name for name, there in own.items()) else "float32"


def use_tensor_cores(device: str) -> dict[str, bool]:
    """Set how CUDA computes for this process: float32 in TF32, by convolutions that are tried out first.

    Parameters
    ----------
    device : str
        `cpu` or `cuda`.

    Returns
    -------
    dict of str to bool
        `tf32`, `cudnn_benchmark` and `cudnn_deterministic`, for a run's provenance; empty on the CPU, where nothing is
        set.
    """
    if device != "cuda":
        return {}
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    torch.backends.cudnn.conv.fp32_precision = "tf32"  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = True, False
    return {"tf32": True, "cudnn_benchmark": True, "cudnn_deterministic": False}


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


def layout(network: Network, device: torch.device, precision: str) -> str:
    """Memory layout of a network on a device.

    Parameters
    ----------
    network : Network
        On CUDA it is moved there.
    device : torch.device
        `cpu` or `cuda`.
    precision : str
        `float32` or `bf16`.

    Returns
    -------
    str
        `NHWC` on the CPU, so that no result depends on a measurement there. On CUDA the faster one, measured once on a
        device for a network's name, input size and precision, and kept for later processes, so that every training of a
        comparison computes alike.
    """
    if _fixed or device.type != "cuda":
        return _fixed or next(iter(LAYOUTS))
    return _measured_once(network, device, precision)


def _measured_once(network: Network, device: torch.device, precision: str) -> str:
    about = (torch.cuda.get_device_name(device), torch.__version__, str(torch.backends.cudnn.version()))
    key = " ".join((network.name, str(network.input_size), precision, *about))
    if key not in _known:
        _known.update(remembered(layouts(), LAYOUTS.__contains__))
    if key not in _known:
        network.to(device)
        found = faster_layout(network, device, precision)
        _known[key] = found or next(iter(LAYOUTS))
        remember(layouts(), LAYOUTS.__contains__, {key: found} if found else {})
    return _known[key]


def layouts() -> Path:
    """File that keeps which layout is faster."""
    return home() / "layouts.json"


@contextmanager
def fixed_layout(name: str) -> Iterator[None]:
    """Let every network compute in one layout meanwhile, whichever is faster.

    Parameters
    ----------
    name : str
        Key of LAYOUTS.
    """
    global _fixed
    before, _fixed = _fixed, name
    try:
        yield
    finally:
        _fixed = before


def faster_layout(network: Network, device: torch.device, precision: str) -> str:
    """Measure in which layout the blocks of a network take images forward and gradients back sooner.

    Parameters
    ----------
    network : Network
        On the device; afterwards in the last layout tried, and otherwise as it was.
    device : torch.device
        Where.
    precision : str
        `float32` or `bf16`.

    Returns
    -------
    str
        Key of LAYOUTS; empty where memory is too little for the measurement.
    """
    trains = [parameter.requires_grad for parameter in network.blocks.parameters()]
    was_training, failed = network.training, False
    network.eval()
    network.blocks.requires_grad_(True)
    seconds, size = dict[str, float](), network.input_size
    try:
        for name, form in LAYOUTS.items():
            network.blocks.to(memory_format=form)
            images = torch.zeros(MEASURED_IMAGES, 3, size, size, device=device).contiguous(memory_format=form)
            seconds[name] = seconds_of(partial(_there_and_back, network, images, precision), device)
    except (RuntimeError, MemoryError) as error:
        if not memory.ran_out(error):
            raise
        failed = True
    for parameter, train in zip(network.blocks.parameters(), trains, strict=True):
        parameter.grad = None
        parameter.requires_grad_(train)
    network.train(was_training)
    if failed:
        memory.release()
        return ""
    return min(seconds, key=seconds.__getitem__)


def _there_and_back(network: Network, images: torch.Tensor, precision: str) -> None:
    with autocast(images.device.type, precision):
        for block in network.blocks:
            images = block(images)
    images.float().sum().backward()


def arrange(network: Network, device: torch.device, precision: str) -> torch.memory_format:
    """Move a network to a device, in its layout there.

    Parameters
    ----------
    network : Network
        Changed in place.
    device : torch.device
        `cpu` or `cuda`.
    precision : str
        `float32` or `bf16`.

    Returns
    -------
    torch.memory_format
        Of the batches to give to it.

    Raises
    ------
    alnet_lib.training.memory.TooLittleMemory
        The network does not fit.
    """
    failed = False
    try:
        form = LAYOUTS[layout(network, device, precision)]
        network.to(device, memory_format=form)  # type: ignore[call-overload]
    except (RuntimeError, MemoryError) as error:
        if not memory.ran_out(error):
            raise
        failed = True
    if failed:
        memory.release()
        raise memory.too_little(f"the network {network.name}", device)
    return form


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Time some work, the second time that it is done, all of it on the device included.

    Parameters
    ----------
    work : callable
        Done twice.
    device : torch.device
        Waited for.
    """
    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - began
    return seconds
