"""The cohort counted as the paper's Tables 1, 2 and 6 count theirs, and patients on both sides of the split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import LABELS, MODULE_2_CLASSES, TO_MODULE_2
from alnet_lib.diagnosis.tasks import MODULES
from alnet_lib.experiments.datasets import planned
from alnet_lib.paper.printed import record, table
from alnet_lib.paper.values import Result, Value

if TYPE_CHECKING:
    from alnet_lib.cohorts.manifest import Cohort
    from alnet_lib.core.profile import Profile

SPLITS = ("train", "test")

NAMES = {label: name for name, label in LABELS.items()}
"""Label -> name of a cell type or class."""

NO_LABEL = "no label"
"""Row of the images that have none of the seven cell types."""


def _home(cohort: Cohort) -> pd.DataFrame:
    """Images of training and testing; smear and patient are missing where the source does not identify them."""
    return cohort.identified[cohort.identified["split"].isin(SPLITS)]


def _counts(manifest: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    home = manifest[manifest["split"].isin(SPLITS)]
    grouped = home.groupby(by, sort=False)
    frame = pd.DataFrame({"patients": grouped["patient_id"].nunique()})
    for split in SPLITS:
        part = home[home["split"].eq(split)].groupby(by, sort=False)
        frame[f"images_{split}"] = part.size().reindex(frame.index, fill_value=0)
        frame[f"smears_{split}"] = part["smear_id"].nunique().reindex(frame.index, fill_value=0)
    return frame


def unlabelled(cohort: Cohort) -> tuple[int, str]:
    """Count the images of training and testing without a label, and say how the tables count them.

    Parameters
    ----------
    cohort : Cohort
        A cell without a label has an empty `cell_type`; it may vote.

    Returns
    -------
    tuple of (int, str)
        Their number, and a sentence to put behind a caption (with a space before it); empty where there is none.
    """
    home = _home(cohort)
    without = home[home["cell_type"].eq("")]
    if not len(without):
        return 0, ""
    flags = without[[column for column in ("immature", "smear_known") if column in without]]
    voting = int(flags.astype(bool).all(axis=1).sum())
    note = (
        f" {len(without):,} images have no label: they count by diagnosis (Table 1), but have no class (Tables 2 and "
        f"6); {voting:,} of them vote."
    )
    return len(without), note


def table_1(cohort: Cohort) -> Result:
    """Patients and images by diagnosis and WHO subtype (Table 1).

    Parameters
    ----------
    cohort : Cohort
        Patient counts include only images with a patient ID.

    Returns
    -------
    Result
        Index diagnosis, subtype and a total; columns `patients`, `images_train`, `images_test`. Controls are left out,
        as in the paper. Images without a label are counted: their patient has a diagnosis. Facts: `unlabelled`, their
        number, and `note`, of `unlabelled`.
    """
    manifest = cohort.identified[cohort.identified["diagnosis"].ne("control")]
    frame = _counts(manifest, ["diagnosis", "subtype"])[["patients", "images_train", "images_test"]]
    frame.loc[("total", ""), :] = frame.sum()
    frame = frame.astype(int)
    return Result(frame, tuple(_values(frame, "table_01")), _facts(cohort))


def table_2(cohort: Cohort) -> Result:
    """Images, smears and patients by cell type beside the printed numbers (Table 2).

    Parameters
    ----------
    cohort : Cohort
        Smear and patient counts include only images with a smear and a patient ID.

    Returns
    -------
    Result
        Index cell type and a total of the labelled images; below it, where there are any, `no label`: images that have
        none of the seven types, train nothing and are judged by nothing at cell level, but may vote. The values include
        the totals that the paper prints in its text. Facts as `table_1`.
    """
    frame = _counts(cohort.identified, ["cell_type"])
    order = [name for name in LABELS if name in frame.index]
    columns = ["images_train", "images_test", "smears_train", "smears_test", "patients"]
    without = frame.reindex(columns=columns).loc[frame.index == ""]
    frame = frame.loc[order, columns]
    frame.loc["total"] = frame.sum()
    frame.loc["total", "patients"] = _home(cohort)["patient_id"].nunique()
    if len(without):
        frame.loc[NO_LABEL] = without.iloc[0]
    shown = _beside(frame.astype(int), "02")
    return Result(shown, (*_values(shown.rename(index=NAMES), "table_02"), *_totals(cohort)), _facts(cohort))


def table_6(cohort: Cohort, profile: Profile) -> Result | Unavailable:
    """Images that train, validate and test the two modules (Table 6).

    Parameters
    ----------
    cohort : Cohort
        Smear and patient counts include only images with a smear and a patient ID.
    profile : Profile
        Its validation split is the one that the trainings use.

    Returns
    -------
    Result or Unavailable
        Index class, a module with fewer than two classes left out; unavailable where that leaves nothing. Images
        without a label have no class and are not counted. Facts as `table_1`.
    """
    parts = []
    for spec in MODULES:
        own = planned(cohort.manifest, spec, profile)
        if isinstance(own, Unavailable):
            continue
        manifest = cohort.identified.assign(cls=spec.reference(cohort.identified)).dropna(subset="cls")
        frame = _counts(manifest, ["cls"]).reindex([name for name in spec.classes if name in own.index])
        frame = frame.rename(columns={"images_test": "testing", "patients": "persons"})
        frame[["train", "validation"]] = own[["train", "validation"]]
        parts.append(frame[["train", "validation", "testing", "smears_train", "smears_test", "persons"]])
    if not parts:
        return Unavailable("the training split has fewer than two classes")
    shown = _beside(pd.concat(parts).astype(int), "06")
    return Result(shown, tuple(_values(shown.rename(index=NAMES), "table_06")), _facts(cohort))


def _facts(cohort: Cohort) -> dict[str, int | str]:
    count, note = unlabelled(cohort)
    return {"unlabelled": count, "note": note}


def _beside(frame: pd.DataFrame, number: str) -> pd.DataFrame:
    printed = table(number).reindex(frame.index)
    named = frame.rename(columns=str)
    for column in printed.columns:
        if column in frame:
            # Counts stay whole where the paper has no such row.
            own = printed[column].astype("Int64") if printed[column].isna().any() else printed[column]
            named.insert(named.columns.get_loc(column) + 1, f"{column}, paper", own)
    named.index = pd.Index([LABELS.get(name, name) for name in frame.index], name="cell type")
    return named


def _values(frame: pd.DataFrame, item: str) -> list[Value]:
    """The counts of a frame that is indexed and named as the record of a printed table."""
    known, found = record(), []
    for row, line in frame.iterrows():
        for column, count in line.items():
            id = f"{item}.{row if isinstance(row, str) else row[-1] or row[0]}.{column}"
            if id in known.index and pd.notna(count):
                found.append(Value.of(id, count))
    return found


def _totals(cohort: Cohort) -> list[Value]:
    """Counts that the paper prints in its text, without external images.

    Unknown ones are left out: smears without IDs, and patients of a diagnosis with images that lack a patient ID.
    """
    home = _home(cohort)
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


def smear_sizes(cohort: Cohort) -> Result | Unavailable:
    """Cells per smear and smears per patient, by split and diagnosis.

    Parameters
    ----------
    cohort : Cohort
        Only images with a smear ID are counted.

    Returns
    -------
    Result or Unavailable
        Index split, diagnosis; columns `smears`, `patients`, `cells`, `cells a smear`, `smears a patient`.
    """
    named = cohort.identified.dropna(subset="smear_id")
    if not len(named):
        return Unavailable("the source names no smears")
    sizes = named.groupby(["split", "diagnosis"]).agg(
        smears=("smear_id", "nunique"), patients=("patient_id", "nunique"), cells=("image_id", "size")
    )
    sizes["cells a smear"] = (sizes["cells"] / sizes["smears"]).round(1)
    sizes["smears a patient"] = (sizes["smears"] / sizes["patients"]).round(2)
    return Result(sizes)


def both_sides(cohort: Cohort) -> Result | Unavailable:
    """Patients with smears in training and in testing, and the testing smears that are theirs.

    Parameters
    ----------
    cohort : Cohort
        Only images with a patient ID are counted.

    Returns
    -------
    Result or Unavailable
        Index diagnosis; columns `patients`, `on both sides`, `testing smears`, `of patients trained on`. Facts:
        `on_both_sides`, `testing_smears`, `trained_on`, the sums.
    """
    home = _home(cohort).dropna(subset="patient_id")
    if not len(home):
        return Unavailable("the source names no patients")
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
    frame = frame.fillna(0).astype(int)
    facts = {
        "on_both_sides": int(frame["on both sides"].sum()),
        "testing_smears": int(frame["testing smears"].sum()),
        "trained_on": int(frame["of patients trained on"].sum()),
    }
    return Result(frame, facts=facts)


def overview(cohort: Cohort) -> dict[str, int]:
    """The size of a cohort and of its leak between training and testing, for the audit's findings.

    Parameters
    ----------
    cohort : Cohort
        Smear and patient counts include only images with IDs.

    Returns
    -------
    dict
        `images`, `smears`, `patients`, `unidentified` (images without a smear ID), `unlabelled` (images without a
        label, of all splits), and the facts of `both_sides`, 0 where there are no patient IDs.
    """
    named = cohort.identified.dropna(subset="smear_id")
    sides = both_sides(cohort)
    none = {"on_both_sides": 0, "testing_smears": 0, "trained_on": 0}
    return {
        "images": len(cohort.manifest),
        "smears": int(named["smear_id"].nunique()),
        "patients": int(named["patient_id"].nunique()),
        "unidentified": len(cohort.manifest) - len(named),
        "unlabelled": int(cohort.manifest["cell_type"].eq("").sum()),
        **(none if isinstance(sides, Unavailable) else sides.facts),
    }
