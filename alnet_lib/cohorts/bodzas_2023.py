"""Pathological and normal white cells at high resolution, University Hospital Ostrava."""

from __future__ import annotations

import sys
from pathlib import Path

from alnet_lib.cohorts import classes
from alnet_lib.cohorts.manifest import Cohort

NAME = "bodzas_2023"
KIND = "public"
IMAGES = "16,027 of 78 persons"
CITATION = "Bodzas et al., Scientific Data 10:466 (2023)"
LICENCE = "CC0 or CC BY 4.0: its page and its paper differ, check before use"
SOURCE = "figshare, with the paper, doi 10.1038/s41597-023-02378-7"
LAYOUT = "<class>/<n>.bmp"
SCALE = "unknown; the picture (1200x1200) is used whole"
IDENTIFIERS = "none published"
ODDITIES = "1200x1200 BMP of 4 MB each"
MAPPING = {
    "Lymphoblast": "b_lymphoblast",
    "Myeloblast": "myeloblast",
    "Lymphocyte": "lymphocyte",
    "Monocyte": "monocyte",
}
COUNTS = {"Lymphoblast": 2557, "Myeloblast": 2534, "Lymphocyte": 3046, "Monocyte": 2040}


def read(data: Path | None, *, seed: int = 2021) -> Cohort:
    """The cohort of a folder in the original layout.

    Raises
    ------
    CohortError
        the folder is not this data set, or classes that are used are incomplete.
    """
    module = sys.modules[__name__]
    root = classes.find(module, data, ["data", "dataset"], list(MAPPING))
    notes = ["lymphoblasts are not told into B and T: all are taken as B, the usual ones"]
    return classes.read_folders(module, root, seed, {".bmp"}, notes=notes)
