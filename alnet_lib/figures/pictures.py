"""Figures made of cell pictures: montages, contact sheets, feature maps, attribution."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from alnet_lib.core.outcomes import if_available
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold, vote
from alnet_lib.diagnosis.tasks import MODULE_1, ModuleSpec
from alnet_lib.evaluation.explanation.attribution import grad_cam
from alnet_lib.evaluation.explanation.feature_maps import CellChoice, histogram_summary, to_grey
from alnet_lib.figures.style import CLASS_COLOURS, COLUMN, PAGE, DescribedFigure, new_figure, note, style
from alnet_lib.imaging.augmentation import to_float
from alnet_lib.networks.activations import activations, papers_map
from alnet_lib.paper.values import Result

if TYPE_CHECKING:
    import pandas as pd

    from alnet_lib.evaluation.explanation.augmentation import AugmentationExample
    from alnet_lib.experiments.datasets import CellImages
    from alnet_lib.networks.network import Network

ERRORS_A_ROW = 6
"""Pictures in a row of `errors_figure`."""

ACROSS, MOST = 8, 40
"""Pictures in a row of a contact sheet, and on the whole of it."""

DEEPER = (5, 1, 1)
"""Block, layer and map that stand for the deeper layer of Fig. 7D, which the paper does not name."""


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
def errors_figure(data: CellImages, errors: pd.DataFrame | Result, network: Any) -> DescribedFigure:
    """Each error's picture above its Grad-CAM for the class predicted.

    Parameters
    ----------
    data : CellImages
        The cohort that the cells are of.
    errors : DataFrame or Result
        One row a cell, with `image_id` and `predicted`.
    network : Network or Trained
        What predicted.

    Returns
    -------
    DescribedFigure
        A montage, six cells a row.
    """
    errors = errors.frame if isinstance(errors, Result) else errors
    network = getattr(network, "network", network)
    pictures = np.asarray(data.pixels[data.rows_of(errors["image_id"])])
    index = {name: i for i, name in enumerate(network.classes)}
    maps = grad_cam(network, pictures, errors["predicted"].map(index).to_numpy(np.int64))
    rows = {}
    for first in range(0, len(errors), ERRORS_A_ROW):
        part = slice(first, first + ERRORS_A_ROW)
        rows[f"cells {first + 1} to {first + len(pictures[part])}"] = list(pictures[part])
        # Rows of a montage are told apart by their names; zero-width spaces are not seen.
        rows["Grad-CAM" + "\u200b" * first] = [overlay(p, m) for p, m in zip(pictures[part], maps[part], strict=True)]
    return _montage(rows)


def _map(network: Network, picture: np.ndarray, block: int, layer: int, number: int) -> np.ndarray:
    maps = activations(network, to_float(picture[None]), block, layer)[0]
    return to_grey(maps[number - 1].cpu().numpy())


@if_available
def figure_7(pixels: np.ndarray, choice: CellChoice, original: Network, trained: Network) -> DescribedFigure:
    """Figure 7: feature maps of the original network and of ALNet.

    Rows are cells. Columns: picture, the paper's map in both networks, its histogram in ALNet, the deeper map in both.

    Parameters
    ----------
    pixels : ndarray
        uint8 (n, S, S, 3), RGB.
    choice : CellChoice
        Its `rows`: class of each cell shown to its position in `pixels`.
    original, trained : Network
        Before and after training.

    Returns
    -------
    DescribedFigure
        One row a cell.
    """
    chosen = choice.rows
    columns = (
        "picture",
        "original, block 3",
        "ALNet, block 3",
        "histogram, ALNet",
        "original, deeper",
        "ALNet, deeper",
    )
    with style():
        figure = new_figure(PAGE, 1.35 * len(chosen))
        grid = figure.subplots(len(chosen), len(columns), squeeze=False)
        described = []
        for row, (name, index) in enumerate(chosen.items()):
            picture = pixels[index]
            shown = [picture]
            for address in (papers_map(trained), DEEPER):
                shown += [_map(network, picture, *address) for network in (original, trained)]
            order = [shown[0], shown[1], shown[2], None, shown[3], shown[4]]
            for column, (title, content) in enumerate(zip(columns, order, strict=True)):
                axes = grid[row, column]
                if row == 0:
                    axes.set_title(title)
                if content is None:
                    axes.hist(shown[2].ravel(), bins=32, range=(0, 256), color=CLASS_COLOURS[name])
                    axes.set_yticks([])
                    axes.set_xticks([0, 128, 255])
                    continue
                axes.imshow(content, cmap="gray", vmin=0, vmax=255)
                axes.set(xticks=[], yticks=[])
                if column == 0:
                    axes.set_ylabel(LABELS[name])
            summary = histogram_summary(shown[2])
            described.append(
                f"{LABELS[name]}: entropy {summary['entropy']:.1f} bits, peak at {summary['peak_position']:.0f}"
            )
        number = papers_map(trained)[2]
        figure.alt = (
            f"Feature maps of the original network and of ALNet. Map {number} in ALNet, {'; '.join(described)}."
        )
    return figure


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
    rows: Mapping[str, Sequence[np.ndarray]], columns: Sequence[str] = (), *, width: float = PAGE
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

    Returns
    -------
    DescribedFigure
        As many columns as the longest row has pictures.
    """
    return _montage(rows, columns, width=width)


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
        One row.
    """
    return _montage(example.pictures, example.labels)


def _montage(
    rows: Mapping[str, Sequence[np.ndarray]], columns: Sequence[str] = (), *, width: float = PAGE
) -> DescribedFigure:
    with style():
        across = max((len(pictures) for pictures in rows.values()), default=0)
        figure = new_figure(width, max(width / max(across, 1) * len(rows) * 1.08, 0.8))
        if not across:
            note(figure.add_subplot(), "no picture")
            figure.alt = "No picture."
            return figure
        grid = figure.subplots(len(rows), across, squeeze=False)
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
                    axes.set_title(columns[c])
        named = [(" ".join(name.replace("\u200b", "").split()), len(pictures)) for name, pictures in rows.items()]
        described = "; ".join(f"{name}, {count} picture{'' if count == 1 else 's'}" for name, count in named)
        headed = f" Columns from left to right: {', '.join(columns)}." if columns else ""
        figure.alt = f"Pictures of cells in rows, from top to bottom: {described}.{headed}"
    return figure


def smear_sheet(
    cells: pd.DataFrame, pictures: np.ndarray, threshold: float, spec: ModuleSpec = MODULE_1
) -> DescribedFigure:
    """Show a smear as a contact sheet: shares of its cells, its verdict, and each cell with the class predicted.

    Parameters
    ----------
    cells : DataFrame
        The cells of one smear that vote, with their probabilities.
    pictures : ndarray
        uint8 (n, S, S, 3), in the order of `cells`.
    threshold : float
        In [0, 1): the share that a class must exceed.
    spec : ModuleSpec
        Whose classes are shown.

    Returns
    -------
    DescribedFigure
        At most 40 cells.
    """
    verdict = vote(cells, MajorityAboveThreshold(threshold)).iloc[0]
    predicted = spec.predicted(cells).to_numpy()
    shown = min(len(cells), MOST)
    down = -(-shown // ACROSS)
    with style():
        figure = new_figure(PAGE, 0.98 * down + 1.5)
        top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.2, 0.98 * down])[:, 0]
        bars = top.add_subplot()
        shares = [verdict[f"share_{c}"] for c in spec.classes]
        bars.barh([LABELS[c] for c in spec.classes], shares, color=[CLASS_COLOURS[c] for c in spec.classes])
        bars.axvline(threshold, color="0.25", lw=0.8, ls=":")
        bars.set(xlim=(0, 1), xlabel="share of cells")
        bars.invert_yaxis()
        title = f"{verdict['smear_id']}: {verdict['verdict']} (diagnosis {verdict['diagnosis']}), {len(cells)} cells"
        bars.set_title(title)
        for i, axes in enumerate(np.ravel(bottom.subplots(down, ACROSS, squeeze=False))):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if i < shown:
                axes.imshow(pictures[i])
                axes.set_xlabel(LABELS[predicted[i]].replace(" ", "\n"), color=CLASS_COLOURS[predicted[i]], fontsize=6)
        described = ", ".join(f"{LABELS[c]} {s:.0%}" for c, s in zip(spec.classes, shares, strict=True) if s)
        figure.alt = f"Smear {title}. Shares: {described}."
    return figure


def cell_card(cell: pd.Series, picture: np.ndarray, spec: ModuleSpec = MODULE_1) -> DescribedFigure:
    """Show one cell with its probabilities.

    Parameters
    ----------
    cell : Series
        With image_id, cell_type and the columns of `spec`.
    picture : ndarray
        uint8 (S, S, 3), RGB.
    spec : ModuleSpec
        Whose probabilities.

    Returns
    -------
    DescribedFigure
        Picture and bars.
    """
    with style():
        figure = new_figure(COLUMN * 1.3, 1.5)
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.6])
        left.imshow(picture)
        left.set(xticks=[], yticks=[])
        p = [cell[column] for column in spec.columns]
        right.barh([LABELS[c] for c in spec.classes], p, color=[CLASS_COLOURS[c] for c in spec.classes])
        right.set(xlim=(0, 1), xlabel=f"probability, {spec.title.lower()}")
        right.invert_yaxis()
        reference = LABELS.get(cell["cell_type"], "no label")
        figure.suptitle(f"{cell['image_id']}: {reference}", fontsize=7)
        best = spec.classes[int(np.argmax(p))]
        figure.alt = (
            f"Cell {cell['image_id']}, reference label {reference}, predicted {LABELS[best]} with probability "
            f"{max(p):.2f}."
        )
    return figure
