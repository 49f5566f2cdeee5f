"""Cohorts of odd structures through every notebook, in one process.

As a program: `python tests/faults/structures.py [NAME ...]` prints a table of all of them.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from alnet_lib import paper
from alnet_lib.core.files import atomic_path
from alnet_lib.core.profile import CrossFitting, Profile, Training
from alnet_lib.core.resources import NOTEBOOKS_DIR
from alnet_lib.core.vocabulary import CELL_TYPES, USUAL_DIAGNOSIS
from alnet_lib.figures.style import style
from alnet_lib.report.rendering import render
from alnet_lib.workflow import recorder
from alnet_lib.workflow.steps import STEPS

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

QUICKEST = ("one image", "one class to train on")
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


def tiny() -> Profile:
    """A profile smaller than `smoke`: two iterations a training."""
    smoke = Profile.load("smoke")
    small = Training(
        backbone="resnet_miniature", iterations=2, batch_size=8, lr_min=2e-5, lr_max=2e-4, upsample_target=8
    )
    comparison = {"backbones": ("resnet_miniature",), "fine_tuned_blocks": (5,), "upsample_target": 8, "range_test": 2}
    return smoke.model_copy(
        update={
            "module_1": small,
            "module_2": small,
            "table_5_backbone": "resnet_miniature",
            "comparison": smoke.comparison.model_copy(update=comparison),
            "ablations": small,
            "cross_fitting": CrossFitting(folds=2, module_1=small, module_2=small),
            "transfer": smoke.transfer and smoke.transfer.model_copy(update={"fine_tuned": small}),
            "classical": smoke.classical.model_copy(update={"selected": (5,)}),
            "learned_vote": smoke.learned_vote.model_copy(update={"epochs": 2}),
            "bootstrap": 20,
            "feature_map_cells": 2,
        }
    )


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


def cells_of(notebook: str) -> Iterator[str]:
    """Sources of a notebook's code cells."""
    content = json.loads((NOTEBOOKS_DIR / f"{notebook}.ipynb").read_text(encoding="utf-8"))
    return ("".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code")


def run_notebook(shell, notebook: str, parameters: dict[str, str]) -> str:
    """Run the code cells of a notebook in an IPython shell, as its kernel does.

    Parameters
    ----------
    shell : IPython.core.interactiveshell.InteractiveShell
        What is left of an earlier notebook is forgotten.
    notebook : str
        Name without its ending.
    parameters : dict
        Values that come after its first cell.

    Returns
    -------
    str
        The error with the last lines of its traceback, and the cell; empty where there is none.
    """
    shell.reset(new_session=False)
    for number, source in enumerate(cells_of(notebook), start=1):
        done = shell.run_cell(source, store_history=False)
        if (error := done.error_before_exec or done.error_in_exec) is not None:
            ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "alnet_lib" in frame.filename]
            where = "; ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in ours[-4:])
            return f"{notebook}, cell {number}: {type(error).__name__}: {error} ({where})"
        if number == 1:
            shell.user_ns.update(parameters)
    return ""


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
    parameters = {"cohort": "folder", "profile": "tiny", "data": str(folder / "own"), "run_dir": str(run_dir)}
    problems = []
    with _alone(), _shell() as shell:
        for notebook in STEPS:
            recorder.forget(run_dir, notebook)
            if problem := run_notebook(shell, notebook, parameters):
                problems.append(problem)
        gc.collect()
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


def _coarse(figure, stem: Path) -> tuple[bytes, bytes]:
    """As `figures.style.save`, at a tenth of its resolution: half of the time went into pixels that nobody sees."""
    png = io.BytesIO()
    with style():
        figure.savefig(png, format="png", dpi=30)
    for suffix in (".svg", ".png"):
        with atomic_path(stem.with_name(stem.name + suffix)) as temporary:
            temporary.write_bytes(png.getvalue())
    return png.getvalue(), png.getvalue()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """The profile `tiny` under its name; nothing of the environment or of what is printed is left."""
    profile = tiny()
    with (
        patch.dict(os.environ),
        patch.object(Profile, "load", lambda *given, **named: profile),
        patch("alnet_lib.workflow.run.save", _coarse),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        yield


@contextlib.contextmanager
def _shell() -> Iterator:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    hook = sys.excepthook
    InteractiveShell.clear_instance()
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "nocolor"
    try:
        yield InteractiveShell.instance(config=settings)
    finally:
        InteractiveShell.clear_instance()
        sys.excepthook = hook


def rows(names: list[str] | None = None) -> pd.DataFrame:
    """Try structures, each in a folder of its own.

    Parameters
    ----------
    names : list of str, optional
        Keys of STRUCTURES; all where not given.

    Returns
    -------
    DataFrame
        One row a structure: structure, tried, handled, failed (0 or 1), seconds, reproduced, unavailable, problems.
    """
    listed = []
    for name in names or STRUCTURES:
        with tempfile.TemporaryDirectory() as folder:
            found = tried(name, Path(folder))
        failed = int(bool(found.problems))
        about = {"structure": name, "tried": 1, "handled": 1 - failed, "failed": failed}
        about |= {"seconds": round(found.seconds, 1), "reproduced": found.reproduced}
        listed.append(about | {"unavailable": found.unavailable, "problems": "; ".join(found.problems)})
        print({k: v for k, v in listed[-1].items()}, file=sys.stderr, flush=True)
    return pd.DataFrame(listed)


if __name__ == "__main__":
    table = rows(sys.argv[1:])
    print(table.drop(columns="problems").to_string(index=False))
    print(f"{len(paper.ITEMS)} items of the paper; {int(table['failed'].sum())} of {len(table)} structures failed")
    sys.exit(int(table["failed"].any()))
