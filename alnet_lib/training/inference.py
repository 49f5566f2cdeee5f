"""Class probabilities of images by a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from alnet_lib.training.data import Images
from alnet_lib.training.device import autocast

if TYPE_CHECKING:
    from alnet_lib.core.progress import Progress
    from alnet_lib.networks.network import Network
    from alnet_lib.training.options import Options


def predict(
    network: Network, images: Images, options: Options, *, batch: int = 256, progress: Progress | None = None
) -> np.ndarray:
    """Class probabilities: the softmax of the network's logits, in evaluation mode.

    Parameters
    ----------
    network : Network
        Moved to the device of the options.
    images : Images
        Their labels are not used.
    options : Options
        Device and precision.
    batch : int
        Images a forward pass.
    progress : callable, optional
        Called with the images done and their number.

    Returns
    -------
    ndarray
        float32 (n, classes of the network), rows sum to 1.
    """
    device = torch.device(options.device)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.eval()
    out = np.empty((len(images), len(network.classes)), np.float32)
    with torch.inference_mode(), autocast(options.device, options.precision):
        for first in range(0, len(images), batch):
            index = np.arange(first, min(first + batch, len(images)))
            x = network.preprocessing(images.batch(index, device)).contiguous(memory_format=torch.channels_last)
            out[index] = network(x).float().softmax(1).cpu().numpy()
            if progress:
                progress(int(index[-1]) + 1, len(images))
    return out


def class_probabilities(
    network: Network,
    pixels: np.ndarray,
    rows: np.ndarray,
    options: Options,
    classes: Sequence[str],
    *,
    batch: int = 256,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Class probabilities of unlabelled images, one column a class.

    Parameters
    ----------
    network : Network
        Moved to the device of the options.
    pixels : ndarray
        uint8 (m, S, S, 3), may be memory-mapped.
    rows : ndarray
        int64 (n,), rows of `pixels`.
    options : Options
        Device and precision.
    classes : sequence of str
        Columns of the result. One that the network was not trained on has probability 0; a class of the network that
        is not among them is left out.
    batch : int
        Images a forward pass.
    progress : callable, optional
        Called with the images done and their number.

    Returns
    -------
    DataFrame
        float32 (n, classes), in [0, 1], in the order of `rows`.
    """
    rows = np.asarray(rows, np.int64)
    unlabelled = Images(pixels, rows, np.zeros(len(rows), np.int64), rows, ())
    probability = predict(network, unlabelled, options, batch=batch, progress=progress)
    return pd.DataFrame(probability, columns=list(network.classes)).reindex(columns=list(classes), fill_value=0)
