"""The report's gallery: smears as contact sheets, each cell with reference label, predicted class and probability."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pandas as pd

from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.core.integrity.reading import reading
from alnet_lib.core.resources import cores
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold, vote
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.imaging import decoding

SIDE, QUALITY = 96, 82
"""Pixels of a picture's side, and quality of its JPEG."""

MOST_CELLS, MOST_OF_A_SMEAR = 4000, 40
"""So that the page opens quickly."""

DIAGNOSES = {"control": "healthy control", "infection": "infection"}


def contents(run_dir: Path) -> dict[str, Any] | None:
    """Gather what the gallery's template needs.

    Parameters
    ----------
    run_dir : Path
        A run directory.

    Returns
    -------
    dict or None
        None where the run has no predictions or its pictures have gone. `smears` is a list of dicts with id, split,
        site, diagnosis, verdict, correct, count and cells; a cell has source (a data address), reference, predicted,
        correct (None where the cell has no label of the five classes) and p, in [0, 1]. Only eligible cells are shown,
        as only they vote.

    Raises
    ------
    alnet_lib.core.integrity.reading.Damaged
        Cohort, provenance or predictions are not what was written; the message names the file.
    """
    predictions = run_dir / "predictions" / "cells.parquet"
    if not predictions.is_file() or not (run_dir / "cohort" / "manifest.parquet").is_file():
        return None
    cohort = Cohort.load(run_dir / "cohort")
    with reading(run_dir / "provenance.json") as file:
        profile = json.loads(file.read_text(encoding="utf-8"))["profile"]
    with reading(predictions) as file:
        cells = pd.read_parquet(file)
    cells = cells[cells["split"].isin(["test", "external"]) & cells["eligible"]]
    if not len(cells):
        return None
    cells = cells.assign(
        reference=MODULE_1.reference(cells), predicted=MODULE_1.predicted(cells), p=cells[MODULE_1.columns].max(axis=1)
    )
    votes = vote(cells, MajorityAboveThreshold(profile["threshold"])).sort_values(["split", "diagnosis", "smear_id"])
    kept = cells[cells.groupby("smear_id").cumcount() < MOST_OF_A_SMEAR]
    kept = kept[kept["smear_id"].isin(_first_smears(kept, votes["smear_id"].tolist()))]
    sources = _thumbnails(cohort, kept["image_id"], profile)
    if sources is None:
        return None
    kept = kept.assign(source=sources)
    smears, cells_of = [], dict(iter(kept.groupby("smear_id")))
    for line in votes.itertuples():
        if (own := cells_of.get(line.smear_id)) is not None:
            smears.append(
                {
                    "id": line.smear_id, "split": "testing" if line.split == "test" else "external", "site": line.site,
                    "diagnosis": DIAGNOSES.get(line.diagnosis, line.diagnosis), "count": line.n_cells,
                    "verdict": DIAGNOSES.get(line.verdict, line.verdict), "correct": line.verdict == line.expected,
                    "cells": [_cell(row) for row in own.itertuples()],
                }
            )  # fmt: skip
    classes = [(name, LABELS[name]) for name in MODULE_1.classes]
    return {"smears": smears, "classes": classes, "cells": len(kept), "all_cells": len(cells), "all_smears": len(votes)}


def _cell(row: Any) -> dict[str, Any]:
    labelled = isinstance(row.reference, str)
    return {
        "source": row.source, "p": round(float(row.p), 3), "predicted": row.predicted,
        "predicted_label": LABELS[row.predicted],
        "reference": row.reference if labelled else "",
        "reference_label": LABELS[row.reference] if labelled else "no label",
        "correct": row.reference == row.predicted if labelled else None,
    }  # fmt: skip


def _first_smears(cells: pd.DataFrame, order: list[str]) -> set[str]:
    size = cells.groupby("smear_id").size().reindex(order, fill_value=0)
    return set(size.index[size.cumsum() <= max(MOST_CELLS, size.iloc[0])])


def _thumbnails(cohort: Cohort, image_ids: pd.Series, profile: dict[str, Any]) -> list[str] | None:
    """Each picture as a data address; None where one cannot be read any more."""
    row = pd.Index(cohort.manifest["image_id"]).get_indexer(image_ids)
    shown = replace(cohort, manifest=cohort.manifest.iloc[row])
    files, crops = shown.files, shown.crops

    def small(i: int) -> str:
        picture = decoding.picture(files[i], crops[i], allow_truncated=profile["allow_truncated"])
        picture = decoding.resize(picture, SIDE, crop=profile["crop"])
        _, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()

    try:
        with ThreadPoolExecutor(cores()) as pool:
            return list(pool.map(small, range(len(files))))
    except decoding.ImageError:
        return None
