"""Peripheral-blood cells of healthy persons from the paper's own hospital (Hospital Clínic, Barcelona).

Lymphocytes and monocytes become the two control classes. The other types are no class of ALNet; above all PMY, a normal
promyelocyte, is never an abnormal one of APL.
"""

from __future__ import annotations

import sys
from pathlib import Path

from alnet_lib.cohorts import classes
from alnet_lib.cohorts.manifest import Cohort

NAME = "pbc_normal_dib"
KIND = "public"
IMAGES = "17,092 of healthy persons"
CITATION = "Acevedo et al., Data in Brief 30:105474 (2020)"
LICENCE = "CC BY 4.0"
SOURCE = "Mendeley Data, doi 10.17632/snkd93bnjr.1"
DOWNLOAD = "the data set, one archive"
LAYOUT = "PBC_dataset_normal_DIB/<8 classes>/<PREFIX>_<number>.jpg"
SCALE = "0.1 micrometre a pixel (CellaVision DM96, 100x; red cells measure 7.5 micrometres); the picture is used whole"
IDENTIFIERS = "none"
ODDITIES = (
    "prefixes are finer than folders (PMY, MY, MMY in ig); some pictures are 366x369 with a bluish tone; 17 pairs of "
    "byte-identical pictures, one of them across two classes"
)
MAPPING = {"lymphocyte": "lymphocyte", "monocyte": "monocyte"}
WHY = {
    "lymphocyte": "of healthy persons",
    "monocyte": "of healthy persons",
    "ig": "immature granulocytes; PMY are normal promyelocytes, not the abnormal ones of APL",
    "neutrophil, eosinophil, basophil, erythroblast, platelet": "no class of ALNet",
}
COUNTS = {"lymphocyte": 1214, "monocyte": 1420}


def read(data: Path | None, *, seed: int = 2021) -> Cohort:
    """The cohort of a folder in the original layout.

    Raises
    ------
    CohortError
        the folder is not this data set, or classes that are used are incomplete.
    """
    module = sys.modules[__name__]
    root = classes.find(module, data, ["lymphocyte", "monocyte", "ig", "platelet"])
    return classes.read_folders(module, root, seed, {".jpg"})
