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
LICENCE = "CC0 (its figshare page), CC BY 4.0 (its paper): check before use"
SOURCE = "figshare, doi 10.6084/m9.figshare.22680517"
DOWNLOAD = "the labelled cells, one archive of about 45 GB"
LAYOUT = "<class>/<n>.bmp"
SCALE = "42 pixels a micrometre (as its paper states), 1200x1200 pixels: 29 micrometres, where CellaVision shows 36"
MICROMETRES_PER_PIXEL = 1 / 42
IDENTIFIERS = "none published"
ODDITIES = (
    "1200x1200 BMP of 4 MB each; the colour of the slide alone is said to tell its lymphoblasts from its lymphocytes"
)
MAPPING = {
    "Lymphoblast": "b_lymphoblast",
    "Myeloblast": "myeloblast",
    "Lymphocyte": "lymphocyte",
    "Monocyte": "monocyte",
}
WHY = {
    "Lymphoblast": "blasts of lymphoid leukaemia; B and T are not told apart, B is the usual one",
    "Myeloblast": "the same cell",
    "Lymphocyte": "the same cell",
    "Monocyte": "the same cell",
    "Neutrophile Segment, Neutrophile Band, Eosinophile, Basophile, Normoblast": "no class of ALNet",
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
    root = classes.find(module, data, list(MAPPING))
    notes = ["lymphoblasts are not told into B and T: all are taken as B, the usual ones"]
    return classes.read_folders(module, root, seed, {".bmp"}, notes=notes)
