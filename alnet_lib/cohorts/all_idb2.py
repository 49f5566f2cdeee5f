"""Single cells of acute lymphoblastic leukaemia (ALL-IDB2, University of Milan)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from alnet_lib.cohorts import classes
from alnet_lib.cohorts.manifest import Cohort

NAME = "all_idb2"
KIND = "public"
IMAGES = "260"
CITATION = "Labati, Piuri and Scotti, IEEE International Conference on Image Processing (2011)"
LICENCE = "on request, research only"
SOURCE = "ALL-IDB, University of Milan, on request"
LAYOUT = "Im<NNN>_{0,1}.tif, in one folder (img)"
SCALE = "unknown; the picture (257x257) is used whole"
IDENTIFIERS = "none"
ODDITIES = "the label is the last digit of the name; 0 is any cell that is not a blast"
MAPPING = {"1": "b_lymphoblast"}
COUNTS = {"1": 130, "0": 130}
_NAME = re.compile(r"Im\d{3}_([01])\.tif", re.IGNORECASE)


def read(data: Path | None, *, seed: int = 2021) -> Cohort:
    """The blasts of a folder in the original layout; other cells are left out, their type is not told.

    Raises
    ------
    CohortError
        the folder is not this data set, or blasts are missing.
    """
    module = sys.modules[__name__]
    root = classes.find(module, data, ["img", "ALL_IDB2/img", "ALL_IDB2"], ["Im001_1.tif"])
    found, rows = {"0": 0, "1": 0}, []
    for path in classes.pictures(root, {".tif"}):
        if name := _NAME.fullmatch(path.name):
            found[name[1]] += 1
            if name[1] in MAPPING:
                rows.append({"path": path.name, "cell_type": MAPPING[name[1]]})
    classes.complete(module, found, {"1": COUNTS["1"]})
    notes = ["blasts are not told into B and T: all are taken as B, the usual ones"]
    return classes.cohort(module, root, rows, seed, excluded={"0: not a blast, type not told": found["0"]}, notes=notes)
