"""The Johns Hopkins cohort of APL and AML patients: CellaVision images in their original layout.

Source: Sidhom et al., npj Precision Oncology 5:38 (2021); images in the repository sidhomj/DeepAPL. Copyright Johns
Hopkins University 2020; no licence is granted, so the images stay where they are and are never copied.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from alnet_lib.cohorts.adapters import layout
from alnet_lib.cohorts.adapters.source import Source, register
from alnet_lib.cohorts.manifest import Cohort, CohortError

BLASTS = "Blast, no lineage spec"


PROMYELOCYTES = "Promyelocyte"


IMMATURE = (BLASTS, PROMYELOCYTES)
"""Names of the cells that raise suspicion and vote, whatever the patient's diagnosis: a reader does not know it."""


TEST_FRACTION = 0.15
"""Share of the discovery patients held out for testing, as the paper holds out 15% of its smears."""


@register(
    Source(
        name="jhu_apl",
        kind="public",
        images="15,632 signed, 106 patients",
        citation="Sidhom et al., npj Precision Oncology 5:38 (2021)",
        licence="none granted (copyright Johns Hopkins University 2020): local use only",
        home="repository sidhomj/DeepAPL on GitHub, folder Data",
        about=__doc__,
        download="the folder Data of the repository",
        layout="Data/master.csv; Data/All/Patient_NN/[accession or date/]Signed slides/<cell type>/<CODE>_<number>.jpg",
        scale=(
            "0.1 micrometre a pixel (CellaVision, 100x oil; red cells measure 7.7 micrometres); the image is used whole"
        ),
        identifiers="patient; accession or date folders part a patient's smears",
        oddities=(
            "mostly 360x363 pixels, some 360x365, 400x363, 416x363; some JPEG files end early; some patients have no "
            "blast; prospective ones may lack a folder; some pictures lie in two folders of a patient with two labels; "
            "Unsigned slides repeat signed cells"
        ),
        checked="every discovery patient of master.csv has signed pictures",
        # By folder. File prefixes are not used: `PMO_` stands before more than one type.
        mapping={
            "Lymphocyte": "lymphocyte",
            "Monocyte": "monocyte",
            "Lymphocyte, variant": "reactive_lymphocyte",
        },
        # A promyelocyte of an AML patient is not the abnormal one of APL, so it has no label; a reader would give it
        # to the system all the same, so it votes.
        immature={
            ("APL", PROMYELOCYTES): "abnormal_promyelocyte",
            ("APL", BLASTS): "abnormal_promyelocyte",
            ("AML", BLASTS): "myeloblast",
            ("AML", PROMYELOCYTES): "",
        },
        why={
            "Lymphocyte": "the same cell",
            "Monocyte": "the same cell",
            "Lymphocyte, variant": "variant is another word for reactive",
            "Promyelocyte, APL patient": "the malignant cells of APL",
            "Blast, no lineage spec, APL patient": "in APL what is signed as a blast is the malignant promyelocyte",
            "Blast, no lineage spec, AML patient": "myeloid by the patient's diagnosis",
            "Promyelocyte, AML patient": (
                "not the abnormal one of APL, so it has none of the labels: it trains no network and no classifier of "
                "cells and is judged by none, but votes, because who reads a smear does not know the diagnosis; so it "
                "is also among the cells from which the learned vote learns the patient's diagnosis"
            ),
            "Eosinophil, Band neutrophil and the like": "no class of ALNet",
            "Unsigned slides": "no label, and they repeat signed cells",
        },
    )
)
def read(source: Source, data: Path | None, *, seed: int = 2021) -> Cohort:
    """Read a folder in the original layout; `data` holds `Data/`, or is `Data` itself.

    Besides the contract's columns the manifest has age, sex, immature (the cells that raise suspicion: blasts and
    promyelocytes of every patient), n_signed and n_promyelocyte_signed (all signed cells of the patient, those left out
    too). A promyelocyte of an AML patient has an empty `cell_type`: it votes without a label.

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
        The folder is not this data set, discovery patients of master.csv have no signed picture, or patients'
        diagnoses cannot be read.
    """
    folder = layout.find(source, data, ["master.csv", "All"])
    if not any((folder / "All").glob("Patient_*")):
        raise CohortError(f"{folder / 'All'} holds no Patient_ folder: unpack the whole archive ({source.home})")
    master = pd.read_csv(folder / "master.csv", dtype=str)
    if missing := {"Patient_ID", "Diagnosis", "Cohort"} - set(master.columns):
        raise CohortError(f"{folder / 'master.csv'} lacks the columns {', '.join(sorted(missing))}")
    master = master.dropna(subset="Patient_ID").drop_duplicates("Patient_ID").set_index("Patient_ID")
    files = {patient: layout.walk(folder / "All" / patient) for patient in master.index}
    master["Cohort"] = master["Cohort"].fillna("")
    discovery = master.index[~master["Cohort"].map(_prospective)]
    there = sum(any(map(_signed, files[patient])) for patient in discovery)
    layout.complete(source, {"discovery patients": there}, {"discovery patients": len(discovery)})
    rows: list[dict] = []
    excluded: Counter[str] = Counter()
    for patient, about in master.iterrows():
        if not (folder / "All" / patient).is_dir():
            excluded["patient in master.csv without a folder (patients)"] += 1
            continue
        rows += _patient(source, folder, patient, about, files[patient], excluded)
    if not rows:
        raise CohortError(f"{folder} holds no signed cell image: the archive is unpacked in part only ({source.home})")
    manifest = pd.DataFrame(rows)
    manifest["split"] = manifest["patient_id"].map(_splits(manifest, seed))
    usable = manifest.groupby("patient_id")["immature"].any()
    none = int((~usable).sum())
    unlabelled = manifest["cell_type"].eq("")
    theirs = manifest.loc[unlabelled, "patient_id"].nunique()
    notes = [
        f"{manifest['patient_id'].nunique()} of {len(master)} patients of master.csv have images here",
        f"{none} of them have no immature cell, so their smears have no vote" if none else "",
        f"{int(unlabelled.sum())} promyelocytes of {theirs} AML patients vote without a label" if theirs else "",
        "discovery patients are split into train and test by patient; prospective patients are external",
    ]
    left_out = pd.DataFrame(sorted(excluded.items(), key=lambda item: -item[1]), columns=["reason", "count"])
    return Cohort(
        source.name,
        source.kind,
        folder,
        manifest,
        source.citation,
        source.licence,
        tuple(note for note in notes if note),
        left_out,
    )


