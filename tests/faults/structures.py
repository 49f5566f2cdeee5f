"""Cohorts of odd structures through every notebook, in one process.

One is part of the tests, all of them of `make faults`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from in_process import chain
from PIL import Image

from alnet_lib.core.vocabulary import CELL_TYPES, USUAL_DIAGNOSIS
from alnet_lib.report.rendering import render
from alnet_lib.workflow import recorder
from faults.tally import Tally

SIZES = {"train": (3, 2), "test": (2, 2), "external": (1, 2)}
"""Split -> patients of each cell type, and cells of each."""

COLOURS = {name: (120 + 18 * i, 80 + 12 * i, 170 - 9 * i) for i, name in enumerate(CELL_TYPES)}


def whole() -> pd.DataFrame:
    """The manifest of a small cohort that has everything: one row a cell, a smear a patient."""
    rows = []
    for split, (patients, cells) in SIZES.items():
        for cell_type in CELL_TYPES:
            for patient in range(patients):
                name = f"{split}-{cell_type}-{patient}"
                about = {"cell_type": cell_type, "smear_id": name, "patient_id": f"P-{name}", "split": split}
                about |= {
                    "site": "elsewhere" if split == "external" else "here",
                    "diagnosis": USUAL_DIAGNOSIS[cell_type],
                }
                rows += [{"path": f"{name}-{i}.png", **about} for i in range(cells)]
    return pd.DataFrame(rows)


def _one_patient(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.assign(
        patient_id="P", diagnosis="ALL", smear_id=cells["split"] + cells.groupby("split").cumcount().mod(2).astype(str)
    )


def _two_of(column: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A structure in which neighbouring smears of a split are one, with two patients or two diagnoses."""

    def joined(cells: pd.DataFrame) -> pd.DataFrame:
        other = "diagnosis" if column == "patient_id" else "patient_id"
        pair = cells.groupby("split")["smear_id"].transform(lambda names: pd.factorize(names)[0] // 2).astype(str)
        cells = cells.assign(smear_id=cells["split"] + "-" + pair)
        return cells.assign(**{other: cells.groupby("smear_id")[other].transform("first")})

    return joined


def _mixed(cells: pd.DataFrame) -> pd.DataFrame:
    some = cells.groupby("split").cumcount().mod(3).eq(0)
    return cells.assign(cell_type=cells["cell_type"].mask(some, ""), immature=some.astype(str))


STRUCTURES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "everything": lambda cells: cells,
    "one class": lambda cells: cells[cells["cell_type"].eq("lymphocyte")],
    "one class to train on": lambda cells: cells[cells["cell_type"].eq("myeloblast") | cells["split"].ne("train")],
    "two classes": lambda cells: cells[cells["cell_type"].isin(["abnormal_promyelocyte", "myeloblast"])],
    "blasts alone": lambda cells: cells[cells["cell_type"].isin(["myeloblast", "b_lymphoblast"])],
    "one patient": _one_patient,
    "one patient a class": lambda cells: cells[cells["smear_id"].str.endswith("-0")],
    "one cell a smear": lambda cells: cells.assign(smear_id=cells["path"]),
    "no smear names": lambda cells: cells.assign(smear_id=cells["path"], patient_id=cells["path"], smear_known="false"),
    "all unlabelled": lambda cells: cells.assign(cell_type=""),
    "unlabelled testing cells": lambda cells: cells.assign(
        cell_type=cells["cell_type"].where(cells["split"].eq("train"), "")
    ),
    "unlabelled training cells": lambda cells: cells.assign(
        cell_type=cells["cell_type"].where(cells["split"].ne("train"), "")
    ),
    "some cells unlabelled": _mixed,
    "no cell votes": lambda cells: cells.assign(immature="false"),
    "empty testing split": lambda cells: cells[cells["split"].ne("test")],
    "training split alone": lambda cells: cells[cells["split"].eq("train")],
    "testing split alone": lambda cells: cells[cells["split"].eq("test")],
    "external split alone": lambda cells: cells[cells["split"].eq("external")],
    "one image a class": lambda cells: cells[cells["split"].eq("train")].groupby("cell_type").head(1),
    "one image a class and split": lambda cells: cells.groupby(["split", "cell_type"]).head(1),
    "one image": lambda cells: cells.head(1),
    "smears of two patients": _two_of("patient_id"),
    "smears of two diagnoses": _two_of("diagnosis"),
}
"""Name -> what it makes of the manifest that has everything."""

QUICKEST = ("one class to train on",)
"""Those that every run of the tests looks at."""


@dataclass(frozen=True)
class Tried:
    """What became of one structure.

    Attributes
    ----------
    name : str
        Key of STRUCTURES.
    problems : tuple of str
        What failed; empty where every item was there or unavailable with its reason, and the report was written.
    reproduced, unavailable : int
        Items of results.json.
    seconds : float
        That it took.
    """

    name: str
    problems: tuple[str, ...]
    reproduced: int
    unavailable: int
    seconds: float


def write(manifest: pd.DataFrame, folder: Path) -> None:
    """Write a manifest and its pictures: a disc on a light ground, in the colours of its true type, with noise."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True, exist_ok=True)
    for path in manifest["path"]:
        cell_type = path.split("-")[1]
        picture = np.full((48, 48, 3), (236, 228, 222), np.uint8)
        radius = 10 + CELL_TYPES.index(cell_type)
        cv2.circle(picture, (24, 24), radius, (168, 178, 214), -1)
        cv2.circle(picture, (24, 24), radius - 4, COLOURS[cell_type], -1)
        lit = picture.astype(int) + rng.integers(-9, 10, picture.shape)
        Image.fromarray(lit.clip(0, 255).astype(np.uint8)).save(folder / path)
    manifest.to_csv(folder / "manifest.csv", index=False)


def tried(name: str, folder: Path, *, report: bool = True) -> Tried:
    """Run all notebooks and the report on a cohort of one structure.

    Parameters
    ----------
    name : str
        Key of STRUCTURES.
    folder : Path
        For the cohort and the run; empty.
    report : bool
        Write the report too.
    """
    began = time.perf_counter()
    write(STRUCTURES[name](whole()).reset_index(drop=True), folder / "own")
    run_dir = folder / "run"
    problems = chain(run_dir, "folder", folder / "own")
    items = recorder.collect(run_dir)["items"]
    for item in items:
        silent = item["status"] == "unavailable" and (not item["reason"] or "has not run" in item["reason"])
        lost = [file for file in item["files"] if not (run_dir / file).is_file()]
        if silent or lost or (item["status"] == "reproduced" and not item["files"]):
            problems.append(f"{item['id']}: {item['status']}, reason `{item['reason']}`, files {item['files']}")
    if report and not problems:
        try:
            render(run_dir)
        except Exception as error:
            problems.append(f"report: {type(error).__name__}: {error}")
    there = sum(item["status"] == "reproduced" for item in items)
    return Tried(name, tuple(problems), there, len(items) - there, time.perf_counter() - began)


def campaign(work: Path, *, few: bool = False) -> list[Tally]:
    """Try all structures, or the quickest.

    Parameters
    ----------
    work : Path
        Folder for the cohorts and runs.
    few : bool
        The quickest alone.
    """
    line = Tally("cohorts of odd structures through every notebook and the report")
    for name in QUICKEST if few else STRUCTURES:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            line.attempt(name, lambda name=name, folder=folder: "; ".join(tried(name, Path(folder)).problems))
    return [line]
