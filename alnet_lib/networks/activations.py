"""Activations of one layer of a network (paper section 4, Fig. 7)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.networks.network import Network, device_of

PAPERS_MAP = (3, 1, 202)
"""Convolutional block, layer and map that Fig. 7B shows, counted from 1; the layer has 256 maps in VGG16."""


def papers_map(network: Network | Unavailable) -> tuple[int, int, int]:
    """Address of the map that stands for the paper's in a network.

    Parameters
    ----------
    network : Network or Unavailable
        Any.

    Returns
    -------
    tuple of int
        Block, layer and map, counted from 1: PAPERS_MAP in VGG16 and VGG19, and where there is no network; elsewhere
        the map at the same share of its layer, e.g. 50 of 64 in the miniature.
    """
    block, layer, number = PAPERS_MAP
    if isinstance(network, Unavailable):
        return PAPERS_MAP
    return block, layer, max(number * convolution(network, block, layer).out_channels // 256, 1)


def convolution(network: Network, block: int, layer: int) -> nn.Conv2d:
    """One convolution of a network.

    Parameters
    ----------
    network : Network
        Any.
    block : int
        Convolutional block, counted from 1.
    layer : int
        Convolution within the block, counted from 1.

    Raises
    ------
    ValueError
        The network has no such layer.
    """
    if not 1 <= block <= len(network.blocks):
        raise ValueError(f"block {block}: a network has {len(network.blocks)}")
    inside = _convolutions(network.blocks[block - 1])
    if not 1 <= layer <= len(inside):
        raise ValueError(f"layer {layer}: block {block} of {network.name} has {len(inside)} convolutions")
    return inside[layer - 1]


def layers(network: Network) -> list[tuple[int, int]]:
    """All convolutions of a network.

    Parameters
    ----------
    network : Network
        Any.

    Returns
    -------
    list of tuple
        (block, layer), both counted from 1, from the input on.
    """
    counts = [len(_convolutions(block)) for block in network.blocks]
    return [(block, layer) for block, n in enumerate(counts, start=1) for layer in range(1, n + 1)]


def _convolutions(block: nn.Module) -> list[nn.Conv2d]:
    return [module for module in block.modules() if isinstance(module, nn.Conv2d)]


def activations(network: Network, images: Tensor, block: int, layer: int) -> Tensor:
    """Feature maps after the ReLU of one convolution.

    The network's mode and its hooks are as before afterwards.

    Parameters
    ----------
    network : Network
        Any.
    images : Tensor
        Float (N, 3, S, S) in [0, 1], not normalised, of any size; moved to the network's device.
    block : int
        Convolutional block, counted from 1.
    layer : int
        Convolution within the block, counted from 1.

    Returns
    -------
    Tensor
        float32 (N, C, h, w), at least 0, on the network's device.

    Raises
    ------
    ValueError
        The network has no such layer.
    """
    kept: list[Tensor] = []

    def keep(_layer: nn.Module, _inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        # A ReLU that works in place would overwrite the output before it is read.
        kept.append(outputs.detach().clone())

    hook = convolution(network, block, layer).register_forward_hook(keep)
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            x = network.preprocessing(images.to(device_of(network)))
            for each in network.blocks[:block]:
                x = each(x)
    finally:
        hook.remove()
        network.train(training)
    return torch.relu(kept[0].float())
