"""A map of cells: where the first two principal components of module 1's embedding put them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

    from alnet_lib.networks.network import Network

COLUMNS = ("map_x", "map_y")
"""Of a table of cells: the coordinates on the map."""


@contextmanager
def embeddings(network: Network) -> Iterator[list[np.ndarray]]:
    """Keep what the last layer of a network is given, in every forward pass within the block.

    Parameters
    ----------
    network : Network
        Its hooks are as before afterwards.

    Yields
    ------
    list of ndarray
        float32 (batch, width of the last hidden layer), one a forward pass; filled while images are classified.
    """
    kept: list[np.ndarray] = []

    def keep(_layer: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        kept.append(inputs[0].detach().float().cpu().numpy())

    hook = network.get_submodule("head.fc3").register_forward_pre_hook(keep)
    try:
        yield kept
    finally:
        hook.remove()


def coordinates(embedding: np.ndarray) -> np.ndarray:
    """Project embeddings on their first two principal components.

    Parameters
    ----------
    embedding : ndarray
        float (n, features), n cells.

    Returns
    -------
    ndarray
        float32 (n, 2), without unit, mean 0; the signs are scikit-learn's, so that the same embedding always gives the
        same map. 0 where there are fewer than two cells or features.
    """
    from sklearn.decomposition import PCA

    if min(embedding.shape) < 2:
        return np.zeros((len(embedding), 2), np.float32)
    # Exact and without a random start; the features are at most some thousands.
    found = PCA(n_components=2, svd_solver="covariance_eigh").fit_transform(embedding.astype(np.float64))
    return found.astype(np.float32)
