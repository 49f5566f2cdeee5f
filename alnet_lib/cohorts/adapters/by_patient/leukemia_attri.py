"""Cells boxed in fields of view of leukaemia patients (LeukemiaAttri): the only public source with all six groups.

Each box of the subset H_100X_C1 (high-cost microscope, 100x, first camera) becomes a cell. The fields were squeezed to
a square; the shape of the median box tells how much, and it is undone. The crop around a box's middle is the same for
all cells, as wide as makes the median cell as large as in a CellaVision picture, so that differences in size remain.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from statistics import median

from alnet_lib.cohorts.adapters import layout
from alnet_lib.cohorts.adapters.source import Source, register
from alnet_lib.cohorts.manifest import Cohort, CohortError

SUBSET = "H_100X_C1|H_100x_C1"


_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}


_NAME = re.compile(r"(\d+)_.*_([A-Z]+)")


LABELLED = {
    ("APL", "abnormalpromyelocyte"): "abnormal_promyelocyte",
    ("AML", "myeloblast"): "myeloblast",
    ("AML", "monoblast"): "monoblast",
    ("ALL", "lymphoblast"): "b_lymphoblast",
}
"""(Diagnosis, immature category) -> cell type."""

UNLABELLED = {
    (diagnosis, category): ""
    for diagnosis in ("APL", "AML", "ALL")
    for _, category in LABELLED
    if (diagnosis, category) not in LABELLED
}
"""(Diagnosis, immature category) of the pairs that have none of the labels."""

_WHY_UNLABELLED = (
    "not the malignant cell of the patient's disease, or mislabelled; it votes all the same, because who reads a smear "
    "does not know the diagnosis"
)


@register(
    Source(
        name="leukemia_attri",
        kind="public",
        images="10,300 cells boxed in 2,400 fields of 47 patients",
        citation="Rehman et al., MICCAI 2024, arXiv 2405.10803",
        licence="CC BY-NC-SA 4.0",
        home="named by intelligentMachines-ITU/Blood-Cancer-Dataset-Lukemia-Attri-MICCAI-2024 on GitHub",
        about=__doc__,
        download="the folder H_100X_C1 alone, with Images and json_labels",
        layout=(
            "H_100X_C1/Images/{train,test}/<patient>_<field>_1000_<ALL, AML, APML, CLL or CML>.png and "
            "H_100X_C1/json_labels/{train,test}.json (COCO)"
        ),
        scale="unknown; the crop makes the median box as large as a cell of its type in a CellaVision picture",
        identifiers="patient and diagnosis, in the file's name",
        oddities=(
            "640x640 fields, squeezed to about 0.6 of their width; two APL patients only; 12 subsets "
            "of the same smears, of "
            "which one is used"
        ),
        checked="the pictures that its COCO files name are there, and no others",
        # Category name without case, spaces and signs -> cell type, whatever the diagnosis.
        mapping={
            "lymphocyte": "lymphocyte",
            "monocyte": "monocyte",
            "atypicallymphocyte": "reactive_lymphocyte",
        },
        # These four categories vote whatever the diagnosis, which a reader does not know.
        immature=LABELLED | UNLABELLED,
        why={
            "lymphocyte": "of patients with acute leukaemia; those of CLL are leukaemic and left out",
            "monocyte": "the same cell",
            "atypicallymphocyte": "atypical, taken as reactive; the word is used of leukaemic cells too",
            "abnormalpromyelocyte, APL patient": "the malignant cells of APL (APML in the file names)",
            "myeloblast, AML patient": "the same cell",
            "monoblast, AML patient": "the same cell",
            "lymphoblast, ALL patient": "B and T are not separated; B is the usual lineage",
            **{f"{category}, {diagnosis} patient": _WHY_UNLABELLED for diagnosis, category in UNLABELLED},
            "promonocyte": "between monoblast and monocyte, no class of ALNet",
            "any cell of a CLL or CML patient": "chronic leukaemias are no diagnosis of ALNet",
            "none, neutrophil, myelocyte and the like": "no class of ALNet",
        },
        # Last part of a file's name -> diagnosis; CLL and CML are none of ALNet's.
        diagnosis={"ALL": "ALL", "AML": "AML", "APML": "APL"},
    )
)
def read(source: Source, data: Path | None, *, seed: int = 2021) -> Cohort:
    """Read the boxed cells of the subset; patients of the source's test images are tested on, whole.

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
        The folder is not this data set, lacks a COCO file, pictures that its boxes name are missing, or pictures are
        there that no COCO file names.
    """
    parent = layout.find(source, data, [SUBSET])
    root = next(path for path in sorted(parent.iterdir()) if path.name in SUBSET.split("|"))
    there = layout.walk(root)
    files = {path.name: path for path in there if path.suffix.lower() in _SUFFIXES}
    boxes, named = _boxes([path for path in there if path.suffix.lower() == ".json"])
    if missing := [name for name in ("train", "test") if not named.get(name)]:
        lacking = " and no ".join(f"{name}.json" for name in missing)
        raise CohortError(
            f"{source.name} is incomplete: {root} has no COCO file {lacking}; "
            f"expected {source.layout}. Unpack {root.name} again ({source.home})."
        )
    _all_there(source, root, files, set().union(*named.values()))
    used, excluded = _usable(source, boxes)
    if not used:
        raise CohortError(
            f"{root} has no box of a known category and patient; expected {source.layout} ({source.home})"
        )
    rows, notes = _rows(source, root, files, used, named["test"])
    return layout.cohort(source, root, rows, seed, excluded=excluded, notes=notes)


def _usable(source: Source, boxes: set[tuple]) -> tuple[list[tuple], Counter]:
    """Boxes as (picture, cell type, patient, diagnosis, immature, x, y, width, height); the others by reason."""
    used: list[tuple] = []
    excluded: Counter[str] = Counter()
    for picture, category, *box in sorted(boxes):
        name, told = re.sub(r"[^a-z]", "", category.lower()), _NAME.fullmatch(Path(picture).stem)
        diagnosis = source.diagnosis.get(told[2]) if told else None
        immature = (diagnosis, name) in source.immature
        cell_type = source.immature.get((diagnosis or "", name), source.mapping.get(name))
        if told is None:
            excluded["file name tells no patient and diagnosis"] += 1
        elif diagnosis is None:
            excluded[f"patient with {told[2]}: no diagnosis of ALNet"] += 1
        elif cell_type is None:
            excluded[f"category {category}, {diagnosis} patient"] += 1
        elif min(box[2:]) <= 0:
            excluded["box without area"] += 1
        else:
            used.append((picture, cell_type, told[1], diagnosis, immature, *box))
    return used, excluded


def _boxes(files: list[Path]) -> tuple[set[tuple], dict[str, set[str]]]:
    """Boxes as (picture, category, x, y, width, height), and the pictures that COCO files name, by the files' names."""
    boxes: set[tuple] = set()
    named: dict[str, set[str]] = {}
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


