"""The cohort at hand, counted as the paper's Tables 1, 2 and 6 count theirs, and looked at for leaks and confounds."""

from __future__ import annotations

import cv2
import numpy as np
import pandas as pd

from alnet_lib import paper, segmentation
from alnet_lib.cohorts.classes import VIEW_MICROMETRES, across
from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.cohorts.vocabulary import LABELS, MODULE_2_CLASSES, TO_MODULE_2
from alnet_lib.images import perceptual_hashes, picture
from alnet_lib.results import Value

SPLITS = ("train", "test")


def _counts(manifest: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Images and smears by split, and persons, for each value of `by`; external images are not counted.

    manifest: Cohort.people, so that images whose smear or person no one named add to neither count.
    """
    home = manifest[manifest["split"].isin(SPLITS)]
    grouped = home.groupby(by, sort=False)
    frame = pd.DataFrame({"patients": grouped["patient_id"].nunique()})
    for split in SPLITS:
        part = home[home["split"].eq(split)].groupby(by, sort=False)
        frame[f"images_{split}"] = part.size().reindex(frame.index, fill_value=0)
        frame[f"smears_{split}"] = part["smear_id"].nunique().reindex(frame.index, fill_value=0)
    return frame


def table_1(cohort: Cohort) -> pd.DataFrame:
    """Patients and images by diagnosis and subtype; controls are not in the paper's Table 1."""
    manifest = cohort.people[cohort.people["diagnosis"].ne("control")]
    frame = _counts(manifest, ["diagnosis", "subtype"])[["patients", "images_train", "images_test"]]
    frame.loc[("total", ""), :] = frame.sum()
    return frame.astype(int)


def table_2(cohort: Cohort) -> pd.DataFrame:
    """Images, smears and persons by cell type, the printed numbers beside them."""
    frame = _counts(cohort.people, ["cell_type"])
    order = [name for name in LABELS if name in frame.index]
    frame = frame.loc[order, ["images_train", "images_test", "smears_train", "smears_test", "patients"]]
    frame.loc["total"] = frame.sum()
    home = cohort.people[cohort.people["split"].isin(SPLITS)]
    frame.loc["total", "patients"] = home["patient_id"].nunique()
    return _beside(frame.astype(int), "02")


def table_6(cohort: Cohort, counts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Train, validation and testing images of both modules.

    counts: `module_1` and `module_2` -> frame by class with train and validation (alnet.planned); a module that cannot
    be trained is left out.
    """
    from alnet_lib.alnet import TASKS

    parts = []
    for task, own in counts.items():
        mapping, classes = TASKS[task]
        manifest = cohort.people.assign(cls=cohort.people["cell_type"].map(mapping)).dropna(subset="cls")
        frame = _counts(manifest, ["cls"]).reindex([name for name in classes if name in own.index])
        frame = frame.rename(columns={"images_test": "testing", "patients": "persons"})
        frame[["train", "validation"]] = own[["train", "validation"]]
        parts.append(frame[["train", "validation", "testing", "smears_train", "smears_test", "persons"]])
    return _beside(pd.concat(parts).astype(int), "06") if parts else pd.DataFrame()


def _beside(frame: pd.DataFrame, number: str) -> pd.DataFrame:
    printed = paper.table(number).reindex(frame.index)
    named = frame.rename(columns=str)
    for column in printed.columns:
        if column in frame:
            named.insert(named.columns.get_loc(column) + 1, f"{column}, paper", printed[column])
    named.index = pd.Index([LABELS.get(name, name) for name in frame.index], name="cell type")
    return named


def values(frame: pd.DataFrame, table: str) -> list[Value]:
    """The counts of a frame indexed and named as the record of a printed table."""
    known, found = paper.record(), []
    for row, line in frame.iterrows():
        for column, count in line.items():
            id = f"{table}.{row if isinstance(row, str) else row[-1] or row[0]}.{column}"
            if id in known.index and pd.notna(count):
                found.append(Value.of(id, count))
    return found


def totals(cohort: Cohort) -> list[Value]:
    """Images, smears and persons that the paper prints in words, counted in this cohort without external images.

    What is unknown is left out: smears that no source names, persons of a diagnosis some of whose images have no name.
    """
    home = cohort.people[cohort.people["split"].isin(SPLITS)]
    outside = cohort.manifest[cohort.manifest["split"].eq("external")]
    by_diagnosis = home.groupby("diagnosis")["patient_id"]
    known = by_diagnosis.nunique().where(by_diagnosis.count() == by_diagnosis.size())
    controls, infections = known.get("control", 0), known.get("infection", 0)
    leukaemia = known.reindex(["APL", "AML", "ALL"], fill_value=0).sum(skipna=False)
    smears = {split: home.loc[home["split"].eq(split), "smear_id"].nunique() for split in SPLITS}
    group = outside["cell_type"].map(TO_MODULE_2)
    found = {
        "text.images": len(home),
        "text.smears": sum(smears.values()) or None,
        "text.healthy_controls": controls,
        "text.infections": infections,
        "text.acute_leukaemia": leukaemia,
        "table_02.healthy_controls.persons": controls,
        "table_02.infections.persons": infections,
        "table_02.acute_leukaemia.persons": leukaemia,
        "table_02.total.persons": known.sum(skipna=False),
        "table_06.healthy_controls.persons": controls,
        "text.external.images": len(outside),
        "text.external.hospitals": outside["site"].nunique(),
        **{f"text.external.{name}": group.eq(name).sum() for name in MODULE_2_CLASSES},
        "text.s4.blast_images": home["cell_type"].isin(TO_MODULE_2).sum(),
    }
    for split, name in zip(SPLITS, ("training", "testing"), strict=True):
        found[f"text.{name}_images"] = home["split"].eq(split).sum()
        if found["text.smears"]:
            found[f"text.{name}_smears"] = smears[split]
            found[f"text.{name}_share"] = 100 * smears[split] / found["text.smears"]
    return [Value.of(id, n) for id, n in found.items() if pd.notna(n)]


def both_sides(cohort: Cohort) -> pd.DataFrame:
    """Patients with smears in training and in testing, by diagnosis, and how many testing smears are theirs."""
    home = cohort.people[cohort.people["split"].isin(SPLITS)].dropna(subset="patient_id")
    leaking = home.groupby("patient_id")["split"].nunique().eq(2)
    home = home.assign(leaks=home["patient_id"].map(leaking).astype(bool))
    test = home[home["split"].eq("test")]
    frame = pd.DataFrame(
        {
            "patients": home.groupby("diagnosis")["patient_id"].nunique(),
            "on both sides": home[home["leaks"]].groupby("diagnosis")["patient_id"].nunique(),
            "testing smears": test.groupby("diagnosis")["smear_id"].nunique(),
            "of patients trained on": test[test["leaks"]].groupby("diagnosis")["smear_id"].nunique(),
        }
    )
    return frame.fillna(0).astype(int)


def near_duplicates(cohort: Cohort, pixels: np.ndarray, *, bits: int = 4) -> pd.DataFrame:
    """Pairs of images whose 64-bit perceptual hashes differ in at most `bits`: first, second, distance, splits, types.

    Candidates are compared within blocks of 2,000 rows, so memory stays below 100 MB.
    """
    hashes = np.packbits(perceptual_hashes(pixels), axis=1).view(np.uint64).ravel()
    manifest, rows = cohort.manifest, []
    for first in range(0, len(hashes), 2000):
        distance = np.bitwise_count(hashes[first : first + 2000, None] ^ hashes[None, :])
        for i, j in np.argwhere(distance <= bits):
            if first + i < j:
                a, b = manifest.iloc[first + i], manifest.iloc[j]
                rows.append(
                    (
                        a["path"],
                        b["path"],
                        int(distance[i, j]),
                        a["split"] != b["split"],
                        a["cell_type"] != b["cell_type"],
                    )
                )
    return pd.DataFrame(rows, columns=["first", "second", "bits", "across splits", "other cell type"])


def colour_and_sharpness(
    cohort: Cohort, pixels: np.ndarray, *, limit: int = 400, rng: np.random.Generator
) -> pd.DataFrame:
    """Background colour (Lab of the brightest tenth) and sharpness (variance of the Laplacian) by site, medians.

    At most `limit` images a site, drawn at random.
    """
    rows = []
    for site, members in cohort.manifest.groupby("site", sort=True).indices.items():
        for i in rng.permutation(members)[:limit]:
            lab = cv2.cvtColor(pixels[i].astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
            bright = lab[:, :, 0] >= np.percentile(lab[:, :, 0], 90)
            grey = cv2.cvtColor(pixels[i], cv2.COLOR_RGB2GRAY)
            rows.append((site or "(none)", *lab[bright].mean(0), cv2.Laplacian(grey, cv2.CV_64F).var()))
    frame = pd.DataFrame(rows, columns=["site", "background L", "background a", "background b", "sharpness"])
    medians = frame.groupby("site").median().round(1)
    return medians.assign(images=frame.groupby("site").size())


RED_CELLS_ENOUGH, CELLS_ENOUGH = 20, 10
"""Red cells that a source needs for its scale to be judged, and cells of a type for its size to be compared."""
RED_CELL_USUAL = (6.3, 8.7)
"""Micrometres: a source whose red cells are smaller or larger is not at the scale used."""
SCALES_APART, TYPES_APART = 1.15, 1.4
"""Ratios beyond which two sources are not at one scale: of their red cells, of their cells of one type."""


def sizes(cohort: Cohort, *, rng: np.random.Generator, limit: int = 25, allow_truncated: bool = False) -> pd.DataFrame:
    """Median diameters in micrometres of cells and of the red cells around them, by source (or site) and cell type.

    At most `limit` pictures of each, drawn at random, as wide as the networks see them before the crop: 36 micrometres.
    Columns: source, cell type, cells (segmented), cell, red cells (whole and alone), red cell.
    """
    by = ["source" if "source" in cohort.manifest else "site", "cell_type"]
    files, places, rows = cohort.files, cohort.places, []
    for (source, cell_type), members in cohort.manifest.groupby(by, sort=True).indices.items():
        cells, red = [], []
        for i in rng.permutation(members)[:limit]:
            pixels = picture(files[i], places[i], allow_truncated=allow_truncated)
            scale = VIEW_MICROMETRES / min(pixels.shape[:2])
            found = segmentation.segment(pixels)
            if found is not None and not found.touches_border:
                cells.append(scale * across(found.cell))
            red += list(scale * segmentation.red_cells(pixels))
        name = LABELS.get(cell_type, "(unlabelled)")
        rows.append((source or "(none)", name, len(cells), _median(cells), len(red), _median(red)))
    return pd.DataFrame(rows, columns=["source", "cell type", "cells", "cell", "red cells", "red cell"])


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else float("nan")


def scale_sentences(frame: pd.DataFrame) -> list[str]:
    """What `sizes` says of the sources' scales: a sentence a source, and warnings.

    Warned of: red cells of an unusual size, red cells of two sources that differ by SCALES_APART, and, since at a very
    wrong scale no red cell is recognised, cells of one type that differ by TYPES_APART.
    """
    total = frame.groupby("source")["red cells"].sum()
    width = (frame["red cell"].fillna(0) * frame["red cells"]).groupby(frame["source"]).sum() / total
    judged, lines = width[total.ge(RED_CELLS_ENOUGH)], []
    for source, n in total.items():
        if source not in judged:
            lines.append(f"The scale of {source} cannot be judged by red cells: {n} lie whole and alone.")
            continue
        usual = RED_CELL_USUAL[0] <= judged[source] <= RED_CELL_USUAL[1]
        told = f"Red cells of {source} are {judged[source]:.1f} micrometres wide at the scale used ({n} measured)"
        lines.append(f"{told}." if usual else f"{told}: **a warning**, 7 to 8 are usual.")
    if len(judged) > 1 and judged.max() > SCALES_APART * judged.min():
        apart = f"**a warning**: {judged.idxmax()} and {judged.idxmin()} are not at one scale"
        lines.append(f"By their red cells, {apart}, so size may tell the source.")
    for cell_type, own in frame[frame["cells"].ge(CELLS_ENOUGH)].groupby("cell type"):
        size = own.set_index("source")["cell"]
        if len(size) > 1 and size.max() > TYPES_APART * size.min():
            lines.append(
                f"{cell_type} are {size.max():.1f} micrometres wide in {size.idxmax()} and {size.min():.1f} in "
                f"{size.idxmin()}: **a warning**, the two may not be at one scale."
            )
    return lines
