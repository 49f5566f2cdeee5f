"""Class probabilities of images by a trained network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from alnet_lib.networks.timm_body import TimmBody
from alnet_lib.training.data import Images
from alnet_lib.training.device import arrange, autocast
from alnet_lib.training.memory import in_parts

if TYPE_CHECKING:
    from alnet_lib.core.progress import Progress
    from alnet_lib.networks.network import Network
    from alnet_lib.training.options import Options


def unlabelled(pixels: np.ndarray, rows: np.ndarray) -> Images:
    """Images of which only the pixels are known.

    Parameters
    ----------
    pixels : ndarray
        uint8 (m, S, S, 3), may be memory-mapped.
    rows : ndarray
        int (n,), rows of `pixels`.
    """
    rows = np.asarray(rows, np.int64)
    return Images(pixels, rows, np.zeros(len(rows), np.int64), rows, ())


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

    def judged(x: Tensor) -> Tensor:
        return network(x).float().softmax(1)

    found = through(
        network, judged, images, device=options.device, precision=options.precision, what="prediction", batch=batch,
        progress=progress, notes=notes,
    )  # fmt: skip
    return np.concatenate([np.empty((0, len(network.classes)), np.float32), *found])


def through(
    network: Network,
    work: Callable[[Tensor], Tensor],
    images: Images,
    *,
    device: str,
    precision: str,
    what: str,
    batch: int = 256,
    progress: Progress | None = None,
    notes: list[str] | None = None,
) -> list[np.ndarray]:
    """Take images through a network in evaluation mode; in smaller parts where memory runs out.

    Parameters
    ----------
    network : Network
        Moved to the device.
    work : callable
        From normalised images, float (N, 3, S, S), to what is wanted of them, (N, ...).
    images : Images
        Their labels are not used.
    device : str
        `cpu` or `cuda`.
    precision : str
        `float32` or `bf16`.
    what : str
        Names the work in notes.
    batch : int
        Images a forward pass, at first.
    progress : callable, optional
        Called with the images done and their number.
    notes : list of str, optional
        As for `predict`.

    Returns
    -------
    list of ndarray
        float32 (N, ...), parts in the order of the images; empty without any.

    Raises
    ------
    alnet_lib.training.memory.TooLittleMemory
        The network, or one image, does not fit.
    """
    where = torch.device(device)
    form = arrange(network, where, precision)
    network.eval()

    def done(index: np.ndarray) -> np.ndarray:
        x = network.preprocessing(images.batch(index, where)).contiguous(memory_format=form)
        return work(x).float().cpu().numpy()

    found = []
    # Around all parts: autocast keeps the weights in half precision as long as it lasts.
    with torch.inference_mode(), autocast(device, precision):
        for index, values in in_parts(done, len(images), batch, what=what, device=where, notes=notes):
            found.append(values)
            if progress:
                progress(int(index[-1]) + 1, len(images))
    return found


def features(
    network: Network,
    pixels: np.ndarray,
    rows: np.ndarray,
    options: Options,
    *,
    batch: int = 256,
    notes: list[str] | None = None,
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
        Images a forward pass; fewer where memory runs out.
    notes : list of str, optional
        As for `predict`.

    Returns
    -------
    ndarray
        float32 (n, features), computed in float32.

    Raises
    ------
    alnet_lib.training.memory.TooLittleMemory
        The network, or one image, does not fit.
    """
    body = network.blocks[0]

    def embedded(x: Tensor) -> Tensor:
        for block in network.blocks:
            x = block(x)
        if isinstance(body, TimmBody):
            return body.model.forward_head(x, pre_logits=True)
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)

    found = through(
        network, embedded, unlabelled(pixels, rows), device=options.device, precision="float32", what="features",
        batch=batch, notes=notes,
    )  # fmt: skip
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
    probability = predict(network, unlabelled(pixels, rows), options, batch=batch, progress=progress)
    return pd.DataFrame(probability, columns=list(network.classes)).reindex(columns=list(classes), fill_value=0)
