"""The images of a cohort: examples, near-duplicates, colour and sharpness by site, scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
import pandas as pd

from alnet_lib.core.vocabulary import LABELS
from alnet_lib.imaging import hashing, segmentation
from alnet_lib.imaging.decoding import FIELD_OF_VIEW_MICROMETRES, picture
from alnet_lib.imaging.hashing import perceptual_hashes
from alnet_lib.imaging.segmentation import across
from alnet_lib.paper.values import Result

if TYPE_CHECKING:
    from alnet_lib.cohorts.manifest import Cohort

UNLABELLED = "no label"

RED_CELLS_ENOUGH, CELLS_ENOUGH = 20, 10
"""Red cells needed to judge the scale of a source, and cells of a type needed to compare its size."""

RED_CELL_USUAL = (6.3, 8.7)
"""Micrometres: a source whose red cells are smaller or larger is not at the scale used."""

SCALES_APART, TYPES_APART = 1.15, 1.4
"""Ratios beyond which two sources are not at one scale: of their red cells, of their cells of one type."""


def examples(
    manifest: pd.DataFrame, pixels: np.ndarray, rng: np.random.Generator, *, count: int = 8
) -> dict[str, list[np.ndarray]]:
    """Images of each cell type, chosen at random.

    Parameters
    ----------
    manifest : DataFrame
        One row an image, with `cell_type`.
    pixels : ndarray
        uint8 (n, S, S, 3), RGB, in the manifest's order.
    rng : Generator
        Chooses the images.
    count : int
        Images of a type at most.

    Returns
    -------
    dict
        Label of the cell type -> uint8 (S, S, 3) images.
    """
    return {
        LABELS.get(cell_type, UNLABELLED): [pixels[i] for i in rng.permutation(rows)[:count]]
        for cell_type, rows in manifest.groupby("cell_type", sort=False).indices.items()
    }


def near_duplicates(manifest: pd.DataFrame, pixels: np.ndarray, *, bits: int = 4, first: int = 30) -> Result:
    """Pairs of images whose 64-bit perceptual hashes are nearly the same.

    Parameters
    ----------
    manifest : DataFrame
        With `path`, `split` and `cell_type`.
    pixels : ndarray
        uint8 (n, S, S, 3), RGB, in the manifest's order.
    bits : int
        Bits, 0 to 64, in which the hashes of a pair differ at most.
    first : int
        Pairs listed at most; the facts count all.

    Returns
    -------
    Result
        Columns `first`, `second` (paths), `bits`, `across splits`, `other cell type`. Facts: `pairs`, `across_splits`.
    """
    hashes = np.packbits(perceptual_hashes(pixels), axis=1).view(np.uint64).ravel()
    known, group = np.unique(hashes, return_inverse=True)
    close = hashing.near(known, bits)
    rows = []
    for i, j in islice(_in_order(group, close), first):
        a, b = manifest.iloc[i], manifest.iloc[j]
        labelled = bool(a["cell_type"]) and bool(b["cell_type"])
        apart = (a["split"] != b["split"], labelled and a["cell_type"] != b["cell_type"])
        rows.append((a["path"], b["path"], int(np.bitwise_count(hashes[i] ^ hashes[j])), *apart))
    pairs = pd.DataFrame(rows, columns=["first", "second", "bits", "across splits", "other cell type"])
    split, splits = pd.factorize(manifest["split"])
    size = np.bincount(group * len(splits) + split, minlength=len(known) * len(splits)).reshape(len(known), -1)
    every, same = _pairs(size.sum(1, keepdims=True), close), _pairs(size, close)
    return Result(pairs, facts={"pairs": every, "across_splits": every - same})


def _pairs(size: np.ndarray, close: np.ndarray) -> int:
    """Number of pairs of images inside groups of one hash, and between those that are close; (groups, splits)."""
    return int((size * (size - 1) // 2).sum() + (size[close[:, 0]] * size[close[:, 1]]).sum())


def _in_order(group: np.ndarray, close: np.ndarray) -> Iterator[tuple[int, int]]:
    """Positions of the images of each pair, the smaller first, in their order; found as they are asked for."""
    order, size = np.argsort(group, kind="stable"), np.bincount(group)
    begin = np.cumsum(size) - size
    both = np.concatenate([close, close[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    edge = np.searchsorted(both[:, 0], np.arange(len(size) + 1))
    for i in np.flatnonzero((size + np.diff(edge))[group] > 1):
        groups = [group[i], *both[edge[group[i]] : edge[group[i] + 1], 1]]
        others = np.sort(np.concatenate([order[begin[g] : begin[g] + size[g]] for g in groups]))
        yield from ((int(i), int(j)) for j in others[np.searchsorted(others, i, "right") :])


def colour_and_sharpness(
    manifest: pd.DataFrame, pixels: np.ndarray, *, rng: np.random.Generator, limit: int = 400
) -> Result:
    """Background colour and sharpness by site, medians over images.

    Parameters
    ----------
    manifest : DataFrame
        With `site`.
    pixels : ndarray
        uint8 (n, S, S, 3), RGB, in the manifest's order.
    rng : Generator
        Chooses the images measured.
    limit : int
        Images of a site at most.

    Returns
    -------
    Result
        Index site; columns `background L`, `background a`, `background b` (CIELAB of the brightest tenth of the
        pixels), `sharpness` (variance of the Laplacian), `images`.
    """
    rows = []
    for site, members in manifest.groupby("site", sort=True).indices.items():
        for i in rng.permutation(members)[:limit]:
            lab = cv2.cvtColor(pixels[i].astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
            bright = lab[:, :, 0] >= np.percentile(lab[:, :, 0], 90)
            grey = cv2.cvtColor(pixels[i], cv2.COLOR_RGB2GRAY)
            rows.append((site or "(none)", *lab[bright].mean(0), cv2.Laplacian(grey, cv2.CV_64F).var()))
    frame = pd.DataFrame(rows, columns=["site", "background L", "background a", "background b", "sharpness"])
    medians = frame.groupby("site").median().round(1)
    return Result(medians.assign(images=frame.groupby("site").size()))


def sizes(cohort: Cohort, *, rng: np.random.Generator, limit: int = 25, allow_truncated: bool = False) -> Result:
    """Diameters of cells and of the red cells around them, medians in micrometres by source and cell type.

    Parameters
    ----------
    cohort : Cohort
        Its files are read with a field of view of 36 micrometres.
    rng : Generator
        Chooses the images measured.
    limit : int
        Images of a source and cell type at most.
    allow_truncated : bool
        Use images whose file ends early.

    Returns
    -------
    Result
        Columns `source` (the site where sources are not combined), `cell type`, `cells` (segmented), `cell`,
        `red cells` (whole and alone), `red cell`.
    """
    by = ["source" if "source" in cohort.manifest else "site", "cell_type"]
    files, crops, rows = cohort.files, cohort.crops, []
    for (source, cell_type), members in cohort.manifest.groupby(by, sort=True).indices.items():
        cells: list[float] = []
        red: list[float] = []
        for i in rng.permutation(members)[:limit]:
            pixels = picture(files[i], crops[i], allow_truncated=allow_truncated)
            scale = FIELD_OF_VIEW_MICROMETRES / min(pixels.shape[:2])
            found = segmentation.segment(pixels)
            if found is not None and not found.touches_border:
                cells.append(scale * across(found.cell))
            red += list(scale * segmentation.red_cells(pixels))
        name = LABELS.get(cell_type, UNLABELLED)
        rows.append((source or "(none)", name, len(cells), _median(cells), len(red), _median(red)))
    return Result(pd.DataFrame(rows, columns=["source", "cell type", "cells", "cell", "red cells", "red cell"]))


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else float("nan")


@dataclass(frozen=True)
class ScaleFinding:
    """What the sizes of cells say about the scale of one source, or of two.

    Attributes
    ----------
    kind : str
        `not judged` (too few red cells), `red cells` (their width in one source), `red cells differ` (between two
        sources), `cells differ` (of one type between two sources).
    source, other : str
        The source, and the one it is compared with; of two, `source` has the larger cells.
    width, other_width : float
        Micrometres.
    measured : int
        Red cells measured.
    cell_type : str
        Label of the type compared.
    warning : bool
        Whether the scale is suspect.
    """

    kind: Literal["not judged", "red cells", "red cells differ", "cells differ"]
    source: str
    other: str = ""
    width: float = float("nan")
    other_width: float = float("nan")
    measured: int = 0
    cell_type: str = ""
    warning: bool = False


def scale_findings(measured: Result) -> list[ScaleFinding]:
    """Judge the scale of each source by its red cells, and compare the sources.

    At a very wrong scale no red cell is recognised; therefore cells of one type are compared as well.

    Parameters
    ----------
    measured : Result
        Of `sizes`.

    Returns
    -------
    list of ScaleFinding
        One for each source, then those of sources that differ.
    """
    frame = measured.frame
    total = frame.groupby("source")["red cells"].sum()
    width = (frame["red cell"].fillna(0) * frame["red cells"]).groupby(frame["source"]).sum() / total
    judged, found = width[total.ge(RED_CELLS_ENOUGH)], []
    for source, n in total.items():
        if source not in judged:
            found.append(ScaleFinding("not judged", source, measured=int(n)))
            continue
        wide = float(judged[source])
        usual = RED_CELL_USUAL[0] <= wide <= RED_CELL_USUAL[1]
        found.append(ScaleFinding("red cells", source, width=wide, measured=int(n), warning=not usual))
    if len(judged) > 1 and judged.max() > SCALES_APART * judged.min():
        found.append(_apart("red cells differ", judged))
    for cell_type, own in frame[frame["cells"].ge(CELLS_ENOUGH) & frame["cell type"].ne(UNLABELLED)].groupby(
        "cell type"
    ):
        size = own.set_index("source")["cell"]
        if len(size) > 1 and size.max() > TYPES_APART * size.min():
            found.append(_apart("cells differ", size, cell_type))
    return found


def _apart(kind: Literal["red cells differ", "cells differ"], widths: pd.Series, cell_type: str = "") -> ScaleFinding:
    source, other = widths.idxmax(), widths.idxmin()
    wide, narrow = float(widths.max()), float(widths.min())
    return ScaleFinding(kind, source, other, wide, narrow, cell_type=cell_type, warning=True)
