"""Single cells of AML patients and controls, Munich University Hospital (AML-Cytomorphology_LMU).

Bilobed promyelocytes (PMB) are the abnormal ones of APL; ordinary promyelocytes (PMO) are left out. `annotations.dat`
gives the label and two re-annotations of each picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from alnet_lib.cohorts.adapters import layout
from alnet_lib.cohorts.adapters.source import Source, register

if TYPE_CHECKING:
    from alnet_lib.cohorts.manifest import Cohort


def read_annotations(file: Path) -> pd.DataFrame:
    """Read annotations.dat.

    Parameters
    ----------
    file : Path
        A table without header.

    Returns
    -------
    DataFrame
        path, label, reannotation_1, reannotation_2 (empty where there is none).
    """
    names = ["path", "label", "reannotation_1", "reannotation_2"]
    return pd.read_csv(file, sep=r"\s+", header=None, names=names, dtype=str).fillna("")


@register(
    Source(
        name="aml_lmu",
        kind="public",
        images="18,365 of 100 AML patients and 100 controls",
        citation="Matek et al., Nature Machine Intelligence 1:538 (2019)",
        licence="CC BY 3.0",
        home="The Cancer Imaging Archive, doi 10.7937/tcia.2019.36f5o9ld",
        about=__doc__,
        download="the pictures of all classes, and annotations.dat",
        layout="AML-Cytomorphology/<CLASS>/<CLASS>_<dddd>.tiff, annotations.dat",
        scale="14.14 pixels a micrometre (as its paper states): 28 micrometres, where CellaVision shows 36",
        identifiers="none",
        oddities=(
            "400x400 TIFF with an opaque alpha channel; annotations.dat has no header: path, label, two re-annotations"
        ),
        mapping={
            "LYT": "lymphocyte",
            "MON": "monocyte",
            "LYA": "reactive_lymphocyte",
            "PMB": "abnormal_promyelocyte",
            "MYO": "myeloblast",
            "MOB": "monoblast",
        },
        why={
            "LYT": "typical lymphocyte",
            "MON": "the same cell",
            "LYA": "atypical, taken as reactive; the word is used of leukaemic cells too",
            "PMB": "bilobed promyelocytes, the abnormal ones of APL",
            "MYO": "the same cell",
            "MOB": "the same cell",
            "PMO": "ordinary promyelocytes are not the abnormal ones of APL",
            "NGS, NGB, EOS, BAS, MYB, MMZ, KSC, EBO": "no class of ALNet",
        },
        counts={"LYT": 3937, "MON": 1789, "LYA": 11, "PMB": 18, "MYO": 3268, "MOB": 26},
        micrometres_per_pixel=1 / 14.14,
    )
)
def read(source: Source, data: Path | None, *, seed: int = 2021) -> Cohort:
    """Read a folder in the original layout; re-annotations become columns where annotations.dat is there.

    Parameters
    ----------
    source : Source
        This source.
    data : Path, optional
        Folder of the original download.
    seed : int
        Of a split that the source does not bring.

    Returns
    -------
    Cohort
        With the source's labels translated to ours.

    Raises
    ------
    CohortError
        The folder is not this data set, or classes that are used are incomplete.
    """
    root = layout.find(source, data, ["LYT", "MYO", "NGS", "MON"])
    cohort = layout.read_folders(source, root, seed, [".tiff", ".tif"])
    for folder in (root, root.parent, *([data] if data else [])):
        if (folder / "annotations.dat").is_file():
            again = read_annotations(folder / "annotations.dat").drop_duplicates("path").set_index("path")
            for column in ("reannotation_1", "reannotation_2"):
                cohort.manifest[column] = cohort.manifest["path"].map(again[column]).fillna("").to_numpy()
            break
    return cohort
