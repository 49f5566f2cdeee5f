"""A random start fitted to the images at hand, for networks without pretrained weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from alnet_lib.networks.network import Network, Preprocessing

NORMALISING = (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
"""Layers that keep a signal's variance by themselves."""


class _Reached(Exception):
    """A layer's outputs are known: the rest of the forward pass is not needed."""

    def __init__(self, spread: float) -> None:
        super().__init__()
        self.spread = spread


def _stop_after(_layer: nn.Module, _inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
    raise _Reached(float(outputs.std()))


def start_from(network: Network, images: Tensor, *, seed: int = 0, tolerance: float = 0.05) -> None:
    """Fit a random start to the images at hand: their mean and deviation for normalising, unit variance in every layer.

    Layer-sequential unit-variance initialisation (Mishkin and Matas, ICLR 2016): orthonormal weights, each layer in
    turn scaled until its outputs on `images` have variance 1. Without it VGG16 loses its signal on the way, and a short
    training ends before it has found one. Networks with normalising layers have no need of it and only get the
    normalising.

    Parameters
    ----------
    network : Network
        Changed in place.
    images : Tensor
        Float (N, 3, S, S) in [0, 1], some tens of training images.
    seed : int
        Of the orthonormal weights.
    tolerance : float
        A layer is left as it is once its outputs' deviation is this close to 1.
    """
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3)).clamp_min(1e-3)
    (r, g, b), (dr, dg, db) = mean.tolist(), std.tolist()
    network.preprocessing = Preprocessing((r, g, b), (dr, dg, db))
    if any(isinstance(module, NORMALISING) for module in network.modules()):
        return
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    training = network.training
    network.eval()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for layer in layers[:-1]:
            nn.init.orthogonal_(layer.weight)
            hook = layer.register_forward_hook(_stop_after)
            for _ in range(5):
                spread = 0.0
                try:
                    network(network.preprocessing(images))
                except _Reached as reached:
                    spread = reached.spread
                if spread < 1e-8 or abs(spread - 1) < tolerance:
                    break
                layer.weight.div_(spread)
            hook.remove()
    network.train(training)