def _all_there(source: Source, root: Path, files: dict[str, Path], named: set[str]) -> None:
    for what, names, of in (
        ("pictures that its COCO files name are missing", named - set(files), len(named)),
        ("pictures are in no COCO file, so one is missing", set(files) - named, len(files)),
    ):
        if names:
            some = ", ".join(sorted(names)[:5])
            raise CohortError(
                f"{source.name} is incomplete: {len(names):,} of {of:,} {what} ({some}). Unpack "
                f"{root.name} again ({source.home})."
            )


def _rows(
    source: Source, root: Path, files: dict[str, Path], used: list[tuple], tested: set[str]
) -> tuple[list[dict], list[str]]:
    squeeze = median(width / height for *_, width, height in used)
    high = layout.field_of_view_of(
        ((width / squeeze * height) ** 0.5, cell_type) for _, cell_type, *_, width, height in used if cell_type
    )
    testing = {told[1] for picture in tested if (told := _NAME.fullmatch(Path(picture).stem))}
    moved = {picture for picture, _, patient, *_ in used if patient in testing and picture not in tested}
    rows = []
    for number, (picture, cell_type, patient, diagnosis, immature, x, y, width, height) in enumerate(used):
        relative = files[picture].relative_to(root).as_posix()
        row = {
            "image_id": f"{source.name}/{relative}#{number}", "path": relative, "cell_type": cell_type,
            "patient_id": f"{source.name}/{patient}", "smear_id": f"{source.name}/{patient}", "diagnosis": diagnosis,
            "immature": immature, "split": "test" if patient in testing else "train",
            "centre_x": x + width / 2, "centre_y": y + height / 2,
            "field_of_view": high * squeeze, "field_of_view_height": high,
        }  # fmt: skip
        rows.append(row)
    notes = [f"fields were squeezed to {squeeze:.2f} of their width, by the median box; this is undone"]
    if moved:
        notes.append(f"{len(moved)} fields of patients on both sides of the source's split are tested on as well")
    return rows, notes
