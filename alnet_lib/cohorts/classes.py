"""What adapters of public sources share: finding the folder, counting it, refusing what it is not, the scale."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from types import ModuleType

import numpy as np
import pandas as pd

from alnet_lib import images
from alnet_lib.cohorts.manifest import Cohort, CohortError
from alnet_lib.cohorts.splitting import by_group, by_image
from alnet_lib.cohorts.synthetic.morphology import MEAN
from alnet_lib.cohorts.vocabulary import USUAL_DIAGNOSIS

NO_SMEAR = "cells come without smear or patient: cell-level results only, never the vote; split by image, 85/15"
VIEW_MICROMETRES = 36.0
"""Width of a CellaVision picture: 360 pixels at about 0.1 micrometre."""
DEPTH = 3
"""How many levels below the folder given a data set may begin: archives bring wrapping folders of their own."""
ARCHIVES = {".zip", ".gz", ".tgz", ".tar", ".7z", ".rar"}
MEASURED = 60
"""Pictures measured, evenly spaced over a source, where its scale is told by the size of its cells."""


def find(module: ModuleType, data: Path | None, needed: Sequence[str]) -> Path:
    """The folder that holds all of the `needed` entries: `data`, or the nearest one at most DEPTH levels below it.

    needed: names of folders or files that mark this source; `a|b` where either will do.

    Raises
    ------
    CohortError
        nothing given, no folder, an empty one, another data set's or one unpacked in part; says what was expected.
    """
    if data is None:
        raise CohortError(f"cohort {module.NAME} needs its images: DATA=<folder> ({module.SOURCE})")
    if not data.is_dir():
        raise CohortError(f"{data} is not a folder")
    best, there = data, []
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
            f"{best} has {has} but lacks {lacks}: unpacked in part, or not {module.NAME}. "
            f"Expected: {module.LAYOUT}. Unpack the whole archive again ({module.SOURCE})."
        )
    have = ", ".join(sorted(path.name for path in data.iterdir())[:8]) or "nothing"
    if packed := sorted(path.name for path in data.iterdir() if path.suffix.lower() in ARCHIVES):
        raise CohortError(
            f"{data} is not the {module.NAME} data set as it is: it holds archives ({', '.join(packed[:5])}). "
            f"Unpack them there first; expected is {module.LAYOUT} ({module.SOURCE})."
        )
    raise CohortError(
        f"{data} is not the {module.NAME} data set: expected {module.LAYOUT}; it holds {have}. "
        f"Get it from {module.SOURCE}."
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
    """Every file below a folder, sorted; links are followed, hidden files and what macOS packs are passed over."""
    found, seen = [], set()
    for base, folders, files in os.walk(folder, followlinks=True):
        here = os.path.realpath(base)
        # A link that leads back up would go round for ever.
        folders[:] = [] if here in seen else [name for name in folders if not _hidden(Path(name))]
        found += [] if here in seen else [Path(base, name) for name in files if not _hidden(Path(name))]
        seen.add(here)
    return sorted(found)


def complete(module: ModuleType, found: Mapping[str, int], expected: Mapping[str, int]) -> list[str]:
    """Refuse a source of which something that is used is missing in part; notes of what there is more of.

    Raises
    ------
    CohortError
        names everything that has fewer images than the source's own count.
    """
    short = [f"{name} {found.get(name, 0):,} of {n:,}" for name, n in expected.items() if found.get(name, 0) < n]
    if short:
        raise CohortError(
            f"{module.NAME} is incomplete: {', '.join(short)}. Unpack the whole archive again ({module.SOURCE}); "
            "to use a part on purpose, sort it into folders named after the cell types and use the cohort `folder`."
        )
    more = [f"{name} {found[name]:,}, not {n:,}" for name, n in expected.items() if found[name] > n]
    return [f"more than the source's own count, perhaps another version: {', '.join(more)}"] if more else []


def cohort(
    module: ModuleType,
    root: Path,
    rows: list[dict],
    seed: int,
    *,
    excluded: Mapping[str, int],
    notes: Sequence[str] = (),
) -> Cohort:
    """A cohort from rows with path and cell_type; what they lack of the contract is filled.

    Without patient_id each image is a smear of its own, `smear_known` is False and the split is by image; without
    split, by patient. module.MICROMETRES_PER_PIXEL, if known, gives the `view` of every picture.
    """
    frame = pd.DataFrame(rows)
    known = "patient_id" in frame
    one = frame["path"].map(lambda path: f"{module.NAME}/{Path(path).with_suffix('').as_posix()}")
    defaults = {
        "image_id": one, "patient_id": one, "smear_id": frame["patient_id"] if known else one, "site": module.NAME,
        "diagnosis": frame["cell_type"].map(USUAL_DIAGNOSIS), "subtype": "", "smear_known": known,
    }  # fmt: skip
    for column, value in defaults.items():
        if column not in frame:
            frame[column] = value
    if "split" not in frame:
        rng = np.random.default_rng([seed, *module.NAME.encode()])
        frame["split"] = (
            by_group(frame["patient_id"], frame["diagnosis"], rng) if known else by_image(frame["cell_type"], rng)
        )
    if "view" not in frame and getattr(module, "MICROMETRES_PER_PIXEL", None):
        frame = frame.assign(centre_x=np.nan, centre_y=np.nan, view=VIEW_MICROMETRES / module.MICROMETRES_PER_PIXEL)
    left_out = pd.DataFrame(
        sorted(((k, v) for k, v in excluded.items() if v), key=lambda item: -item[1]), columns=["reason", "count"]
    )
    notes = tuple(notes) if known else (NO_SMEAR, *notes)
    return Cohort(module.NAME, module.KIND, root, frame, module.CITATION, module.LICENCE, notes, left_out)


def pictures(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The picture files of a folder, by name; anything else that lies there is passed over."""
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in suffixes and not _hidden(path) and path.is_file()
    )


