"""Class probabilities of images by a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from alnet_lib.networks.timm_body import TimmBody
from alnet_lib.training.data import Images
from alnet_lib.training.device import arrange, autocast
from alnet_lib.training.memory import in_parts

if TYPE_CHECKING:
    from alnet_lib.core.progress import Progress
    from alnet_lib.networks.network import Network
    from alnet_lib.training.options import Options


def predict(
    network: Network,
    images: Images,
    options: Options,
    *,
    batch: int = 256,
    progress: Progress | None = None,
    notes: list[str] | None = None,
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
        Images a forward pass; fewer where memory runs out.
    progress : callable, optional
        Called with the images done and their number.
    notes : list of str, optional
        Gets a sentence for each time that memory ran out, which is else a warning.

    Returns
    -------
    ndarray
        float32 (n, classes of the network), rows sum to 1.

    Raises
    ------
    alnet_lib.training.memory.TooLittleMemory
        The network, or one image, does not fit.
    """
    device = torch.device(options.device)
    form = arrange(network, device, options.precision)
    network.eval()
    out = np.empty((len(images), len(network.classes)), np.float32)

    def work(index: np.ndarray) -> np.ndarray:
        x = network.preprocessing(images.batch(index, device)).contiguous(memory_format=form)
        return network(x).float().softmax(1).cpu().numpy()

    with torch.inference_mode(), autocast(options.device, options.precision):
        for index, found in in_parts(work, len(images), batch, what="prediction", device=device, notes=notes):
            out[index] = found
            if progress:
                progress(int(index[-1]) + 1, len(images))
    return out


def features(
    network: Network, pixels: np.ndarray, rows: np.ndarray, options: Options, *, batch: int = 256
) -> np.ndarray:
    """Mean and maximum of each channel over the maps of the last convolutional block, in evaluation mode.

    Of a timm model: what its own classifier would get.

    Parameters
    ----------
    network : Network
        Moved to the device of the options.
    pixels : ndarray
        uint8 (m, S, S, 3), may be memory-mapped.
    rows : ndarray
        int64 (n,), rows of `pixels`.
    options : Options
        Device.
    batch : int
        Images a forward pass.

    Returns
    -------
    ndarray
        float32 (n, features), computed in float32.
    """
    network.to(options.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    body, found = network.blocks[0], []
    rows = np.asarray(rows, np.int64)
    images = Images(pixels, rows, np.zeros(len(rows), np.int64), rows, ())
    with torch.inference_mode():
        for first in range(0, len(rows), batch):
            index = np.arange(first, min(first + batch, len(rows)))
            x = network.preprocessing(images.batch(index, torch.device(options.device)))
            x = x.contiguous(memory_format=torch.channels_last)
            for block in network.blocks:
                x = block(x)
            if isinstance(body, TimmBody):
                x = body.model.forward_head(x, pre_logits=True)
            else:
                x = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
            found.append(x.float().cpu().numpy())
    return np.concatenate(found) if found else np.empty((0, 0), np.float32)


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
