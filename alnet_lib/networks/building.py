"""A network by its name and its start."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from alnet_lib.networks.architectures import architecture
from alnet_lib.networks.network import Network
from alnet_lib.networks.starts import start as starts


def build(
    name: str,
    classes: Sequence[str],
    input_size: int,
    *,
    start: str = starts.RANDOM,
    weights_dir: str = "",
    dropout: float = 0.5,
    seed: int = 0,
) -> Network:
    """Build a network with a head for `classes`, from a seeded random start or from pretrained weights.

    Parameters
    ----------
    name : str
        Key of ARCHITECTURES, or a model of timm.
    classes : sequence of str
        At least two names.
    input_size : int
        Pixels a side, at least 32.
    start : str
        A name of `starts.start.MEANING`: what the convolutional blocks begin with.
    weights_dir : str
        Folder to look for weight files in, before the usual caches.
    dropout : float
        In [0, 1), between the fully connected layers.
    seed : int
        Of the random start.

    Raises
    ------
    ValueError
        The name is unknown, or there are fewer than two classes.
    alnet_lib.networks.starts.files.StartError
        There is no such start, or it does not fit the network.
    alnet_lib.networks.starts.imagenet.WeightsError
        The `imagenet` weights cannot be had; the message names the file and where to put it.
    """
    if len(classes) < 2:
        raise ValueError(f"a classifier needs two classes or more, not {list(classes)}")
    chosen = architecture(name, input_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(name, classes, input_size, chosen.blocks(), chosen.hidden, dropout)
    starts.load(network, start, weights_dir)
    return network
