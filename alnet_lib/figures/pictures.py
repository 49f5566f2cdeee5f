"""Figures made of cell pictures: montages, contact sheets, feature maps, attribution."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from alnet_lib.core.outcomes import if_available
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.evaluation.explanation.attribution import grad_cam
from alnet_lib.evaluation.explanation.feature_maps import CellChoice, figure_7_side, histogram_summary, to_grey
from alnet_lib.figures.style import CLASS_COLOURS, PAGE, DescribedFigure, new_figure, note, style
from alnet_lib.imaging.augmentation import to_float
from alnet_lib.imaging.decoding import SHOWN_SIDE
from alnet_lib.networks.activations import activations, papers_map
from alnet_lib.paper.values import Result

if TYPE_CHECKING:
    import pandas as pd

    from alnet_lib.evaluation.explanation.augmentation import AugmentationExample
    from alnet_lib.experiments.datasets import CellImages
    from alnet_lib.networks.network import Network

ERRORS_A_ROW = 6
"""Pictures in a row of `errors_figure`."""

SHOWS = 7
"""Fewest pixels a side of a map that shows where in a cell a network responds: VGG's last block has them from 112."""


def overlay(picture: np.ndarray, attribution: np.ndarray) -> np.ndarray:
    """Lay a map of attribution over a grey picture, in cividis' colours.

    Parameters
    ----------
    picture : ndarray
        uint8 (S, S, 3), RGB.
    attribution : ndarray
        float (S, S), in [0, 1].

    Returns
    -------
    ndarray
        uint8 (S, S, 3), RGB.
    """
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    heat = cv2.applyColorMap(np.round(255 * attribution).astype(np.uint8), cv2.COLORMAP_CIVIDIS)[:, :, ::-1]
    weight = 0.65 * attribution[..., None]
    return np.round((1 - weight) * grey + weight * heat).astype(np.uint8)


@if_available
def errors_figure(
    data: CellImages,
    errors: pd.DataFrame | Result,
    network: Any,
    read: Callable[[pd.Series, int], Sequence[np.ndarray]],
) -> DescribedFigure:
    """Each error's picture above its Grad-CAM for the class predicted.

    Parameters
    ----------
    data : CellImages
        The cohort that the cells are of.
    errors : DataFrame or Result
        One row a cell, with `image_id` and `predicted`.
    network : Network or Trained
        What predicted.
    read : callable
        Gives the pictures of image_ids at a side in pixels, as `Run.pictures` does.

    Returns
    -------
    DescribedFigure
        A montage, six cells a row, with label, class predicted and probability below each.
    """
    errors = errors.frame if isinstance(errors, Result) else errors
    network = getattr(network, "network", network)
    pixels = np.asarray(data.pixels[data.rows_of(errors["image_id"])])
    pictures = read(errors["image_id"], SHOWN_SIDE)
    index = {name: i for i, name in enumerate(network.classes)}
    maps = grad_cam(network, pixels, errors["predicted"].map(index).to_numpy(np.int64))
    described = [f"{LABELS[e.reference]}\nas {LABELS[e.predicted].lower()} ({e.p:.2f})" for e in errors.itertuples()]
    rows, labels = {}, {}
    for first in range(0, len(errors), ERRORS_A_ROW):
        part = slice(first, first + ERRORS_A_ROW)
        cells = f"cells {first + 1} to {first + len(pictures[part])}"
        rows[cells], labels[cells] = list(pictures[part]), described[part]
        # Rows of a montage are told apart by their names; zero-width spaces are not seen.
        rows["Grad-CAM" + "\u200b" * first] = [
            overlay(p, cv2.resize(m, p.shape[:2][::-1])) for p, m in zip(pictures[part], maps[part], strict=True)
        ]
    return _montage(rows, labels=labels)


def _map(network: Network, picture: np.ndarray, block: int, layer: int, number: int) -> np.ndarray:
    maps = activations(network, to_float(picture[None]), block, layer)[0]
    return to_grey(maps[number - 1].cpu().numpy())


