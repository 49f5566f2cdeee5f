"""Leukaemic B-lymphoblasts cut out of marrow pictures (C-NMC 2019, SBILab), for cell-level work on B-lymphoblasts.

Cells are cut out on black and come from marrow: any network separates them from another source by the background alone.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from alnet_lib.cohorts.adapters import layout
from alnet_lib.cohorts.adapters.source import Source, register
from alnet_lib.cohorts.manifest import Cohort, CohortError
from alnet_lib.imaging import segmentation

_FOLDS = ["fold_0", "fold_1", "fold_2"]


_FOLDER = "C-NMC_test_prelim_phase_data"


_TABLE = f"{_FOLDER}_labels.csv"


_NUMBER = re.compile(r"\d+\.bmp", re.IGNORECASE).fullmatch


_NAME = re.compile(r"UID_([A-Za-z]?\d+)_(\d+)_(\d+)_(all|hem)\.bmp", re.IGNORECASE)


_HEM, _STRANGE = "hem: normal B-precursors, no class of ALNet", "file name is not UID_..._all.bmp"


_BOTH = "preliminary, of a subject in the folds"


@register(
    Source(
        name="cnmc_2019",
        kind="public",
        images="10,661 labelled for training, 1,867 preliminary with labels; 2,586 final ones have none",
        citation="Gupta and Gupta, C-NMC 2019 (The Cancer Imaging Archive)",
        licence="CC BY 3.0",
        home="The Cancer Imaging Archive, doi 10.7937/tcia.2019.dc64i46r",
        about=__doc__,
        download="C-NMC_training_data; if it is to test, C-NMC_test_prelim_phase_data and its table of labels",
        layout=(
            "fold_{0,1,2}/{all,hem}/UID_<subject>_<image>_<cell>_{all,hem}.bmp; "
            "C-NMC_test_prelim_phase_data/<n>.bmp and "
            "C-NMC_test_prelim_phase_data_labels.csv"
        ),
        scale="unknown; the crop makes the median cut-out as large as a B-lymphoblast in a CellaVision picture",
        identifiers="subject, in the file's name; of the preliminary set, in its table",
        oddities=(
            "450x450, the cell cut out on black; marrow, not blood; one subject is written h3 in "
            "lower case; images of the "
            "preliminary set are numbered, its table names them; the final set is unlabelled and left out"
        ),
        mapping={"all": "b_lymphoblast"},
        why={
            "all": "leukaemic lymphoblasts of patients with B-lineage ALL",
            "hem": "normal B-precursors of marrow, no class of ALNet",
        },
        counts={"fold_0/all": 2397, "fold_1/all": 2418, "fold_2/all": 2457, "preliminary": 1867},
    )
)
def read(source: Source, data: Path | None, *, seed: int = 2021) -> Cohort:
    """Read the leukaemic cells; the preliminary set is tested on, or else a share of the folds' subjects.

    None of them votes (`immature` is false): they are marrow, and chosen by their label. Some images are opened to
    measure the scale.

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
        The folder is not this data set, or cells are missing.
    """
    folds = layout.find(source, data, _FOLDS)
    assert data is not None  # `find` refuses None
    files = layout.walk(data)
    table = next((path for path in files if path.name == _TABLE), None)
    numbered = {path.name.lower(): path for path in reversed(files) if _FOLDER in path.parts and _NUMBER(path.name)}
    if numbered and not table:
        raise CohortError(
            f"{source.name} is incomplete: {_FOLDER} is there without its table {_TABLE}. Put it "
            f"beside ({source.home})."
        )
    excluded = dict.fromkeys((_HEM, _STRANGE, _BOTH), 0)
    rows, found = _of_folds(source, data, folds, excluded)
    more = layout.complete(source, found, {name: source.counts[name] for name in found})
    if table:
        rows = [row | {"split": "train"} for row in rows] + _preliminary(source, data, table, numbered, excluded, rows)
    rows, scale = layout.measured(data, rows, lambda pixels: segmentation.across(pixels.max(2) > 0))
    notes = ["cells are cut out on black and come from marrow: beside another source, the background reveals the class"]
    notes.append(
        "the preliminary set is the test split"
        if table
        else "without the preliminary set a share of the subjects is held out for testing"
    )
    notes += ["the cells are of marrow and were chosen by their label: none of them votes", scale, *more]
    return layout.cohort(source, data, rows, seed, excluded=excluded, notes=notes)


def _row(source: Source, root: Path, path: Path, name: re.Match[str]) -> dict:
    subject = f"{source.name}/{name[1].upper()}"
    relative = path.relative_to(root).as_posix()
    known = {"patient_id": subject, "smear_id": subject, "immature": False}
    return {"path": relative, "cell_type": source.mapping["all"], **known}


def _of_folds(source: Source, root: Path, folds: Path, excluded: dict[str, int]) -> tuple[list[dict], dict[str, int]]:
    rows, found = [], {f"{fold}/all": 0 for fold in _FOLDS}
    for fold in _FOLDS:
        for kind in ("all", "hem"):
            folder = folds / fold / kind
            for path in layout.pictures(folder, {".bmp"}) if folder.is_dir() else []:
                name = _NAME.fullmatch(path.name)
                if kind == "hem" or not name:
                    excluded[_HEM if name else _STRANGE] += 1
                    continue
                found[f"{fold}/{kind}"] += 1
                rows.append(_row(source, root, path, name))
    return rows, found


def _preliminary(
    source: Source, root: Path, table: Path, files: dict[str, Path], excluded: dict[str, int], trained: list[dict]
) -> list[dict]:
    # Patient_ID holds the name that tells subject and label, new_names the file.
    listed = pd.read_csv(table, dtype=str).dropna(subset=["Patient_ID", "new_names"]).drop_duplicates("new_names")
    listed["new_names"] = listed["new_names"].str.lower()
    layout.complete(
        source,
        {"preliminary": int(listed["new_names"].isin(files).sum())},
        {"preliminary": max(len(listed), source.counts["preliminary"])},
    )
    subjects, rows = {row["patient_id"] for row in trained}, []
    for told, file in zip(listed["Patient_ID"], listed["new_names"], strict=True):
        name = _NAME.fullmatch(told if told.lower().endswith(".bmp") else f"{told}.bmp")
        if not name or name[4].lower() == "hem":
            excluded[_HEM if name else _STRANGE] += 1
            continue
        row = _row(source, root, files[file], name)
        if row["patient_id"] in subjects:
            excluded[_BOTH] += 1
            continue
        rows.append(row | {"split": "test"})
    return rows
