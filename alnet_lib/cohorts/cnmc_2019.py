"""Leukaemic B-lymphoblasts cut out of marrow pictures (C-NMC 2019, SBILab), for cell-level work on B-lymphoblasts.

Cells are cut out on black and come from marrow: any network tells them from another source by the background alone.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from alnet_lib.cohorts import classes
from alnet_lib.cohorts.manifest import Cohort

NAME = "cnmc_2019"
KIND = "public"
IMAGES = "10,661 labelled for training; 1,867 preliminary and 2,586 final ones are left out"
CITATION = "Gupta and Gupta, C-NMC 2019 (The Cancer Imaging Archive)"
LICENCE = "CC BY 3.0"
SOURCE = "The Cancer Imaging Archive, doi 10.7937/tcia.2019.dc64i46r"
LAYOUT = "fold_{0,1,2}/{all,hem}/UID_<subject>_<image>_<cell>_{all,hem}.bmp"
SCALE = "unknown; cell cut out on black, 450x450; the picture is used whole"
IDENTIFIERS = "subject, in the file's name"
ODDITIES = (
    "black background; marrow, not blood; one subject is written h3 in lower case; the preliminary set is named "
    "<n>.bmp with a CSV, the final one is unlabelled"
)
MAPPING = {"all": "b_lymphoblast"}
COUNTS = {"all": 7272}
_NAME = re.compile(r"UID_([A-Za-z]?\d+)_(\d+)_(\d+)_(all|hem)\.bmp", re.IGNORECASE)


def read(data: Path | None, *, seed: int = 2021) -> Cohort:
    """The leukaemic cells of the three labelled folds, split by subject; normal precursors (hem) are left out.

    Raises
    ------
    CohortError
        the folder is not this data set, or leukaemic cells are missing.
    """
    module = sys.modules[__name__]
    folds = ["fold_0", "fold_1", "fold_2"]
    root = classes.find(module, data, ["C-NMC_training_data", "C-NMC_Leukemia/C-NMC_training_data"], folds)
    rows, excluded = [], {"hem: normal B-precursors, no class of ALNet": 0, "file name is not UID_..._all.bmp": 0}
    for fold in folds:
        for kind in ("all", "hem"):
            if not (root / fold / kind).is_dir():
                continue
            for path in classes.pictures(root / fold / kind, {".bmp"}):
                name = _NAME.fullmatch(path.name)
                if kind == "hem" or not name:
                    excluded[list(excluded)[0 if name else 1]] += 1
                    continue
                subject = f"{NAME}/{name[1].upper()}"
                relative = path.relative_to(root).as_posix()
                rows.append({"path": relative, "cell_type": MAPPING[kind], "patient_id": subject, "smear_id": subject})
    classes.complete(module, {"all": len(rows)}, COUNTS)
    notes = ["cells are cut out on black and come from marrow: with another source, the background tells the class"]
    return classes.cohort(module, root, rows, seed, excluded=excluded, notes=notes)