@if_available
def figure_7(
    choice: CellChoice, read: Callable[[Sequence[str], int], Sequence[np.ndarray]], original: Network, trained: Network
) -> DescribedFigure:
    """Figure 7: feature maps of the original network and of ALNet.

    Rows are cells. Panels: A the picture, B the paper's map in both networks, C its histogram in ALNet, D a deeper map
    in both.

    Parameters
    ----------
    choice : CellChoice
        Its `image_ids`: class of each cell shown to its name.
    read : callable
        Gives the pictures of image_ids at a side in pixels, as `Run.pictures` does.
    original, trained : Network
        Before and after training.

    Returns
    -------
    DescribedFigure
        One row a cell.
    """
    chosen = list(choice.image_ids)
    pictures = np.stack(read(list(choice.image_ids.values()), figure_7_side(trained)))
    deeper = _deeper(trained, pictures)
    upper = papers_map(trained)
    columns = (
        "A. picture",
        f"B. map {upper[2]} of\nblock {upper[0]}, original",
        "B. the same,\nALNet",
        "C. its histogram,\nALNet",
        f"D. map {deeper[2]} of\nblock {deeper[0]}, original",
        "D. the same,\nALNet",
    )
    with style():
        figure = new_figure(PAGE, 1.35 * len(chosen) + 0.2)
        grid = figure.subplots(len(chosen), len(columns), squeeze=False)
        described = []
        for row, (name, picture) in enumerate(zip(chosen, pictures, strict=True)):
            shown = [picture]
            for address in (upper, deeper):
                shown += [_map(network, picture, *address) for network in (original, trained)]
            order = [shown[0], shown[1], shown[2], None, shown[3], shown[4]]
            for column, (title, content) in enumerate(zip(columns, order, strict=True)):
                axes = grid[row, column]
                if row == 0:
                    axes.set_title(title, fontsize=7)
                if content is None:
                    axes.hist(shown[2].ravel(), bins=32, range=(0, 256), color=CLASS_COLOURS[name])
                    axes.set_yticks([])
                    axes.set_xticks([0, 128, 255])
                    continue
                axes.imshow(content, cmap="gray", vmin=0, vmax=255)
                axes.set(xticks=[], yticks=[])
                if column == 0:
                    axes.set_ylabel(textwrap.fill(LABELS[name], 13))
            summary = histogram_summary(shown[2])
            described.append(
                f"{LABELS[name]}: entropy {summary['entropy']:.1f} bits, peak at {summary['peak_position']:.0f}"
            )
        figure.alt = (
            f"Feature maps of the original network and of ALNet. Map {upper[2]} in ALNet, {'; '.join(described)}. "
            f"The deeper map is number {deeper[2]} of block {deeper[0]}."
        )
    return figure


def _deeper(network: Network, pictures: np.ndarray) -> tuple[int, int, int]:
    """Block, layer and map that stand for the deeper layer of Fig. 7D, which the paper does not name.

    The last block whose maps have SHOWS pixels a side or more, and its map with the strongest response to the cells.
    """
    maps = activations(network, to_float(pictures), 1, 1)
    address = papers_map(network)[:2]
    for block in range(address[0] + 1, len(network.blocks) + 1):
        found = activations(network, to_float(pictures), block, 1)
        if found.shape[-1] < SHOWS:
            break
        maps, address = found, (block, 1)
    strongest = 0 if address == papers_map(network)[:2] else int(maps.float().mean(dim=(0, 2, 3)).argmax())
    return *address, strongest + 1


