"""What the gallery's page shows: the testing and external smears, their vote, and their cells."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.core.files import atomic_path, sha256, sweep
from alnet_lib.core.integrity.reading import reading
from alnet_lib.core.vocabulary import CELL_TYPES, DIAGNOSES, LABELS, NON_APL, UNKNOWN
from alnet_lib.diagnosis import cell_map
from alnet_lib.diagnosis.aggregation import OF_MODULE_1, OF_MODULE_2, MajorityAboveThreshold, vote
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2
from alnet_lib.evaluation.smear_level import smear_reference
from alnet_lib.figures.style import CLASS_COLOURS
from alnet_lib.imaging import decoding
from alnet_lib.report.gallery import pictures

FOLDER = "gallery"
"""In the report's folder; has the pictures and `cells.csv`."""

MOST_CELLS, MOST_LARGE = 4000, 1000
"""Cells on the page, and cells with a larger picture: so that the page opens quickly and the report stays small."""

SPLITS = {"test": "testing", "external": "external"}
DIAGNOSIS_LABELS = {"control": "healthy control", "infection": "infection"}


def contents(run_dir: Path, out: Path) -> dict[str, Any] | None:
    """Gather what the gallery's templates need, and write its pictures and `cells.csv`.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    out : Path
        The report's folder.

    Returns
    -------
    dict or None
        None where the run has no predictions or its pictures have gone. Only eligible cells are shown, as only they
        vote. Smears and cells have numbers in a random order, so that neither an address nor the name of a picture
        tells the diagnosis.

    Raises
    ------
    alnet_lib.core.integrity.reading.Damaged
        Cohort, provenance or predictions are not what was written; the message names the file.
    """
    found = _voting(run_dir)
    shown = None if found is None else _shown(run_dir, out / FOLDER, *found)
    if shown is None:
        sweep([out / FOLDER] if (out / FOLDER).is_dir() else [])
    return shown


def rule(threshold: float, *, merged: bool) -> dict[str, Any]:
    """Describe the vote to the page's script.

    Parameters
    ----------
    threshold : float
        The profile's, in [0, 1).
    merged : bool
        Whether there is no module 2, so that AML and ALL count as one.

    Returns
    -------
    dict
        `first` and `second`: the verdict of each class of module 1 and 2, in the order of the counts; `asks`: the
        verdict that module 2 makes more precise; `unknown`; `calls`: the diagnoses that a reader may give.
    """
    return {
        "first": [OF_MODULE_1[name] for name in MODULE_1.classes],
        "second": [OF_MODULE_2[name] for name in MODULE_2.classes],
        "asks": NON_APL,
        "unknown": UNKNOWN,
        "threshold": threshold,
        "calls": [*DIAGNOSES[:3], NON_APL] if merged else list(DIAGNOSES),
    }


def equal_share(sizes: pd.Series, most: int) -> int:
    """Find how many cells of each smear may be shown so that all smears together have no more than `most`.

    Parameters
    ----------
    sizes : Series
        Cells of each smear.
    most : int
        Of all smears together.

    Returns
    -------
    int
        At least 1.
    """
    largest = int(sizes.max())
    fits = [k for k in range(1, largest + 1) if int(sizes.clip(upper=k).sum()) <= most]
    return max(fits, default=1)


def _voting(run_dir: Path) -> tuple[pd.DataFrame, dict[str, Any]] | None:
    path = run_dir / "predictions" / "cells.parquet"
    if not path.is_file() or not (run_dir / "cohort" / "manifest.parquet").is_file():
        return None
    with reading(run_dir / "provenance.json") as file:
        profile = json.loads(file.read_text(encoding="utf-8"))["profile"]
    with reading(path) as file:
        cells = pd.read_parquet(file)
    cells = cells[cells["split"].isin(list(SPLITS)) & cells["eligible"]]
    return (cells, profile) if len(cells) else None


