"""Patients of four genetic subtypes of AML and controls, Munich Leukemia Laboratory: diagnosis known, cells unlabelled.

Usable for the vote of a smear, as patients of another hospital: all of them are `external`. PML::RARA is APL; NPM1,
CBFB::MYH11 and RUNX1::RUNX1T1 are AML.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from alnet_lib.cohorts.adapters import layout
from alnet_lib.cohorts.adapters.source import Source, register

if TYPE_CHECKING:
    from alnet_lib.cohorts.manifest import Cohort


@register(
    Source(
        name="aml_mll_helmholtz",
        kind="public",
        images="81,214 of 189 patients",
        citation="Hehr et al., PLOS Digital Health 2:e0000187 (2023)",
        licence="CC BY 4.0",
        home="The Cancer Imaging Archive, AML-Cytomorphology_MLL_Helmholtz, doi 10.7937/6ppe-4020",
        about=__doc__,
        download="the pictures of all patients, and the table of patients",
        layout=(
            "data/{control,PML_RARA,NPM1,CBFB_MYH11,RUNX1_RUNX1T1}/<patient>/image_<n>.tif, a table of patients (CSV)"
        ),
        scale="144x144 pixels of 24.9 micrometres (as its paper states), where CellaVision shows 36",
        identifiers="patient, one smear each",
        oddities=(
            "cells are not labelled; the table of patients has bag_label, leucocytes_per_ul (or with a micro sign) and "
            "differential counts (pb_*)"
        ),
        counts={"patients": 189, "images": 81214},
        diagnosis={
            "control": "control",
            "PML_RARA": "APL",
            "NPM1": "AML",
            "CBFB_MYH11": "AML",
            "RUNX1_RUNX1T1": "AML",
        },
        micrometres_per_pixel=24.9 / 144,
    )
)
def read(source: Source, data: Path | None, *, seed: int = 2021) -> Cohort:
    """Read a folder in the original layout; leucocytes_per_ul becomes a column where a table has it.

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
        The folder is not this data set, or patients or images are missing.
    """
    root = layout.find(source, data, list(source.diagnosis))
    rows = []
    for subtype, diagnosis in source.diagnosis.items():
        for folder in sorted(path for path in (root / subtype).iterdir() if path.is_dir()):
            rows += [
                {
                    "path": path.relative_to(root).as_posix(), "cell_type": "", "diagnosis": diagnosis,
                    "subtype": "" if subtype == "control" else subtype.replace("_", "::"), "split": "external",
                    "patient_id": f"{source.name}/{folder.name}", "smear_id": f"{source.name}/{folder.name}",
                }
                for path in layout.pictures(folder, {".tif", ".tiff"})
            ]  # fmt: skip
    found = {"patients": len({row["patient_id"] for row in rows}), "images": len(rows)}
    notes = ["cells have no label: for the vote only, and all leucocytes vote, neutrophils too, which no source knows"]
    notes += layout.complete(source, found, source.counts)
    cohort = layout.cohort(source, root, rows, seed, excluded={}, notes=notes)
    if (counts := _leucocytes(root)) is not None:
        own = cohort.manifest["patient_id"].str.removeprefix(f"{source.name}/")
        cohort.manifest["leucocytes_per_ul"] = own.map(counts).to_numpy()
    return cohort


def _leucocytes(root: Path) -> pd.Series | None:
    """Leucocytes a microlitre by patient, from the table beside or above the folders; None without one."""
    for file in (*sorted(root.glob("*metadata*.csv")), *sorted(root.parent.glob("*metadata*.csv"))):
        # The micro sign of the column's name comes in more than one encoding.
        about = pd.read_csv(file, dtype={"patient_id": str}, encoding_errors="replace")
        column = next((name for name in about if name.startswith("leucocytes_per_")), None)
        if column and "patient_id" in about:
            return about.drop_duplicates("patient_id").set_index("patient_id")[column]
    return None
