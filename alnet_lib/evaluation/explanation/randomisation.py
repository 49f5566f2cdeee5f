"""Whether attribution maps depend on what a network learnt: its weights are randomised step by step.

The cascade of Adebayo et al., Sanity Checks for Saliency Maps (NeurIPS 2018): the head first, then the blocks from the
last to the first, each step keeping the ones before. A method whose maps stay as they were shows the image, not what
was learnt.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
import torch

from alnet_lib.imaging import augmentation
from alnet_lib.networks.building import build
from alnet_lib.networks.network import Network, device_of
from alnet_lib.networks.starts.random_start import start_from

ALIKE = 0.5
"""Spearman's correlation, after the whole cascade, above which maps are said not to depend on what was learnt."""

START_IMAGES = 32
"""Pictures that the random weights are scaled to, so that signals pass through the randomised layers."""

Explain = Callable[[Network], np.ndarray]
"""A network to maps, float (n, S, S), of the same pictures and classes each time."""


def cascade(network: Network, pictures: np.ndarray, seed: int) -> Iterator[tuple[str, Network]]:
    """Randomise a trained network from the head down.

    The random weights are those of the kit's own random start of the same architecture, which has unit variance in
    every layer, so that no signal vanishes on the way.

    Parameters
    ----------
    network : Network
        Trained, on any device; stays as it is.
    pictures : ndarray
        uint8 (n, S, S, 3), RGB; some of them scale the random weights.
    seed : int
        Of the random weights.

    Yields
    ------
    tuple of (str, Network)
        `head`, `block 5` ... `block 1`, and the network with that part and all above it randomised, in evaluation mode.
        It is one network, changed from step to step. A network that is not in blocks has one, `block 1`.

    References
    ----------
    Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018.
    """
    device = device_of(network)
    random = build(network.name, network.classes, network.input_size, seed=seed).to(device)
    start_from(random, augmentation.to_float(pictures[:START_IMAGES], device), seed=seed)
    changed = copy.deepcopy(network).eval()
    changed.head.load_state_dict(random.head.state_dict())
    yield "head", changed
    for k in range(len(changed.blocks), 0, -1):
        changed.blocks[k - 1].load_state_dict(random.blocks[k - 1].state_dict())
        yield f"block {k}", changed


def correlations(
    methods: Mapping[str, Explain], network: Network, pictures: np.ndarray, seed: int
) -> dict[str, pd.DataFrame]:
    """Correlate each picture's map with that of the intact network, after each step of the cascade.

    Parameters
    ----------
    methods : mapping of str to callable
        Name -> network to maps.
    network : Network
        Trained.
    pictures : ndarray
        uint8 (n, S, S, 3), RGB, as explained by the methods.
    seed : int
        Of the random weights.

    Returns
    -------
    dict of str to DataFrame
        Method -> Spearman's correlation, (n, steps), NaN where a map is constant; columns the steps.
    """
    with torch.random.fork_rng(devices=[]):
        intact = {name: explain(network) for name, explain in methods.items()}
        found: dict[str, dict[str, list[float]]] = {name: {} for name in methods}
        for step, changed in cascade(network, pictures, seed):
            for name, explain in methods.items():
                found[name][step] = [spearman(a, b) for a, b in zip(intact[name], explain(changed), strict=True)]
    return {name: pd.DataFrame(steps) for name, steps in found.items()}


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Correlate two maps of one size by the ranks of their pixels; NaN where one is constant."""
    ranks = [pd.Series(m.ravel()).rank().to_numpy() for m in (a, b)]
    if min(r.std() for r in ranks) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])
