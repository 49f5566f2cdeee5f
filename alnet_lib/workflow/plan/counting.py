"""What one image costs in a network: counted on torch's meta device, without memory and without arithmetic."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from alnet_lib.core.code import code_hash
from alnet_lib.core.files import remember, remembered
from alnet_lib.core.resources import home
from alnet_lib.networks.architectures import architecture
from alnet_lib.networks.network import Network

BACKWARD = 2
"""Forward passes that a backward pass costs: one for the gradient of the inputs, one for that of the weights. torch's
counter is not asked, since it counts the groups of a grouped convolution backward as if they were one."""

IMAGES = 2
"""Images that are counted, and divided by: batch normalisation of one value has no variance."""

CLASSES = tuple("123456")
"""As many as the comparison has; the last layer is a negligible part of a network."""


@dataclass(frozen=True)
class Counts:
    """What one image costs; tuples have an entry a block, the head last.

    Attributes
    ----------
    flops : tuple of float
        Floating-point operations of a forward pass, a multiplication and an addition counted as two.
    parameters : tuple of int
        Numbers that a block holds.
    kept : tuple of float
        Floating-point numbers that a forward pass keeps for the backward pass, parameters left out.
    other : tuple of float
        Bytes kept beside them: positions of maxima, masks of dropout.
    maps : tuple of int
        Numbers in the maps after each block; one for the head.
    largest : tuple of int
        Numbers of the largest of the tensors that are kept.
    """

    flops: tuple[float, ...]
    parameters: tuple[int, ...]
    kept: tuple[float, ...]
    other: tuple[float, ...]
    maps: tuple[int, ...]
    largest: tuple[int, ...]


@lru_cache(maxsize=64)
def count(name: str, input_size: int) -> Counts:
    """Count a network, or read what was counted before.

    Parameters
    ----------
    name : str
        Key of ARCHITECTURES, or a model of timm.
    input_size : int
        Pixels a side.

    Raises
    ------
    ValueError
        The name is unknown.
    """
    own = f"{name} {input_size} {torch.__version__} {_code()}"
    cache = home() / "counts.json"
    if (known := remembered(cache, _usable).get(own)) is None:
        known = asdict(_counted(name, input_size))
        remember(cache, _usable, {own: known})
    return Counts(**{field: tuple(values) for field, values in known.items()})


@lru_cache(maxsize=1)
def _code() -> str:
    return code_hash(__name__)[:16]


def _usable(entry: dict[str, Any]) -> Counts:
    return Counts(**entry)


def _counted(name: str, input_size: int) -> Counts:
    from torch.utils.flop_counter import FlopCounterMode

    network = unfilled(name, input_size)
    x: Any = torch.empty(IMAGES, 3, input_size, input_size, device="meta")
    flops, parameters, kept, other, maps, largest = [], [], [], [], [], []
    for part in (*network.blocks, network.head):
        part.requires_grad_(True).train()
        x = x.detach().requires_grad_(True)
        seen = _Kept(part)
        with FlopCounterMode(display=False) as counter, seen.hooks():
            x = part(x)
        flops.append(counter.get_total_flops() / IMAGES)
        parameters.append(sum(parameter.numel() for parameter in part.parameters()))
        kept.append(seen.numbers / IMAGES)
        other.append(seen.bytes / IMAGES)
        maps.append(math.prod(x.shape[1:]))
        largest.append(max((seen.largest // IMAGES, maps[-1])))
    maps[-1] = 1
    return Counts(tuple(flops), tuple(parameters), tuple(kept), tuple(other), tuple(maps), tuple(largest))


def unfilled(name: str, input_size: int, hidden: tuple[int, int] | None = None) -> Network:
    """Build a network on the meta device.

    Parameters
    ----------
    name : str
        Key of ARCHITECTURES, or a model of timm.
    input_size : int
        Pixels a side.
    hidden : tuple of int, optional
        Widths of the head's hidden layers; the architecture's own where not given.
    """
    chosen = architecture(name, input_size)
    hidden = hidden or chosen.hidden
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return Network(name, CLASSES, input_size, chosen.blocks(), hidden, 0.5)
        except (RuntimeError, NotImplementedError):
            # Some models of timm read numbers while they are built, which the meta device has none of.
            return Network(name, CLASSES, input_size, chosen.blocks(), hidden, 0.5).to("meta")


class _Kept:
    """Counts what autograd keeps for the backward pass, each storage once, parameters left out."""

    def __init__(self, part: nn.Module) -> None:
        self.numbers, self.bytes, self.largest = 0, 0, 0
        self.own = {_storage(tensor) for tensor in (*part.parameters(), *part.buffers())}
        self.alive: list[Tensor] = []

    def hooks(self) -> torch.autograd.graph.saved_tensors_hooks:
        return torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)

    def _pack(self, tensor: Tensor) -> Tensor:
        if (storage := _storage(tensor)) not in self.own:
            self.own.add(storage)
            # Kept, so that no later storage gets the same address.
            self.alive.append(tensor)
            if tensor.is_floating_point():
                self.numbers += tensor.numel()
                self.largest = max(self.largest, tensor.numel())
            else:
                self.bytes += tensor.numel() * tensor.element_size()
        return tensor


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
