"""Where a trained network places cells: the activations before its last layer, and their principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from alnet_lib.imaging.augmentation import to_float

if TYPE_CHECKING:
    from alnet_lib.networks.network import Network

LAST_HIDDEN = "relu2"
"""Layer of the head whose output is the embedding: all but the last layer, which only separates the classes."""


def embed(network: Network, pixels: np.ndarray, *, batch: int = 64) -> np.ndarray:
    """Activations of the head's second layer, on the CPU.

    Parameters
    ----------
    network : Network
        Put into evaluation mode.
    pixels : ndarray
        uint8 (n, S, S, 3), RGB; S is the network's input size.
    batch : int
        Images a forward pass.

    Returns
    -------
    ndarray
        float32 (n, second hidden width), at least 0.
    """
    upto = list(dict(network.head.named_children())).index(LAST_HIDDEN) + 1
    network.to("cpu").eval()
    found = [np.empty((0, network.hidden[1]), np.float32)]
    with torch.inference_mode():
        for first in range(0, len(pixels), batch):
            x = network.preprocessing(to_float(np.asarray(pixels[first : first + batch])))
            for block in network.blocks:
                x = block(x)
            found.append(network.head[:upto](x).float().numpy())
    return np.concatenate(found)


def principal_components(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Coordinates on the first two principal components.

    Parameters
    ----------
    values : ndarray
        float (n, features).

    Returns
    -------
    tuple of ndarray and float
        (n, 2), zeros where there is no variance, and the share of the variance that the two explain, in [0, 1]. Each
        component's largest coordinate is positive, so that the map is the same each time.
    """
    centred = np.asarray(values, float) - (np.mean(values, axis=0) if len(values) else 0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    total = float((s**2).sum())
    if total == 0:
        return np.zeros((len(values), 2)), 0.0
    points = np.zeros((len(values), 2))
    points[:, : min(2, len(s))] = u[:, :2] * s[:2]
    largest = np.abs(points).argmax(axis=0)
    signs = np.where(points[largest, [0, 1]] < 0, -1.0, 1.0)
    return points * signs, float((s[:2] ** 2).sum() / total)
