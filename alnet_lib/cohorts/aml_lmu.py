"""Single cells of AML patients and controls, Munich University Hospital (AML-Cytomorphology_LMU).

Bilobed promyelocytes (PMB) are the abnormal ones of APL; ordinary promyelocytes (PMO) are left out. `annotations.dat`
gives the label and two re-annotations of each picture.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from alnet_lib.cohorts import classes
from alnet_lib.cohorts.manifest import Cohort

NAME = "aml_lmu"
KIND = "public"
IMAGES = "18,365 of 100 AML patients and 100 controls"
CITATION = "Matek et al., Nature Machine Intelligence 1:538 (2019)"
LICENCE = "CC BY 3.0"
SOURCE = "The Cancer Imaging Archive, doi 10.7937/tcia.2019.36f5o9ld"
DOWNLOAD = "the pictures of all classes, and annotations.dat"
LAYOUT = "AML-Cytomorphology/<CLASS>/<CLASS>_<dddd>.tiff, annotations.dat"
SCALE = "14.14 pixels a micrometre (as its paper states): 28 micrometres, where CellaVision shows 36"
MICROMETRES_PER_PIXEL = 1 / 14.14
IDENTIFIERS = "none"
ODDITIES = "400x400 TIFF with an opaque alpha channel; annotations.dat has no header: path, label, two re-annotations"
MAPPING = {
    "LYT": "lymphocyte",
    "MON": "monocyte",
    "LYA": "reactive_lymphocyte",
    "PMB": "abnormal_promyelocyte",
    "MYO": "myeloblast",
    "MOB": "monoblast",
}
WHY = {
    "LYT": "typical lymphocyte",
    "MON": "the same cell",
    "LYA": "atypical, taken as reactive; the word is used of leukaemic cells too",
    "PMB": "bilobed promyelocytes, the abnormal ones of APL",
    "MYO": "the same cell",
    "MOB": "the same cell",
    "PMO": "ordinary promyelocytes are not the abnormal ones of APL",
    "NGS, NGB, EOS, BAS, MYB, MMZ, KSC, EBO": "no class of ALNet",
}
COUNTS = {"LYT": 3937, "MON": 1789, "LYA": 11, "PMB": 18, "MYO": 3268, "MOB": 26}


def annotations(file: Path) -> pd.DataFrame:
    """annotations.dat as a frame: path, label, reannotation_1, reannotation_2 (empty where there is none)."""
    names = ["path", "label", "reannotation_1", "reannotation_2"]
    return pd.read_csv(file, sep=r"\s+", header=None, names=names, dtype=str).fillna("")


def read(data: Path | None, *, seed: int = 2021) -> Cohort:
    """The cohort of a folder in the original layout; re-annotations become columns where annotations.dat is there.

    Raises
    ------
    CohortError
        the folder is not this data set, or classes that are used are incomplete.
    """
    module = sys.modules[__name__]
    root = classes.find(module, data, ["LYT", "MYO", "NGS", "MON"])
    cohort = classes.read_folders(module, root, seed, [".tiff", ".tif"])
    for folder in (root, root.parent, *([data] if data else [])):
        if (folder / "annotations.dat").is_file():
            again = annotations(folder / "annotations.dat").drop_duplicates("path").set_index("path")
            for column in ("reannotation_1", "reannotation_2"):
                cohort.manifest[column] = cohort.manifest["path"].map(again[column]).fillna("").to_numpy()
            break
    return cohort