def _shown(run_dir: Path, folder: Path, cells: pd.DataFrame, profile: dict[str, Any]) -> dict[str, Any] | None:
    votes = vote(cells, MajorityAboveThreshold(profile["threshold"]))
    reference = smear_reference(cells)
    votes["reference"] = votes["smear_id"].map(reference) if len(reference) else None
    # The order of the cohort tells the diagnosis; a reader who is to be blind sees these numbers.
    purpose = int(sha256("gallery: numbers of the smears")[:8], 16)
    votes["number"] = np.random.default_rng([profile["seed"], purpose]).permutation(len(votes)) + 1
    cells = _described(cells, votes)
    kept = equal_share(votes["n_cells"], MOST_CELLS)
    position = cells.groupby("smear_id").cumcount()
    page = cells[position < kept].reset_index(drop=True)
    page["number"] = np.arange(len(page)) + 1
    large = page.groupby("smear_id").cumcount() < equal_share(votes["n_cells"].clip(upper=kept), MOST_LARGE)
    page["large"] = large
    try:
        _pictures(run_dir, folder, page, profile)
    except decoding.ImageError:
        return None
    _csv(folder / "cells.csv", cells, votes)
    cells_of = dict(iter(page.groupby("smear_id")))
    smears = [
        _smear(line, cells_of[line.smear_id])
        for line in votes.sort_values(["split", "diagnosis", "smear_id"]).itertuples()
    ]
    merged = votes["expected"].eq(NON_APL).any()
    return {
        "smears": smears, "cells": len(page), "all_cells": len(cells), "of_each": kept, "large": int(large.sum()),
        "rule": rule(profile["threshold"], merged=bool(merged)), "second": MODULE_2.predicts(cells),
        "classes": [(name, LABELS[name]) for name in MODULE_1.classes],
        "lineages": [(name, LABELS[name]) for name in MODULE_2.classes],
        "types": [(name, LABELS[name]) for name in CELL_TYPES],
        "colours": [CLASS_COLOURS[name] for name in MODULE_1.classes],
        "sites": sorted({smear["site"] for smear in smears}), "splits": list(SPLITS.items()),
        "diagnoses": [(name, DIAGNOSIS_LABELS.get(name, name)) for name in DIAGNOSES],
        "verdicts": [(n, DIAGNOSIS_LABELS.get(n, n)) for n in (*DIAGNOSES, NON_APL, UNKNOWN)],
        "map": set(cell_map.COLUMNS) <= set(cells), "folder": FOLDER,
    }  # fmt: skip


def _described(cells: pd.DataFrame, votes: pd.DataFrame) -> pd.DataFrame:
    """The cells in the order of their smears' numbers, with classes and coordinates on the map in [0, 1]."""
    numbers = votes.set_index("smear_id")["number"]
    cells = cells.assign(
        smear=cells["smear_id"].map(numbers), reference=MODULE_1.reference(cells), first=MODULE_1.predicted(cells),
        lineage=MODULE_2.reference(cells), second="",
    )  # fmt: skip
    if MODULE_2.predicts(cells):
        judged = cells[MODULE_2.columns].notna().all(axis=1)
        cells.loc[judged, "second"] = MODULE_2.predicted(cells[judged])
    for name in set(cell_map.COLUMNS) & set(cells):
        low, high = cells[name].min(), cells[name].max()
        cells[name] = (cells[name] - low) / max(high - low, np.finfo(np.float32).tiny)
    return cells.sort_values("smear", kind="stable")


def _pictures(run_dir: Path, folder: Path, page: pd.DataFrame, profile: dict[str, Any]) -> None:
    cohort = Cohort.load(run_dir / "cohort")
    rows = pd.Index(cohort.manifest["image_id"]).get_indexer(page["image_id"])
    shown = replace(cohort, manifest=cohort.manifest.iloc[rows])
    read = [
        partial(decoding.picture, file, crop, allow_truncated=profile["allow_truncated"])
        for file, crop in zip(shown.files, shown.crops, strict=True)
    ]
    known = json.dumps([cohort.content_hash, page["image_id"].tolist()])
    pictures.write(folder, read, page["large"].tolist(), known)


