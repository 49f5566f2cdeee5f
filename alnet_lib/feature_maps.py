"""What the network sees (paper section 4, Fig. 7): activations of one layer, and numbers about them."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from alnet_lib.backbones import Network

PAPERS_MAP = (3, 1, 202)
"""Convolutional block, layer and map that Fig. 7B shows, counted from 1."""


def convolution(network: Network, block: int, layer: int) -> nn.Conv2d:
    """The layer-th convolution of a block, both counted from 1.

    Raises
    ------
    ValueError
        the network has no such layer.
    """
    if not 1 <= block <= len(network.blocks):
        raise ValueError(f"block {block}: a network has {len(network.blocks)}")
    layers = _convolutions(network.blocks[block - 1])
    if not 1 <= layer <= len(layers):
        raise ValueError(f"layer {layer}: block {block} of {network.name} has {len(layers)} convolutions")
    return layers[layer - 1]


def layers(network: Network) -> list[tuple[int, int]]:
    """(block, layer) of every convolution, both counted from 1."""
    counts = [len(_convolutions(block)) for block in network.blocks]
    return [(block, layer) for block, n in enumerate(counts, start=1) for layer in range(1, n + 1)]


def _convolutions(block: nn.Module) -> list[nn.Conv2d]:
    return [module for module in block.modules() if isinstance(module, nn.Conv2d)]


def activations(network: Network, images: Tensor, block: int, layer: int) -> Tensor:
    """Feature maps after the ReLU of one convolution, float32 (N, C, h, w).

    images: float (N, 3, S, S) in [0, 1], not normalised. The network's mode and its hooks are as before afterwards.
    """
    kept: list[Tensor] = []
    hook = convolution(network, block, layer).register_forward_hook(lambda *a: kept.append(a[2].detach().clone()))
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            network(network.preprocessing(images))
    finally:
        hook.remove()
        network.train(training)
    return torch.relu(kept[0].float())


def to_grey(feature_map: np.ndarray) -> np.ndarray:
    """One map (h, w) stretched to uint8 0 to 255; a constant map is 0."""
    low, high = float(feature_map.min()), float(feature_map.max())
    if high <= low:
        return np.zeros(feature_map.shape, np.uint8)
    return np.round(255 * (feature_map - low) / (high - low)).astype(np.uint8)


def histogram_summary(grey: np.ndarray) -> dict[str, float]:
    """Of a uint8 map's grey-level histogram (Fig. 7C).

    peak_position: grey level 0 to 255 of the highest of 32 bins, its middle. peak_width: grey levels of the contiguous
    bins around it that hold at least half as many pixels. entropy: bits, 0 to 8, of the 256 levels. dark: share of
    pixels below 64.
    """
    counts = np.bincount(grey.ravel(), minlength=256)
    share = counts / counts.sum()
    entropy = float(-(share[share > 0] * np.log2(share[share > 0])).sum()) + 0.0
    bins = counts.reshape(32, 8).sum(1)
    peak = int(bins.argmax())
    high = bins >= bins[peak] / 2
    first = last = peak
    while first > 0 and high[first - 1]:
        first -= 1
    while last < 31 and high[last + 1]:
        last += 1
    return {
        "peak_position": 8.0 * peak + 4,
        "peak_width": 8.0 * (last - first + 1),
        "entropy": entropy,
        "dark": float((grey < 64).mean()),
    }


def edge_agreement(feature_map: np.ndarray, mask: np.ndarray) -> float:
    """How well a map's edges follow an outline: AUC of its gradient for pixels on the outline against the others.

    0.5 is chance, 1 means that every outline pixel has a steeper map than every other one. feature_map: (h, w).
    mask: bool, any size, brought to the map's. NaN when the mask has no outline at that size.
    """
    height, width = feature_map.shape
    zoom = (height / mask.shape[0], width / mask.shape[1])
    small = ndimage.zoom(mask.astype(float), zoom, order=1) > 0.5
    outline = small ^ ndimage.binary_erosion(small)
    outline = ndimage.binary_dilation(outline)
    if outline.all() or not outline.any():
        return float("nan")
    gradient = ndimage.gaussian_gradient_magnitude(feature_map.astype(float), 0.7)
    return float(roc_auc_score(outline.ravel(), gradient.ravel()))
