"""Cells boxed in fields of view of leukaemia patients (LeukemiaAttri): the only public source with all six groups.

Each box of the subset H_100X_C1 (high-cost microscope, 100x, first camera) becomes a cell. The fields were squeezed to
a square; the shape of the median box tells how much, and it is undone. The crop around a box's middle is the same for
all cells, as wide as makes the median cell as large as in a CellaVision picture, so that differences in size remain.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from statistics import median

from alnet_lib.cohorts import classes
from alnet_lib.cohorts.manifest import Cohort, CohortError

NAME = "leukemia_attri"
KIND = "public"
IMAGES = "10,300 cells boxed in 2,400 fields of 47 patients"
CITATION = "Rehman et al., MICCAI 2024, arXiv 2405.10803"
LICENCE = "CC BY-NC-SA 4.0"
SOURCE = "named by intelligentMachines-ITU/Blood-Cancer-Dataset-Lukemia-Attri-MICCAI-2024 on GitHub"
DOWNLOAD = "the folder H_100X_C1 alone, with Images and json_labels"
LAYOUT = (
    "H_100X_C1/Images/{train,test}/<patient>_<field>_1000_<ALL, AML, APML, CLL or CML>.png and "
    "H_100X_C1/json_labels/{train,test}.json (COCO)"
)
CHECKED = "the pictures that its COCO files name are there, and no others"
SCALE = "unknown; the crop makes the median box as large as a cell of its type in a CellaVision picture"
IDENTIFIERS = "patient and diagnosis, in the file's name"
ODDITIES = (
    "640x640 fields, squeezed to about 0.6 of their width; two APL patients only; 12 subsets of the same smears, of "
    "which one is used"
)
MAPPING = {
    "lymphocyte": "lymphocyte",
    "monocyte": "monocyte",
    "atypicallymphocyte": "reactive_lymphocyte",
}
"""Category name without case, spaces and signs -> cell type, whatever the diagnosis."""
IMMATURE = {
    ("APL", "abnormalpromyelocyte"): "abnormal_promyelocyte",
    ("AML", "myeloblast"): "myeloblast",
    ("AML", "monoblast"): "monoblast",
    ("ALL", "lymphoblast"): "b_lymphoblast",
}
"""(Diagnosis, category) -> cell type; these vote."""
WHY = {
    "lymphocyte": "of patients with acute leukaemia; those of CLL are leukaemic and left out",
    "monocyte": "the same cell",
    "atypicallymphocyte": "atypical, taken as reactive; the word is used of leukaemic cells too",
    "abnormalpromyelocyte, APL patient": "the malignant cells of APL (APML in the file names)",
    "myeloblast, AML patient": "the same cell",
    "monoblast, AML patient": "the same cell",
    "lymphoblast, ALL patient": "B and T are not told apart, B is the usual one",
    "these four of any other patient": "not the malignant cell of the patient's disease, or mislabelled",
    "promonocyte": "between monoblast and monocyte, no class of ALNet",
    "any cell of a CLL or CML patient": "chronic leukaemias are no diagnosis of ALNet",
    "none, neutrophil, myelocyte and the like": "no class of ALNet",
}
DIAGNOSIS = {"ALL": "ALL", "AML": "AML", "APML": "APL"}
"""Last part of a file's name -> diagnosis; CLL and CML are none of ALNet's."""
SUBSET = "H_100X_C1|H_100x_C1"
_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
_NAME = re.compile(r"(\d+)_.*_([A-Z]+)")


def read(data: Path | None, *, seed: int = 2021) -> Cohort:
    """The cells boxed in the subset; the source's own test pictures test, whole patients at a time.

    Raises
    ------
    CohortError
        the folder is not this data set, lacks a COCO file, pictures that its boxes name are missing, or pictures are
        there that no COCO file names.
    """
    module = sys.modules[__name__]
    parent = classes.find(module, data, [SUBSET])
    root = next(path for path in sorted(parent.iterdir()) if path.name in SUBSET.split("|"))
    there = classes.walk(root)
    files = {path.name: path for path in there if path.suffix.lower() in _SUFFIXES}
    boxes, named = _boxes([path for path in there if path.suffix.lower() == ".json"])
    if missing := [name for name in ("train", "test") if not named.get(name)]:
        raise CohortError(
            f"{NAME} is incomplete: {root} has no COCO file {' and no '.join(f'{name}.json' for name in missing)}; "
            f"expected {LAYOUT}. Unpack {root.name} again ({SOURCE})."
        )
    _all_there(root, files, set().union(*named.values()))
    used, excluded = _usable(boxes)
    if not used:
        raise CohortError(f"{root} has no box of a known category and patient; expected {LAYOUT} ({SOURCE})")
    rows, notes = _rows(root, files, used, named["test"])
    return classes.cohort(module, root, rows, seed, excluded=excluded, notes=notes)


def _usable(boxes: set[tuple]) -> tuple[list[tuple], Counter]:
    """Boxes as (picture, cell type, patient, diagnosis, immature, x, y, width, height); the others by reason."""
    used, excluded = [], Counter()
    for picture, category, *box in sorted(boxes):
        name, told = re.sub(r"[^a-z]", "", category.lower()), _NAME.fullmatch(Path(picture).stem)
        diagnosis = DIAGNOSIS.get(told[2]) if told else None
        immature = IMMATURE.get((diagnosis, name))
        if told is None:
            excluded["file name tells no patient and diagnosis"] += 1
        elif diagnosis is None:
            excluded[f"patient with {told[2]}: no diagnosis of ALNet"] += 1
        elif (cell_type := immature or MAPPING.get(name)) is None:
            excluded[f"category {category}, {diagnosis} patient"] += 1
        elif min(box[2:]) <= 0:
            excluded["box without area"] += 1
        else:
            used.append((picture, cell_type, told[1], diagnosis, bool(immature), *box))
    return used, excluded


def _boxes(files: list[Path]) -> tuple[set[tuple], dict[str, set[str]]]:
    """Boxes as (picture, category, x, y, width, height), and the pictures that COCO files name, by the files' names."""
    boxes, named = set(), {}
    for path in files:
        coco = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(coco, dict) and {"images", "annotations", "categories"} <= set(coco)):
            continue
        categories = {category["id"]: category["name"] for category in coco["categories"]}
        pictures = {picture["id"]: Path(picture["file_name"]).name for picture in coco["images"]}
        named.setdefault(path.stem, set()).update(pictures.values())
        # A set, because one subset may hold the same labels in two folders.
        boxes |= {(pictures[b["image_id"]], categories[b["category_id"]], *b["bbox"]) for b in coco["annotations"]}
    return boxes, named


