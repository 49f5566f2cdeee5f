"""Cells boxed in fields of view of leukaemia patients (LeukemiaAttri): the only public source with all six groups.

Each box of the sharpest subset (high-cost microscope, 100x) becomes a cell: a square around its middle, as wide for all
cells as makes the median cell as large as in a CellaVision picture, so that differences in size remain.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from statistics import median

from alnet_lib.cohorts import classes
from alnet_lib.cohorts.manifest import Cohort, CohortError

NAME = "leukemia_attri"
KIND = "public"
IMAGES = "10,300 cells boxed in 2,400 fields at H_100X, 47 patients"
CITATION = "Rehman et al., MICCAI 2024, arXiv 2405.10803"
LICENCE = "CC BY-NC-SA 4.0"
SOURCE = "the authors' page of LeukemiaAttri (intelligentMachines-ITU on GitHub)"
LAYOUT = "<subset, e.g. H_100X_C1>/ with pictures and COCO JSON files anywhere below"
SCALE = "unknown; the median box is taken as 0.4 of a CellaVision picture's width"
IDENTIFIERS = "patient: the first number of the file's name (not verified)"
ODDITIES = "640x640 fields; two APL patients only; 12 subsets of the same smears, of which one is used"
MAPPING = {
    "lymphocyte": "lymphocyte",
    "monocyte": "monocyte",
    "atypicallymphocyte": "reactive_lymphocyte",
    "abnormalpromyelocyte": "abnormal_promyelocyte",
    "myeloblast": "myeloblast",
    "monoblast": "monoblast",
    "lymphoblast": "b_lymphoblast",
}
"""Category name without case, spaces and signs -> cell type."""
SUBSETS = ("H_100X_C1", "H_100x_C1", "H_100X", "H_100x")
CELL_SHARE = 0.4
_DIAGNOSIS = {"abnormal_promyelocyte": "APL", "b_lymphoblast": "ALL", "myeloblast": "AML", "monoblast": "AML"}


def read(data: Path | None, *, seed: int = 2021) -> Cohort:
    """The cells boxed in the H_100X subset; a patient's diagnosis is the commonest leukaemic type among the cells.

    Raises
    ------
    CohortError
        the folder is not this data set, has no COCO file, or pictures that it names are missing.
    """
    module = sys.modules[__name__]
    subset = next((name for name in SUBSETS if data is not None and (data / name).is_dir()), SUBSETS[0])
    root = classes.find(module, data, [], [subset]) / subset
    files = {path.name: path for path in root.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".bmp"}}
    boxes, excluded, named, missing = [], {}, set(), set()
    for coco in _coco_files(root):
        names = {category["id"]: category["name"] for category in coco["categories"]}
        pictures = {picture["id"]: Path(picture["file_name"]).name for picture in coco["images"]}
        for box in coco["annotations"]:
            picture, name = pictures[box["image_id"]], names[box["category_id"]]
            cell_type = MAPPING.get(re.sub(r"[^a-z]", "", name.lower()))
            if cell_type is None:
                excluded[f"category {name}"] = excluded.get(f"category {name}", 0) + 1
            elif picture not in files:
                missing.add(picture)
            else:
                named.add(picture)
                boxes.append((files[picture], cell_type, *box["bbox"]))
    if missing:
        some = ", ".join(sorted(missing)[:5])
        raise CohortError(
            f"{NAME} is incomplete: {len(missing):,} of the {len(missing | named):,} pictures that its boxes name are "
            f"missing ({some}). Unpack {root.name} again ({SOURCE})."
        )
    if not boxes:
        raise CohortError(f"{root} has no COCO file with boxes of a known category; expected {LAYOUT} ({SOURCE})")
    rows = _rows(root, boxes)
    return classes.cohort(
        module, root, rows, seed, excluded=excluded, notes=["patients are told by file name, unverified"]
    )


def _coco_files(root: Path) -> list[dict]:
    found = []
    for path in sorted(root.rglob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and {"images", "annotations", "categories"} <= set(content):
            found.append(content)
    return found


def _rows(root: Path, boxes: list[tuple]) -> list[dict]:
    view = median(max(width, height) for *_, width, height in boxes) / CELL_SHARE
    rows, votes = [], {}
    for number, (path, cell_type, x, y, width, height) in enumerate(boxes):
        told = re.search(r"\d+", path.stem)
        patient = f"{NAME}/{told[0] if told else path.stem}"
        relative = path.relative_to(root).as_posix()
        rows.append(
            {
                "image_id": f"{NAME}/{relative}#{number}", "path": relative, "cell_type": cell_type,
                "patient_id": patient, "smear_id": patient, "centre_x": x + width / 2, "centre_y": y + height / 2,
                "view": view,
            }
        )  # fmt: skip
        if cell_type in _DIAGNOSIS:
            votes.setdefault(patient, []).append(_DIAGNOSIS[cell_type])
    for row in rows:
        told = votes.get(row["patient_id"], ["infection"])
        row["diagnosis"] = max(sorted(set(told)), key=told.count)
    return rows
