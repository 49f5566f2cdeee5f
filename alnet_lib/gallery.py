"""The report's gallery: smears as contact sheets, each cell with its true class, the class called and how surely."""

from __future__ import annotations

import base64
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import pandas as pd

from alnet_lib import images, vote
from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.cohorts.vocabulary import LABELS, MODULE_1_CLASSES, TO_MODULE_1

SIDE, QUALITY = 96, 82
MOST_CELLS, MOST_OF_A_SMEAR = 4000, 40
DIAGNOSES = {"control": "healthy control", "infection": "infection"}


def contents(run_dir: Path) -> dict[str, Any] | None:
    """What the gallery's template needs, or None where the run has no predictions or its pictures have gone.

    smears: list of dicts with id, split, diagnosis, verdict, right, count, shown and cells; a cell has source (a data
    address), true, called, right (None where unlabelled) and p. At most MOST_OF_A_SMEAR cells of a smear and MOST_CELLS
    in all, so that the page opens quickly.
    """
    predictions = run_dir / "predictions" / "cells.parquet"
    if not predictions.is_file() or not (run_dir / "cohort" / "manifest.parquet").is_file():
        return None
    cohort = Cohort.load(run_dir / "cohort")
    profile = json.loads((run_dir / "provenance.json").read_text(encoding="utf-8"))["profile"]
    cells = pd.read_parquet(predictions)
    cells = cells[cells["split"].isin(["test", "external"]) & cells["selected"]]
    if not len(cells):
        return None
    cells = cells.assign(
        true=cells["cell_type"].map(TO_MODULE_1), called=vote.classify(cells, "p1", MODULE_1_CLASSES),
        p=cells[[f"p1_{name}" for name in MODULE_1_CLASSES]].max(axis=1),
    )  # fmt: skip
    votes = vote.vote(cells, profile["threshold"]).sort_values(["split", "diagnosis", "smear_id"])
    kept = cells[cells.groupby("smear_id").cumcount() < MOST_OF_A_SMEAR]
    kept = kept[kept["smear_id"].isin(_first_smears(kept, votes["smear_id"].tolist()))]
    sources = _thumbnails(cohort, kept["image_id"], profile)
    if sources is None:
        return None
    kept = kept.assign(source=sources)
    smears = []
    for line in votes.itertuples():
        own = kept[kept["smear_id"].eq(line.smear_id)]
        if len(own):
            smears.append(
                {
                    "id": line.smear_id, "split": "testing" if line.split == "test" else "external", "site": line.site,
                    "diagnosis": DIAGNOSES.get(line.diagnosis, line.diagnosis), "count": line.n_cells,
                    "verdict": DIAGNOSES.get(line.verdict, line.verdict), "right": line.verdict == line.expected,
                    "cells": [_cell(row) for row in own.itertuples()],
                }
            )  # fmt: skip
    classes = [(name, LABELS[name]) for name in MODULE_1_CLASSES]
    return {"smears": smears, "classes": classes, "cells": len(kept), "all_cells": len(cells), "all_smears": len(votes)}


def _cell(row: Any) -> dict[str, Any]:
    labelled = isinstance(row.true, str)
    return {
        "source": row.source, "p": round(float(row.p), 3), "called": row.called, "called_label": LABELS[row.called],
        "true": row.true if labelled else "", "true_label": LABELS[row.true] if labelled else "unlabelled",
        "right": row.true == row.called if labelled else None,
    }  # fmt: skip


def _first_smears(cells: pd.DataFrame, order: list[str]) -> set[str]:
    size = cells.groupby("smear_id").size().reindex(order, fill_value=0)
    return set(size.index[size.cumsum() <= max(MOST_CELLS, size.iloc[0])])


def _thumbnails(cohort: Cohort, image_ids: pd.Series, profile: dict[str, Any]) -> list[str] | None:
    """Each picture as a data address; None where one cannot be read any more."""
    row = pd.Series(range(len(cohort.manifest)), index=cohort.manifest["image_id"])
    files, places = cohort.files, cohort.places

    def small(i: int) -> str:
        picture = images.picture(files[i], places[i], allow_truncated=profile["allow_truncated"])
        picture = images.resize(picture, SIDE, crop=profile["crop"])
        _, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()

    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(small, row[image_ids].tolist()))
    except images.ImageError:
        return None