def _all_there(root: Path, files: dict[str, Path], named: set[str]) -> None:
    for what, names, of in (
        ("pictures that its COCO files name are missing", named - set(files), len(named)),
        ("pictures are in no COCO file, so one is missing", set(files) - named, len(files)),
    ):
        if names:
            some = ", ".join(sorted(names)[:5])
            raise CohortError(
                f"{NAME} is incomplete: {len(names):,} of {of:,} {what} ({some}). Unpack {root.name} again ({SOURCE})."
            )


def _rows(root: Path, files: dict[str, Path], used: list[tuple], tested: set[str]) -> tuple[list[dict], list[str]]:
    squeeze = median(width / height for *_, width, height in used)
    view = classes.view_of(((width / squeeze * height) ** 0.5, cell_type) for _, cell_type, *_, width, height in used)
    testing = {told[1] for picture in tested if (told := _NAME.fullmatch(Path(picture).stem))}
    moved = {picture for picture, _, patient, *_ in used if patient in testing and picture not in tested}
    rows = []
    for number, (picture, cell_type, patient, diagnosis, immature, x, y, width, height) in enumerate(used):
        relative = files[picture].relative_to(root).as_posix()
        row = {
            "image_id": f"{NAME}/{relative}#{number}", "path": relative, "cell_type": cell_type,
            "patient_id": f"{NAME}/{patient}", "smear_id": f"{NAME}/{patient}", "diagnosis": diagnosis,
            "immature": immature, "split": "test" if patient in testing else "train",
            "centre_x": x + width / 2, "centre_y": y + height / 2, "view": view * squeeze, "view_height": view,
        }  # fmt: skip
        rows.append(row)
    notes = [f"fields are {squeeze:.2f} of as wide as they should be, told by the median box; it is undone"]
    if moved:
        notes.append(f"{len(moved)} fields of patients who are on both sides of the source's split test as well")
    return rows, notes
