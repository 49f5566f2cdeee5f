"""What adapters of public sources share: finding the folder, counting it, refusing what it is not, the scale."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from alnet_lib.cohorts.manifest import Cohort, CohortError
from alnet_lib.cohorts.splitting import by_group, by_image
from alnet_lib.core.vocabulary import CELL_DIAMETERS, USUAL_DIAGNOSIS
from alnet_lib.imaging import decoding

if TYPE_CHECKING:
    from alnet_lib.cohorts.adapters.source import Source

NO_SMEAR = "cells have no smear or patient ID: cell-level results only, never the vote; split by image, 85/15"


DEPTH = 3
"""How many levels below the folder given a data set may begin: archives bring wrapping folders of their own."""


ARCHIVES = {".zip", ".gz", ".tgz", ".tar", ".7z", ".rar"}


MEASURED = 60
"""Images measured, evenly spaced over a source, where its scale follows from the size of its cells."""


def find(source: Source, data: Path | None, needed: Sequence[str]) -> Path:
    """Find the folder that holds all of the `needed` entries.

    Parameters
    ----------
    source : Source
        What is looked for.
    data : Path, optional
        The folder given; the data set may begin at most DEPTH levels below it.
    needed : sequence of str
        Names of folders or files that mark this source; `a|b` where either will do.

    Returns
    -------
    Path
        `data`, or the nearest folder below it.

    Raises
    ------
    CohortError
        Nothing given, no folder, an empty one, another data set's or one unpacked in part; says what was expected.
    """
    if data is None:
        raise CohortError(f"cohort {source.name} needs its images: DATA=<folder> ({source.home})")
    if not data.is_dir():
        raise CohortError(f"{data} is not a folder")
    best = data
    there: list[str] = []
    for folder, names in _folders(data):
        found = [name for name in needed if names.intersection(name.split("|"))]
        if len(found) == len(needed):
            return folder
        if len(found) > len(there):
            best, there = folder, found
    if there:
        has, lacks = (
            ", ".join(name.split("|")[0] for name in needed if (name in there) is which) for which in (True, False)
        )
        raise CohortError(
            f"{best} has {has} but lacks {lacks}: unpacked in part, or not {source.name}. "
            f"Expected: {source.layout}. Unpack the whole archive again ({source.home})."
        )
    have = ", ".join(sorted(path.name for path in data.iterdir())[:8]) or "nothing"
    if packed := sorted(path.name for path in data.iterdir() if path.suffix.lower() in ARCHIVES):
        raise CohortError(
            f"{data} is not the {source.name} data set as it is: it holds archives ({', '.join(packed[:5])}). "
            f"Unpack them there first; expected is {source.layout} ({source.home})."
        )
    raise CohortError(
        f"{data} is not the {source.name} data set: expected {source.layout}; it holds {have}. "
        f"Get it from {source.home}."
    )


def _folders(data: Path) -> Iterator[tuple[Path, set[str]]]:
    """`data` and the folders below it, nearest first, with the names of what each holds."""
    level = [data]
    for _ in range(DEPTH + 1):
        below = []
        for folder in level:
            try:
                entries = sorted(folder.iterdir())
            except PermissionError:
                continue
            yield folder, {entry.name for entry in entries}
            below += [entry for entry in entries if not _hidden(entry) and entry.is_dir()]
        level = below


def _hidden(path: Path) -> bool:
    # macOS adds `._name` beside files and `__MACOSX` to archives: they look like pictures and classes, and are neither.
    return path.name.startswith(".") or path.name == "__MACOSX"


def walk(folder: Path) -> list[Path]:
    """List every file below a folder; links are followed, hidden files and what macOS adds are passed over.

    Parameters
    ----------
    folder : Path
        Where to begin.

    Returns
    -------
    list of Path
        Sorted.
    """
    found, seen = [], set()
    for base, folders, files in os.walk(folder, followlinks=True):
        here = os.path.realpath(base)
        # A link that leads back up would go round for ever.
        folders[:] = [] if here in seen else [name for name in folders if not _hidden(Path(name))]
        found += [] if here in seen else [Path(base, name) for name in files if not _hidden(Path(name))]
        seen.add(here)
    return sorted(found)


def complete(source: Source, found: Mapping[str, int], expected: Mapping[str, int]) -> list[str]:
    """Refuse a source that is missing in part.

    Parameters
    ----------
    source : Source
        Named in the message.
    found, expected : mapping of str to int
        Counts in the folder, and the source's own counts of what is used.

    Returns
    -------
    list of str
        A note of what there is more of than expected.

    Raises
    ------
    CohortError
        Names everything that has fewer images than the source's own count.
    """
    short = [f"{name} {found.get(name, 0):,} of {n:,}" for name, n in expected.items() if found.get(name, 0) < n]
    if short:
        raise CohortError(
            f"{source.name} is incomplete: {', '.join(short)}. Unpack the whole archive again ({source.home}); "
            "to use a part on purpose, sort it into folders named after the cell types and use the cohort `folder`."
        )
    more = [f"{name} {found[name]:,}, not {n:,}" for name, n in expected.items() if found[name] > n]
    return [f"more than the source's own count, perhaps another version: {', '.join(more)}"] if more else []


def cohort(
    source: Source,
    root: Path,
    rows: list[dict],
    seed: int,
    *,
    excluded: Mapping[str, int],
    notes: Sequence[str] = (),
) -> Cohort:
    """Make a cohort of rows with path and cell_type; other columns of the manifest are filled where missing.

    Without patient_id each image is a smear of its own, `smear_known` is False and the split is by image; without
    split, by patient.

    Parameters
    ----------
    source : Source
        Gives name, citation, licence and, from micrometres_per_pixel, the field of view.
    root : Path
        Folder that the rows' paths start from.
    rows : list of dict
        One an image.
    seed : int
        Of the split.
    excluded : mapping of str to int
        Reason and count of what is left out.
    notes : sequence of str
        What users should know.

    Returns
    -------
    Cohort
        Not yet validated.
    """
    frame = pd.DataFrame(rows)
    known = "patient_id" in frame
    one = frame["path"].map(lambda path: f"{source.name}/{Path(path).with_suffix('').as_posix()}")
    defaults = {
        "image_id": one, "patient_id": one, "smear_id": frame["patient_id"] if known else one, "site": source.name,
        "diagnosis": frame["cell_type"].map(USUAL_DIAGNOSIS), "subtype": "", "smear_known": known,
    }  # fmt: skip
    for column, value in defaults.items():
        if column not in frame:
            frame[column] = value
    if "split" not in frame:
        rng = np.random.default_rng([seed, *source.name.encode()])
        frame["split"] = (
            by_group(frame["patient_id"], frame["diagnosis"], rng) if known else by_image(frame["cell_type"], rng)
        )
    if "field_of_view" not in frame and source.micrometres_per_pixel:
        frame = frame.assign(
            centre_x=np.nan,
            centre_y=np.nan,
            field_of_view=decoding.FIELD_OF_VIEW_MICROMETRES / source.micrometres_per_pixel,
        )
    left_out = pd.DataFrame(
        sorted(((k, v) for k, v in excluded.items() if v), key=lambda item: -item[1]), columns=["reason", "count"]
    )
    notes = tuple(notes) if known else (NO_SMEAR, *notes)
    return Cohort(source.name, source.kind, root, frame, source.citation, source.licence, notes, left_out)


def pictures(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """List the image files of a folder; anything else that lies there is passed over.

    Parameters
    ----------
    folder : Path
        Not its folders.
    suffixes : collection of str
        In lower case, with the point.

    Returns
    -------
    list of Path
        Sorted by name.
    """
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in suffixes and not _hidden(path) and path.is_file()
    )


def read_folders(
    source: Source, root: Path, seed: int, suffixes: Collection[str], *, notes: Sequence[str] = ()
) -> Cohort:
    """Read `<class>/<file>`, or `<class>/<class>/<file>` where each archive was unpacked into a folder of its own.

    Parameters
    ----------
    source : Source
        `mapping` translates classes, `counts` are the source's own.
    root : Path
        Folder of the class folders.
    seed : int
        Of the split.
    suffixes : collection of str
        Of image files.
    notes : sequence of str
        What users should know.

    Returns
    -------
    Cohort
        Not yet validated.

    Raises
    ------
    CohortError
        A class that is used has fewer files than the source's own count.
    """
    rows, found, excluded = [], {}, {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not _hidden(path)):
        inner = folder / folder.name
        files = pictures(folder, suffixes) + (pictures(inner, suffixes) if inner.is_dir() else [])
        found[folder.name] = len(files)
        if (cell_type := source.mapping.get(folder.name)) is None:
            excluded[f"class {folder.name}"] = len(files)
            continue
        rows += [{"path": path.relative_to(root).as_posix(), "cell_type": cell_type} for path in files]
    more = complete(source, found, source.counts)
    return cohort(source, root, rows, seed, excluded=excluded, notes=[*notes, *more])


def field_of_view_of(sizes: Iterable[tuple[float, str]]) -> float:
    """Estimate the width of a CellaVision image in a source's pixels from the sizes of its cells.

    The median of the cells' diameters, each over the usual diameter of its type (`CELL_DIAMETERS`), gives the pixels
    per micrometre.

    Parameters
    ----------
    sizes : iterable of (float, str)
        Diameter in pixels and cell type of each cell.

    Returns
    -------
    float
        In pixels; NaN, the image used whole, without any cell.
    """
    pixels = [diameter / CELL_DIAMETERS[cell_type] for diameter, cell_type in sizes]
    return decoding.FIELD_OF_VIEW_MICROMETRES * median(pixels) if pixels else float("nan")


def measured(root: Path, rows: Sequence[dict], diameter: Callable[[np.ndarray], float]) -> tuple[list[dict], str]:
    """Estimate the field of view from the cells of MEASURED images, evenly spaced over the source.

    Parameters
    ----------
    root : Path
        Folder that the rows' paths start from.
    rows : sequence of dict
        One an image; those that cannot be read or show no cell are passed over.
    diameter : callable
        Diameter in pixels of the cell in an image, uint8 (H, W, 3); 0 where there is none.

    Returns
    -------
    rows : list of dict
        With their field of view.
    note : str
        What was measured.
    """
    sizes = []
    for row in rows[:: -(-len(rows) // MEASURED)]:
        try:
            sizes.append((diameter(decoding.decode(root / row["path"])), row["cell_type"]))
        except decoding.ImageError:
            continue
    sizes = [(size, cell_type) for size, cell_type in sizes if size]
    width = field_of_view_of(sizes)
    note = (
        f"field of view: {width:.0f} pixels, estimated from the size of {len(sizes)} cells"
        if sizes
        else "no cell could be measured for the scale: images are used whole"
    )
    return [row | {"centre_x": np.nan, "centre_y": np.nan, "field_of_view": width} for row in rows], note
