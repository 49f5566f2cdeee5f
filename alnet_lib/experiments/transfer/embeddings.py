"""Embeddings of cells by a frozen network: what its maps hold, without any training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from alnet_lib.core.code import code_hash
from alnet_lib.core.files import atomic_path, sha256
from alnet_lib.core.integrity.reading import kept
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import start_name
from alnet_lib.experiments.preparation import Setup, begin
from alnet_lib.networks import architectures
from alnet_lib.networks.starts import start as starts
from alnet_lib.networks.starts.files import StartError
from alnet_lib.networks.starts.imagenet import WeightsError
from alnet_lib.networks.timm_body import TimmBody
from alnet_lib.training import inference
from alnet_lib.training.data import Images

if TYPE_CHECKING:
    from alnet_lib.core.profile import FrozenStart
    from alnet_lib.core.progress import Progress
    from alnet_lib.experiments.datasets import CellImages
    from alnet_lib.networks.network import Network

LAST = 4
"""Blocks whose maps are pooled, counted from the end: the first sees edges only."""


def embed(
    network: Network, pixels: np.ndarray, rows: np.ndarray, *, device: str = "cpu", precision: str = "float32",
    batch: int = 64, last: int = LAST, turns: int = 1, progress: Progress | None = None,
) -> np.ndarray:  # fmt: skip
    """Mean and standard deviation of each channel over the central half of the maps of the last blocks.

    Of a transformer: the class token, or the mean of the tokens where it has none, as timm pools it.

    Parameters
    ----------
    network : Network
        Its blocks are used, and its preprocessing.
    pixels : ndarray
        uint8 (m, S, S, 3), RGB; S need not be the network's input size but for transformers.
    rows : ndarray
        int64 (n,), rows of `pixels`.
    device : str
        `cpu` or `cuda`.
    precision : str
        `float32` or `bf16`.
    batch : int
        Images a forward pass; fewer where memory runs out.
    last : int
        Blocks pooled, from the end, 1 to 5.
    turns : int
        Quarter turns of each image, 1 to 4, over which the result is averaged: a cell has no upright position.
    progress : callable, optional
        Called with images done and their number, a turned image counting as another.

    Returns
    -------
    ndarray
        float32 (n, features).
    """
    if not len(rows):
        return np.empty((0, 0), np.float32)
    total: np.ndarray | float = 0.0
    for turn in range(turns):
        images = inference.unlabelled(np.rot90(pixels, turn, axes=(1, 2)), rows)
        found = inference.through(
            network, lambda x: _pooled(network, x, last), images, device=device, precision=precision, what="embeddings",
            batch=batch, progress=progress and partial(_turned, progress, turn, turns),
        )  # fmt: skip
        total = total + np.concatenate(found)
    return np.asarray(total / turns, np.float32)


def _turned(progress: Progress, turn: int, turns: int, done: int, images: int) -> None:
    progress(turn * images + done, turns * images)


def _pooled(network: Network, x: torch.Tensor, last: int) -> torch.Tensor:
    if isinstance(network.blocks[0], TimmBody):
        body = network.blocks[0]
        return body.model.forward_head(body(x), pre_logits=True)
    parts: list[torch.Tensor] = []
    for number, block in enumerate(network.blocks):
        x = block(x)
        if number >= len(network.blocks) - last:
            parts += _central(x)
    return torch.cat(parts, 1)


def _central(maps: torch.Tensor) -> Sequence[torch.Tensor]:
    height, width = maps.shape[2:]
    top, left = height // 4, width // 4
    middle = maps[:, :, top : height - top, left : width - left].float().flatten(2)
    return middle.mean(2), middle.std(2, correction=0)


@dataclass(frozen=True)
class Embedded:
    """Embeddings of the same cells by several starts.

    Attributes
    ----------
    rows : ndarray
        int64 (n,), positions in the manifest, ascending.
    values : dict
        Start to float32 (n, features), in the order of the profile.
    missing : dict of str to str
        Title of a start that cannot be had to the reason.
    """

    rows: np.ndarray
    values: dict[FrozenStart, np.ndarray]
    missing: dict[str, str]

    def of(self, start: FrozenStart, rows: np.ndarray) -> np.ndarray:
        """Embeddings by a start of some of the cells, float32 (rows, features), in the order of `rows`."""
        return self.values[start][np.searchsorted(self.rows, rows)]


def pretrained(start: FrozenStart) -> bool:
    """Whether anything is transferred."""
    return start.start != starts.RANDOM


def title(start: FrozenStart) -> str:
    """For example `VGG16, cells`."""
    return f"{architectures.title(start.network)}, {start_name(start.start)}"


def seen(setup: Setup, images: Callable[[int, float], CellImages]) -> Setup | Unavailable:
    """The same setup with pictures of the size and crop that the profile's `transfer` asks for.

    Parameters
    ----------
    setup : Setup
        Profile, folder, device.
    images : callable
        (size in pixels, crop) to the cohort's pictures, e.g. `Run.images`.

    Returns
    -------
    Setup or Unavailable
        Its profile has that size and crop too. Unavailable where the profile sets no `transfer`.
    """
    asked = setup.profile.transfer
    if asked is None:
        return Unavailable("the profile sets no `transfer`")
    profile = setup.profile.model_copy(update={"image_size": asked.image_size, "crop": asked.crop})
    return replace(setup, data=images(asked.image_size, asked.crop), profile=profile)


def embedded(setup: Setup, wanted: Sequence[FrozenStart], rows: np.ndarray, *, part: str, turns: int = 1) -> Embedded:
    """Embed some cells by each start, or read what was embedded before.

    A start's embeddings are kept in `<folder>/transfer/`. The weights of a random start, and what it normalises by, are
    drawn for some pictures of the training split, without their labels.

    Parameters
    ----------
    setup : Setup
        Of `seen`.
    wanted : sequence of FrozenStart
        Networks and their starts.
    rows : ndarray
        int64 (n,), positions in the manifest, ascending.
    part : str
        Names these cells, in the name of the file.
    turns : int
        As for `embed`.

    Returns
    -------
    Embedded
        Starts whose weights cannot be had, or do not fit, are among `missing`.
    """
    values, missing = {}, {}
    for start in wanted:
        try:
            values[start] = of_start(setup, start, rows, part=part, turns=turns)
        except (StartError, WeightsError) as error:
            missing[title(start)] = str(error).split(". ")[0]
    return Embedded(rows, values, missing)


def of_start(setup: Setup, start: FrozenStart, rows: np.ndarray, *, part: str, turns: int = 1) -> np.ndarray:
    """Embed cells by one start, or read what was embedded before.

    Parameters
    ----------
    setup : Setup
        Pictures and profile, of one size.
    start : FrozenStart
        The network and its start.
    rows, part, turns
        As for `embedded`.

    Returns
    -------
    ndarray
        float32 (n, features), as `embed`.

    Raises
    ------
    StartError, WeightsError
        The start cannot be had or does not fit.
    """
    profile, data = setup.profile.model_copy(update={"start": start.start}), setup.data
    origin = starts.describe(start.start, start.network, profile.weights_dir)
    asked = (
        start, profile.image_size, profile.crop, turns, profile.seed, setup.precision, profile.dropout, origin.sha256,
    )  # fmt: skip
    train = rows[data.manifest["split"].to_numpy()[rows] == "train"]
    train = train if len(train) else rows
    known = sha256(data.content_hash, rows.tobytes(), train.tobytes(), repr(asked), code_hash(__name__))
    path = setup.folder / "transfer" / f"{start.key}_{part}.npz"
    if (saved := kept(path, _saved)) is not None and saved[0] == known:
        return saved[1]
    fit_on = Images(data.pixels, train, np.zeros(len(train), np.int64), train, ("one", "other"))
    network = begin(profile, start.network, fit_on, name="frozen")
    line = setup.progress(f"{title(start)}, frozen, {part} cells")
    values = embed(
        network, data.pixels, rows, device=setup.device, precision=setup.precision, turns=turns, progress=line
    )
    with atomic_path(path) as partial, open(partial, "wb") as file:
        np.savez(file, values=values, key=known)
    return values


def _saved(path: Path) -> tuple[str, np.ndarray]:
    with np.load(path) as content:
        return str(content["key"]), content["values"]
