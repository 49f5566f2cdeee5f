"""Single cells of acute lymphoblastic leukaemia (ALL-IDB2, University of Milan)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

from alnet_lib.cohorts import classes
from alnet_lib.cohorts.manifest import Cohort

NAME = "all_idb2"
KIND = "public"
IMAGES = "260"
CITATION = "Labati, Piuri and Scotti, IEEE International Conference on Image Processing (2011)"
LICENCE = "on request, research only"
SOURCE = "ALL-IDB, University of Milan (homes.di.unimi.it/scotti/all), on request"
DOWNLOAD = "ALL_IDB2, the single cells"
LAYOUT = "Im<NNN>_{0,1}.tif, in one folder (img)"
SCALE = "unknown; the crop makes the median segmented blast as large as one in a CellaVision picture"
IDENTIFIERS = "none"
ODDITIES = (
    "257x257, some not square; the label is the last digit of the name; cells are cut out of ALL-IDB1's pictures, some "
    "of them twice"
)
MAPPING = {"1": "b_lymphoblast"}
WHY = {
    "1": "a blast of ALL; B and T are not told apart, B is the usual one",
    "0": "any cell that is not a blast, its type is not told",
}
COUNTS = {"Im<NNN>_1.tif": 130}
_NAME = re.compile(r"Im\d{3}_([01])\.tif", re.IGNORECASE)


def read(data: Path | None, *, seed: int = 2021) -> Cohort:
    """The blasts of a folder in the original layout; some pictures are opened for the scale.

    Raises
    ------
    CohortError
        the folder is not this data set, or blasts are missing.
    """
    module = sys.modules[__name__]
    root = classes.find(module, data, ["|".join(f"Im{number:03d}_1.tif" for number in range(1, 131))])
    rows, others = [], 0
    for path in classes.pictures(root, {".tif"}):
        if name := _NAME.fullmatch(path.name):
            others += name[1] not in MAPPING
            rows += [{"path": path.name, "cell_type": MAPPING[name[1]]}] if name[1] in MAPPING else []
    more = classes.complete(module, {"Im<NNN>_1.tif": len(rows)}, COUNTS)
    rows, scale = classes.measured(root, rows, _diameter)
    notes = ["blasts are not told into B and T: all are taken as B, the usual ones", scale, *more]
    return classes.cohort(module, root, rows, seed, excluded={"0: not a blast, type not told": others}, notes=notes)


def _diameter(pixels: np.ndarray) -> float:
    from alnet_lib import segmentation  # heavy, and this source alone needs it

    found = segmentation.segment(pixels)
    return 0.0 if found is None or found.touches_border else classes.across(found.cell)