def read_folders(
    module: ModuleType, root: Path, seed: int, suffixes: Collection[str], *, notes: Sequence[str] = ()
) -> Cohort:
    """A cohort from `<class>/<file>`: module.MAPPING maps classes, module.COUNTS gives the source's own counts.

    An archive of a class unpacked into a folder of its own (`<class>/<class>/<file>`) is read as well.

    Raises
    ------
    CohortError
        a class that is used has fewer files than the source's own count.
    """
    rows, found, excluded = [], {}, {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not _hidden(path)):
        inner = folder / folder.name
        files = pictures(folder, suffixes) + (pictures(inner, suffixes) if inner.is_dir() else [])
        found[folder.name] = len(files)
        if (cell_type := module.MAPPING.get(folder.name)) is None:
            excluded[f"class {folder.name}"] = len(files)
            continue
        rows += [{"path": path.relative_to(root).as_posix(), "cell_type": cell_type} for path in files]
    more = complete(module, found, module.COUNTS)
    return cohort(module, root, rows, seed, excluded=excluded, notes=[*notes, *more])


def view_of(sizes: Iterable[tuple[float, str]]) -> float:
    """How many pixels are as wide as a CellaVision picture, told by cells: (diameter in pixels, cell type) of each.

    The median over the cells of their diameter over that usual of their type in micrometres, the drawn twin's: set on
    real CellaVision cells where there are some (docs/realism.md), else on the literature. NaN, the picture used whole,
    without any cell.
    """
    pixels = [diameter / MEAN.loc[cell_type, "cell_diameter"] for diameter, cell_type in sizes]
    return VIEW_MICROMETRES * median(pixels) if pixels else float("nan")


def measured(root: Path, rows: Sequence[dict], diameter: Callable[[np.ndarray], float]) -> tuple[list[dict], str]:
    """`view_of` the cells of MEASURED pictures, evenly spaced; what cannot be read or has no cell is passed over.

    diameter: of the cell in a picture, uint8 (H, W, 3), in pixels; 0 where there is none. Returns the rows with their
    place, and a note of what was measured.
    """
    sizes = []
    for row in rows[:: -(-len(rows) // MEASURED)]:
        try:
            sizes.append((diameter(images.decode(root / row["path"])), row["cell_type"]))
        except images.ImageError:
            continue
    sizes = [(size, cell_type) for size, cell_type in sizes if size]
    view = view_of(sizes)
    told = f"{view:.0f} pixels are taken as wide as a CellaVision picture, by the size of {len(sizes)} cells"
    note = told if sizes else "no cell could be measured for the scale: pictures are used whole"
    return [row | {"centre_x": np.nan, "centre_y": np.nan, "view": view} for row in rows], note


def across(mask: np.ndarray) -> float:
    """Diameter, in pixels, of the circle as large as a mask."""
    return float(2 * np.sqrt(mask.sum() / np.pi))