def _prospective(cohort: str) -> bool:
    return cohort.strip().lower().startswith("validation")


def _signed(path: Path) -> bool:
    return "signed slides" in (part.lower() for part in path.parts) and path.suffix.lower() == ".jpg"


def _patient(
    source: Source, folder: Path, patient: str, about: pd.Series, files: list[Path], excluded: Counter
) -> list[dict]:
    diagnosis = about["Diagnosis"]
    if diagnosis not in ("APL", "AML"):
        raise CohortError(f"{folder / 'master.csv'}: {patient} has the unknown diagnosis `{diagnosis}`")
    prospective = _prospective(about["Cohort"])
    signed = [path for path in files if _signed(path)]
    excluded["unsigned slides (repeat signed cells, unlabelled)"] += sum("Unsigned slides" in p.parts for p in files)
    excluded["not an image (Thumbs.db and the like)"] += sum(p.suffix.lower() == ".db" for p in files)
    promyelocytes = sum(path.parent.name == PROMYELOCYTES for path in signed)
    rows = []
    for path in signed:
        kind = path.parent.name
        cell_type = source.mapping.get(kind, source.immature.get((diagnosis, kind)))
        if cell_type is None:
            excluded[f"signed as {kind}, {diagnosis} patient"] += 1
            continue
        relative = path.relative_to(folder)
        session = path.relative_to(folder / "All" / patient).parts[0]
        smear = patient if session.lower() == "signed slides" else f"{patient}/{session}"
        rows.append(
            {
                "image_id": f"{smear}/{kind}/{path.stem}",
                "path": relative.as_posix(),
                "cell_type": cell_type,
                "smear_id": smear,
                "patient_id": patient,
                "site": "JHU-prospective" if prospective else "JHU",
                "diagnosis": diagnosis,
                "subtype": "",
                "split": "",
                "age": pd.to_numeric(about.get("Age at Diagnosis"), errors="coerce"),
                "sex": str(about.get("Gender", "")),
                "immature": kind in IMMATURE,
                "n_signed": len(signed),
                "n_promyelocyte_signed": promyelocytes,
            }
        )
    return rows


def _splits(manifest: pd.DataFrame, seed: int) -> dict[str, str]:
    """Patient -> split: prospective patients external, discovery patients 85/15 within each diagnosis."""
    patients = manifest.groupby("patient_id", sort=True).agg(site=("site", "first"), diagnosis=("diagnosis", "first"))
    split = {patient: "external" for patient in patients.index[patients["site"].eq("JHU-prospective")]}
    rng = np.random.default_rng([seed, 0x4A4855])
    for _, members in patients[patients["site"].eq("JHU")].groupby("diagnosis"):
        order = rng.permutation(members.index.to_numpy())
        held = round(TEST_FRACTION * len(order)) if len(order) > 1 else 0
        held = max(held, 1) if len(order) > 1 else held
        split |= {patient: "test" if i < held else "train" for i, patient in enumerate(order)}
    return split