@if_available
def map_grid(picture: np.ndarray, network: Network, block: int, layer: int, *, across: int = 32) -> DescribedFigure:
    """Every map of a layer for one picture, in one grid.

    Parameters
    ----------
    picture : ndarray
        uint8 (S, S, 3), RGB.
    network : Network
        Whose maps.
    block, layer : int
        Counted from 1.
    across : int
        Maps in a row.

    Returns
    -------
    DescribedFigure
        Maps are numbered from 1 by rows.
    """
    maps = activations(network, to_float(picture[None]), block, layer)[0].cpu().numpy()
    size = maps.shape[1] + 1
    down = -(-len(maps) // across)
    sheet = np.full((down * size, across * size), 255, np.uint8)
    for i, one in enumerate(maps):
        top, left = i // across * size, i % across * size
        sheet[top : top + size - 1, left : left + size - 1] = to_grey(one)
    figure = _montage({f"block {block}, layer {layer}": [sheet]})
    figure.alt = f"{len(maps)} feature maps of block {block}, layer {layer}, numbered from 1 by rows of {across}."
    return figure


@if_available
def montage(
    rows: Mapping[str, Sequence[np.ndarray]],
    columns: Sequence[str] = (),
    *,
    width: float = PAGE,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> DescribedFigure:
    """Pictures in rows.

    Parameters
    ----------
    rows : mapping of str to sequence of ndarray
        Name of a row to its pictures, uint8 (H, W, 3) RGB or (H, W) grey.
    columns : sequence of str
        Headings.
    width : float
        Of the figure, in inches.
    labels : mapping of str to sequence of str, optional
        Name of a row to what stands below each of its pictures.

    Returns
    -------
    DescribedFigure
        As many columns as the longest row has pictures.
    """
    return _montage(rows, columns, width=width, labels=labels)


@if_available
def site_figure(examples: Mapping[tuple[str, str], Sequence[np.ndarray]]) -> DescribedFigure:
    """Figure 5: blasts of each lineage (rows) and site (columns).

    Parameters
    ----------
    examples : mapping of (str, str) to sequence of ndarray
        Lineage and site to pictures, uint8 (S, S, 3), all of one size.

    Returns
    -------
    DescribedFigure
        One block of pictures, three across, for each lineage and site.
    """
    lineages, sites = (list(dict.fromkeys(key[i] for key in examples)) for i in (0, 1))
    blocks = {key: _block(pictures) for key, pictures in examples.items()}
    high, wide = np.max([block.shape[:2] for block in blocks.values()], axis=0)
    with style():
        width = PAGE / len(sites)
        figure = new_figure(PAGE, len(lineages) * width * high / wide * 0.97 + 0.3)
        grid = figure.subplots(len(lineages), len(sites), squeeze=False)
        for row, lineage in enumerate(lineages):
            for column, site in enumerate(sites):
                axes = grid[row, column]
                axes.set(xticks=[], yticks=[], xlim=(-0.5, wide - 0.5), ylim=(high - 0.5, -0.5))
                axes.spines[:].set_visible(False)
                if (lineage, site) in blocks:
                    axes.imshow(blocks[lineage, site])
                    axes.set(xlim=(-0.5, wide - 0.5), ylim=(high - 0.5, -0.5))
                if row == 0:
                    axes.set_title(_lines(site, round(17 * width)))
                if column == 0:
                    axes.set_ylabel(lineage)
        counts = "; ".join(f"{lineage}, {site}: {len(p)} pictures" for (lineage, site), p in examples.items())
        figure.alt = f"Pictures of blasts by lineage and site. {counts}."
    return figure


def _block(pictures: Sequence[np.ndarray], across: int = 3) -> np.ndarray:
    """Pictures in rows in one array, with white between them."""
    side = pictures[0].shape[0]
    gap = max(side // 12, 1)
    down = -(-len(pictures) // across)
    block = np.full((down * (side + gap) - gap, across * (side + gap) - gap, 3), 255, np.uint8)
    for i, one in enumerate(pictures):
        y, x = i // across * (side + gap), i % across * (side + gap)
        block[y : y + side, x : x + side] = one
    return block


@if_available
def augmentation_figure(example: AugmentationExample) -> DescribedFigure:
    """Figure 2: a cell and its augmented pictures.

    Parameters
    ----------
    example : AugmentationExample
        Pictures and headings.

    Returns
    -------
    DescribedFigure
        One row, panels A, B and so on.
    """
    lettered = [f"{letter}. {text}" for letter, text in zip(ascii_uppercase, example.labels, strict=False)]
    return _montage(example.pictures, lettered)


def _montage(
    rows: Mapping[str, Sequence[np.ndarray]],
    columns: Sequence[str] = (),
    *,
    width: float = PAGE,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> DescribedFigure:
    labels = labels or {}
    with style():
        across = max((len(pictures) for pictures in rows.values()), default=0)
        each = width / max(across, 1)
        high = each * len(rows) * 1.08 + 0.4 * len(labels) + (0.3 if columns else 0.0)
        figure = new_figure(width, max(high, 0.8))
        if not across:
            note(figure.add_subplot(), "no picture")
            figure.alt = "No picture."
            return figure
        grid = figure.subplots(len(rows), across, squeeze=False)
        letters = round(17 * each)
        for r, (name, pictures) in enumerate(rows.items()):
            for c in range(across):
                axes = grid[r, c]
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if c < len(pictures):
                    axes.imshow(pictures[c], cmap="gray" if np.ndim(pictures[c]) == 2 else None)
                if c == 0:
                    axes.set_ylabel(textwrap.fill(name, 13, break_long_words=False))
                if r == 0 and c < len(columns):
                    axes.set_title(_lines(columns[c], letters))
                if c < len(labels.get(name, ())):
                    axes.set_xlabel(_lines(labels[name][c], letters), fontsize=6)
        named = [(" ".join(name.replace("\u200b", "").split()), name) for name in rows]
        described = "; ".join(f"{text}, {_counted(labels.get(name, ()), len(rows[name]))}" for text, name in named)
        headed = f" Columns from left to right: {', '.join(columns)}." if columns else ""
        figure.alt = f"Pictures of cells in rows, from top to bottom: {described}.{headed}"
    return figure


def _counted(labels: Sequence[str], count: int) -> str:
    """A row of pictures in words."""
    number = f"{count} picture{'' if count == 1 else 's'}"
    return f"{number} ({', '.join(' '.join(text.split()) for text in labels)})" if labels else number


def _lines(text: str, letters: int) -> str:
    """A text in lines that fit, its own lines kept."""
    return "\n".join(textwrap.fill(line, letters, break_long_words=False) for line in text.split("\n"))
