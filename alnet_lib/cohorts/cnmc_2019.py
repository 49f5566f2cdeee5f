"""Leukaemic B-lymphoblasts cut out of marrow pictures (C-NMC 2019, SBILab), for cell-level work on B-lymphoblasts.

Cells are cut out on black and come from marrow: any network tells them from another source by the background alone.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd

from alnet_lib.cohorts import classes
from alnet_lib.cohorts.manifest import Cohort, CohortError

NAME = "cnmc_2019"
KIND = "public"
IMAGES = "10,661 labelled for training, 1,867 preliminary with labels; 2,586 final ones have none"
CITATION = "Gupta and Gupta, C-NMC 2019 (The Cancer Imaging Archive)"
LICENCE = "CC BY 3.0"
SOURCE = "The Cancer Imaging Archive, doi 10.7937/tcia.2019.dc64i46r"
DOWNLOAD = "C-NMC_training_data; if it is to test, C-NMC_test_prelim_phase_data and its table of labels"
LAYOUT = (
    "fold_{0,1,2}/{all,hem}/UID_<subject>_<image>_<cell>_{all,hem}.bmp; C-NMC_test_prelim_phase_data/<n>.bmp and "
    "C-NMC_test_prelim_phase_data_labels.csv"
)
SCALE = "unknown; the crop makes the median cut-out as large as a B-lymphoblast in a CellaVision picture"
IDENTIFIERS = "subject, in the file's name; of the preliminary set, in its table"
ODDITIES = (
    "450x450, the cell cut out on black; marrow, not blood; one subject is written h3 in lower case; pictures of the "
    "preliminary set are numbered, its table names them; the final set is unlabelled and left out"
)
MAPPING = {"all": "b_lymphoblast"}
WHY = {
    "all": "leukaemic lymphoblasts of patients with B-lineage ALL",
    "hem": "normal B-precursors of marrow, no class of ALNet",
}
COUNTS = {"fold_0/all": 2397, "fold_1/all": 2418, "fold_2/all": 2457, "preliminary": 1867}
_FOLDS = ["fold_0", "fold_1", "fold_2"]
_FOLDER = "C-NMC_test_prelim_phase_data"
_TABLE = f"{_FOLDER}_labels.csv"
_NUMBER = re.compile(r"\d+\.bmp", re.IGNORECASE).fullmatch
_NAME = re.compile(r"UID_([A-Za-z]?\d+)_(\d+)_(\d+)_(all|hem)\.bmp", re.IGNORECASE)
_HEM, _STRANGE = "hem: normal B-precursors, no class of ALNet", "file name is not UID_..._all.bmp"
_BOTH = "preliminary, of a subject in the folds"


def read(data: Path | None, *, seed: int = 2021) -> Cohort:
    """The leukaemic cells; where the preliminary set is there it tests, else a share of the folds' subjects.

    None of them votes (`immature` is false): they are marrow, and chosen by their label. Some pictures are opened for
    the scale.

    Raises
    ------
    CohortError
        the folder is not this data set, or cells are missing.
    """
    module = sys.modules[__name__]
    folds = classes.find(module, data, _FOLDS)
    files = classes.walk(data)
    table = next((path for path in files if path.name == _TABLE), None)
    numbered = {path.name.lower(): path for path in reversed(files) if _FOLDER in path.parts and _NUMBER(path.name)}
    if numbered and not table:
        raise CohortError(
            f"{NAME} is incomplete: {_FOLDER} is there without its table {_TABLE}. Put it beside ({SOURCE})."
        )
    excluded = dict.fromkeys((_HEM, _STRANGE, _BOTH), 0)
    rows, found = _of_folds(data, folds, excluded)
    more = classes.complete(module, found, {name: COUNTS[name] for name in found})
    if table:
        rows = [row | {"split": "train"} for row in rows] + _preliminary(data, table, numbered, excluded, rows)
    rows, scale = classes.measured(data, rows, lambda pixels: classes.across(pixels.any(2)))
    notes = ["cells are cut out on black and come from marrow: with another source, the background tells the class"]
    notes.append("the preliminary set tests" if table else "the preliminary set is not there: subjects are held out")
    notes += ["marrow, chosen by label: none of these cells votes", scale, *more]
    return classes.cohort(module, data, rows, seed, excluded=excluded, notes=notes)


def _row(root: Path, path: Path, name: re.Match) -> dict:
    subject = f"{NAME}/{name[1].upper()}"
    relative = path.relative_to(root).as_posix()
    known = {"patient_id": subject, "smear_id": subject, "immature": False}
    return {"path": relative, "cell_type": MAPPING["all"], **known}


def _of_folds(root: Path, folds: Path, excluded: dict[str, int]) -> tuple[list[dict], dict[str, int]]:
    rows, found = [], {f"{fold}/all": 0 for fold in _FOLDS}
    for fold in _FOLDS:
        for kind in ("all", "hem"):
            folder = folds / fold / kind
            for path in classes.pictures(folder, {".bmp"}) if folder.is_dir() else []:
                name = _NAME.fullmatch(path.name)
                if kind == "hem" or not name:
                    excluded[_HEM if name else _STRANGE] += 1
                    continue
                found[f"{fold}/{kind}"] += 1
                rows.append(_row(root, path, name))
    return rows, found


def _preliminary(
    root: Path, table: Path, files: dict[str, Path], excluded: dict[str, int], trained: list[dict]
) -> list[dict]:
    # Patient_ID holds the name that tells subject and label, new_names the file.
    listed = pd.read_csv(table, dtype=str).dropna(subset=["Patient_ID", "new_names"]).drop_duplicates("new_names")
    listed["new_names"] = listed["new_names"].str.lower()
    classes.complete(
        sys.modules[__name__],
        {"preliminary": int(listed["new_names"].isin(files).sum())},
        {"preliminary": max(len(listed), COUNTS["preliminary"])},
    )
    subjects, rows = {row["patient_id"] for row in trained}, []
    for told, file in zip(listed["Patient_ID"], listed["new_names"], strict=True):
        name = _NAME.fullmatch(told if told.lower().endswith(".bmp") else f"{told}.bmp")
        if not name or name[4].lower() == "hem":
            excluded[_HEM if name else _STRANGE] += 1
            continue
        row = _row(root, files[file], name)
        if row["patient_id"] in subjects:
            excluded[_BOTH] += 1
            continue
        rows.append(row | {"split": "test"})
    return rows