def _csv(path: Path, cells: pd.DataFrame, votes: pd.DataFrame) -> None:
    columns = ["smear_id", "image_id", "split", "site", "patient_id", "diagnosis", "cell_type"]
    columns += [name for name in (*MODULE_1.columns, *MODULE_2.columns) if name in cells]
    verdicts = votes.set_index("smear_id")["verdict"]
    table = cells[columns].assign(verdict=cells["smear_id"].map(verdicts))
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.4f", lineterminator="\n")


def _smear(line: Any, own: pd.DataFrame) -> dict[str, Any]:
    first = [round(getattr(line, f"share_{name}") * line.n_cells) for name in MODULE_1.classes]
    shares = [getattr(line, f"share2_{name}") for name in MODULE_2.classes]
    second = [0 if np.isnan(share) else round(share * line.n_blasts) for share in shares]
    diagnosis, expected = _word(line.diagnosis), _word(line.expected)
    return {
        "number": line.number, "id": line.smear_id, "patient": _word(line.patient_id), "split": line.split,
        "site": _word(line.site) or "not given", "diagnosis": diagnosis, "expected": expected,
        "diagnosis_label": DIAGNOSIS_LABELS.get(diagnosis, diagnosis) or "not given",
        "class": _word(line.reference), "count": line.n_cells, "first": first, "second": second,
        "verdict": line.verdict, "verdict_label": DIAGNOSIS_LABELS.get(line.verdict, line.verdict),
        "outcome": outcome(line.verdict, expected), "first_said": _said(first, MODULE_1.classes),
        "second_said": _said(second, MODULE_2.classes), "cells": [_cell(row) for row in own.itertuples()],
    }  # fmt: skip


def outcome(verdict: str, expected: str) -> str:
    """`correct`, `wrong`, `unknown` (no verdict), or `none` (no diagnosis to compare it with)."""
    if not expected:
        return "none"
    return "correct" if verdict == expected else "unknown" if verdict == UNKNOWN else "wrong"


def _said(counts: list[int], classes: tuple[str, ...]) -> str:
    """Percent of each class that is there: `Blasts 88%, Lymphocytes 12%`."""
    there = sorted(((n, name) for n, name in zip(counts, classes, strict=True) if n), key=lambda one: -one[0])
    return ", ".join(f"{LABELS[name]} {100 * n / sum(counts):.0f}%" for n, name in there)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _cell(row: Any) -> dict[str, Any]:
    kind, reference, lineage = _word(row.cell_type), _word(row.reference), _word(row.lineage)
    first = [float(getattr(row, name)) for name in MODULE_1.columns]
    second = [float(getattr(row, name)) for name in MODULE_2.columns] if row.second else []
    return {
        "number": row.number, "name": row.image_id, "place": pictures.place(row.number),
        "large": pictures.large_name(row.number) if row.large else "",
        "reference": " ".join(dict.fromkeys(filter(None, (kind, reference, lineage)))) if reference else "",
        "reference_label": LABELS[kind] if reference else "no label",
        "predicted": row.first, "predicted_label": LABELS[row.first], "p": max(first),
        "second": row.second, "second_label": LABELS.get(row.second, ""), "p_second": max(second, default=0.0),
        "correct": _same(row.first, reference), "second_correct": _same(row.second, lineage) if row.second else "",
        "first_all": " ".join(f"{p:.3f}" for p in first), "second_all": " ".join(f"{p:.3f}" for p in second),
        "x": f"{getattr(row, 'map_x', 0.0):.4f}", "y": f"{getattr(row, 'map_y', 0.0):.4f}",
    }  # fmt: skip


def _same(predicted: str, reference: str) -> str:
    return "" if not reference else "yes" if predicted == reference else "no"
