"""What adapters of public sources share: finding the folder, counting it, refusing what it is not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from alnet_lib.cohorts.manifest import Cohort, CohortError
from alnet_lib.cohorts.splitting import by_group, by_image
from alnet_lib.cohorts.vocabulary import USUAL_DIAGNOSIS

NO_SMEAR = "cells come without smear or patient: cell-level results only, never the vote; split by image, 85/15"
VIEW_MICROMETRES = 36.0
"""Width of a CellaVision picture: 360 pixels at about 0.1 micrometre."""


def find(module: ModuleType, data: Path | None, candidates: Sequence[str], needed: Sequence[str]) -> Path:
    """The folder below `data` (or `data` itself) that holds all of the `needed` entries.

    candidates: relative folders to try, in order. needed: names of folders or files that mark this source.

    Raises
    ------
    CohortError
        nothing given, no folder, an empty one, another data set's or one unpacked in part; says what was expected.
    """
    if data is None:
        raise CohortError(f"cohort {module.NAME} needs its images: DATA=<folder> ({module.SOURCE})")
    if not data.is_dir():
        raise CohortError(f"{data} is not a folder")
    for candidate in (*candidates, "."):
        folder = data / candidate
        there = [name for name in needed if (folder / name).exists()]
        if len(there) == len(needed):
            return folder
        if there:
            lacks = ", ".join(name for name in needed if name not in there)
            raise CohortError(
                f"{folder} has {', '.join(there)} but lacks {lacks}: unpacked in part, or not {module.NAME}. "
                f"Expected: {module.LAYOUT}. Unpack the whole archive again ({module.SOURCE})."
            )
    have = ", ".join(sorted(path.name for path in data.iterdir())[:8]) or "nothing"
    raise CohortError(
        f"{data} is not the {module.NAME} data set: expected {module.LAYOUT}; it holds {have}. "
        f"Get it from {module.SOURCE}."
    )


def complete(module: ModuleType, found: Mapping[str, int], expected: Mapping[str, int]) -> None:
    """Refuse a source of which something that is used is missing in part.

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
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in suffixes)


def read_folders(
    module: ModuleType, root: Path, seed: int, suffixes: Collection[str], *, notes: Sequence[str] = ()
) -> Cohort:
    """A cohort from `<class>/<file>`: module.MAPPING maps classes, module.COUNTS gives the source's own counts.

    Raises
    ------
    CohortError
        a class that is used has fewer files than the source's own count.
    """
    rows, found, excluded = [], {}, {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        files = pictures(folder, suffixes)
        found[folder.name] = len(files)
        if (cell_type := module.MAPPING.get(folder.name)) is None:
            excluded[f"class {folder.name}"] = len(files)
            continue
        rows += [{"path": path.relative_to(root).as_posix(), "cell_type": cell_type} for path in files]
    complete(module, found, {name: n for name, n in module.COUNTS.items() if name in module.MAPPING})
    return cohort(module, root, rows, seed, excluded=excluded, notes=notes)
