"""Single cells of peripheral blood from the Munich Leukemia Laboratory (MLL23), 18 classes."""

from __future__ import annotations

import sys
from pathlib import Path

from alnet_lib.cohorts import classes
from alnet_lib.cohorts.manifest import Cohort

NAME = "mll23"
KIND = "public"
IMAGES = "41,621 (its page says 41,906)"
CITATION = "Shetab Boushehri et al., Scientific Data 12:1773 (2025)"
LICENCE = "CC BY 4.0"
SOURCE = "Zenodo, doi 10.5281/zenodo.14277609"
DOWNLOAD = "the archives of the five classes used suffice"
LAYOUT = "<class>/<class>_<dddd>.TIF, or <class>/<class>/ where each archive has a folder of its own"
SCALE = "11.52 pixels a micrometre, 288x288 pixels: 25 micrometres, where CellaVision shows 36"
IDENTIFIERS = "none"
ODDITIES = "fewer files than its page says; upper-case .TIF; one archive a class"
MICROMETRES_PER_PIXEL = 1 / 11.52
MAPPING = {
    "lymphocyte": "lymphocyte",
    "monocyte": "monocyte",
    "lymphocyte_reactive": "reactive_lymphocyte",
    "promyelocyte_atypical": "abnormal_promyelocyte",
    "myeloblast": "myeloblast",
}
WHY = {
    "lymphocyte": "typical lymphocyte",
    "monocyte": "the same cell",
    "lymphocyte_reactive": "the same cell",
    "promyelocyte_atypical": "the abnormal promyelocytes of APL",
    "myeloblast": "the same cell",
    "promyelocyte": "ordinary promyelocytes are not the abnormal ones of APL",
    "lymphocyte_neoplastic, hairy_cell, plasma_cell, lymphocyte_large_granular": "of lymphomas, no class of ALNet",
    "neutrophil_segmented and the like": "no class of ALNet",
}
COUNTS = {
    "lymphocyte": 5532, "monocyte": 2510, "lymphocyte_reactive": 33, "promyelocyte_atypical": 2033, "myeloblast": 8606,
}  # fmt: skip


def read(data: Path | None, *, seed: int = 2021) -> Cohort:
    """The cohort of a folder in the original layout.

    Raises
    ------
    CohortError
        the folder is not this data set, or classes that are used are incomplete.
    """
    module = sys.modules[__name__]
    root = classes.find(module, data, ["promyelocyte_atypical", "lymphocyte_reactive"])
    return classes.read_folders(module, root, seed, [".tif", ".tiff"])
