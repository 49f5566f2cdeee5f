"""APL against AML per patient: scores, ROC curves, differences from a plain baseline."""

from __future__ import annotations

from typing import Any

import pandas as pd

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import auc, roc

SCORES = {
    "vote": "vote: share of immature cells predicted as abnormal promyelocyte",
    "probability": "mean probability of abnormal promyelocyte over immature cells",
    "learned": "learned vote: gated attention over immature cells",
    "features": "linear discriminant on handcrafted features, mean over immature cells",
    "fraction": "baseline: promyelocytes among all signed cells",
}
"""Column of a score -> what it is, as tables and figures name it."""

_MISSING = {
    "external": "it needs external APL and AML patients",
    "test": "the testing split has no APL or no AML patient",
}


def scores(
    cells: pd.DataFrame | Unavailable,
    features: pd.Series | Unavailable | None = None,
    learned: pd.Series | Unavailable | None = None,
) -> pd.DataFrame | Unavailable:
    """Score every patient of APL or AML for APL.

    Parameters
    ----------
    cells : DataFrame or Unavailable
        Predictions of all splits, with `eligible`; `n_signed` and `n_promyelocyte_signed` where the cohort knows them.
    features : Series, Unavailable or None
        Probability of APL by cell, with the index of the eligible cells, of `experiments.classical.apl_probability`.
    learned : Series, Unavailable or None
        Probability of APL by patient, of `experiments.attention_vote.apl_probability`.

    Returns
    -------
    DataFrame or Unavailable
        One row a patient: `patient_id`, `diagnosis`, `split`, the scores (columns as SCORES, in [0, 1]),
        `n_cells` (eligible ones), `apl` (bool). The probability is that of abnormal promyelocyte against blast. A
        patient without eligible cells keeps the baseline; the other scores are NaN.
    """
    if isinstance(cells, Unavailable):
        return cells
    own = cells[cells["diagnosis"].isin(["APL", "AML"])]
    patients = own.groupby("patient_id").agg(diagnosis=("diagnosis", "first"), split=("split", "first"))
    chosen = own[own["eligible"]]
    promyelocyte = MODULE_1.predicted(chosen).eq("abnormal_promyelocyte")
    patients["vote"] = promyelocyte.groupby(chosen["patient_id"]).mean()
    p_promyelocyte, p_blast = (chosen[f"{MODULE_1.prefix}_{name}"] for name in ("abnormal_promyelocyte", "blast"))
    both = p_promyelocyte + p_blast
    share = (p_promyelocyte / both.where(both > 0)).fillna(0.5)
    patients["probability"] = share.groupby(chosen["patient_id"]).mean()
    if isinstance(features, pd.Series):
        patients["features"] = features.groupby(chosen["patient_id"]).mean()
    if isinstance(learned, pd.Series) and len(learned):
        patients["learned"] = learned
    patients["n_cells"] = chosen.groupby("patient_id").size().reindex(patients.index, fill_value=0)
    if "n_signed" in own:
        first = own.groupby("patient_id")[["n_promyelocyte_signed", "n_signed"]].first()
        patients["fraction"] = first["n_promyelocyte_signed"] / first["n_signed"]
    return patients.assign(apl=patients["diagnosis"].eq("APL")).reset_index()


def external_patients(cells: pd.DataFrame) -> str:
    """Say for captions whose cells the external ones are: new patients are not always those of another hospital.

    Parameters
    ----------
    cells : DataFrame
        All splits, with `site` and `split`: predictions or a manifest.

    Returns
    -------
    str
        `later patients of the same hospital` where every external site is a training or testing site followed by
        `-prospective`, as the Johns Hopkins source has it; else `external patients`.
    """
    outside = cells["split"].eq("external")
    home, sites = set(cells.loc[~outside, "site"]), set(cells.loc[outside, "site"])
    later = bool(sites) and all(site.removesuffix("-prospective") in home - {site} for site in sites)
    return "later patients of the same hospital" if later else "external patients"


def having(patients: pd.DataFrame, split: str, *scores: str) -> pd.DataFrame:
    """Give the patients of a split that have all of some scores.

    Parameters
    ----------
    patients : DataFrame
        Of `scores`.
    split : str
        `external` or `test`.
    *scores : str
        Keys of SCORES.

    Returns
    -------
    DataFrame
        Rows of `patients`; none where a score is missing altogether.
    """
    if not set(scores) <= set(patients):
        return patients.iloc[:0]
    return patients[patients["split"].eq(split)].dropna(subset=list(scores))


@if_available
def curves(patients: pd.DataFrame, split: str) -> Result | Unavailable:
    """Give the ROC of each score on the patients of a split.

    Parameters
    ----------
    patients : DataFrame
        Of `scores`.
    split : str
        `external` or `test`.

    Returns
    -------
    Result or Unavailable
        Frame: `score`, `AUC` in [0, 1], the columns of `Interval.columns`, `APL patients`, `AML patients`. Values:
        `apl.<split>.<score>.auc`. Facts: `curves` (name of a score to curve, low, high). Unavailable where the split
        has no APL or no AML patient.
    """
    found, rows, values = {}, [], []
    for score, title in SCORES.items():
        own = having(patients, split, score)
        if own["apl"].all() or not own["apl"].any():
            continue
        area = auc.auc(own["apl"], own[score], own)
        found[title] = (roc.curve(own["apl"].to_numpy(), own[score].to_numpy()), area.low, area.high)
        sizes = {"APL patients": int(own["apl"].sum()), "AML patients": int((~own["apl"]).sum())}
        rows.append({"score": title, "AUC": area.estimate} | area.columns(1) | sizes | {"ci": area.text(2, 1)})
        values.append(Value.of(f"apl.{split}.{score}.auc", area, ""))
    return _result(rows, values, {"curves": found}, _MISSING[split])


@if_available
def differences(patients: pd.DataFrame, split: str) -> Result | Unavailable:
    """Give the AUC of each score less that of the baseline, on the patients that have both.

    Parameters
    ----------
    patients : DataFrame
        Of `scores`.
    split : str
        `external` or `test`.

    Returns
    -------
    Result or Unavailable
        Frame: `score`, `difference` in [-1, 1], the columns of `Interval.columns`, `p (DeLong)`. Values:
        `apl.<split>.<score>.difference`. Unavailable without the baseline or without two patients of each diagnosis.
    """
    rows, values = [], []
    for score in [name for name in SCORES if name != "fraction"]:
        own = having(patients, split, score, "fraction")
        if min(own["apl"].sum(), (~own["apl"]).sum()) < 2:
            continue
        found, p = auc.auc_difference(own["apl"], own[score], own["fraction"], own)
        about = {"score": SCORES[score], "difference": found.estimate} | found.columns(1)
        rows.append(about | {"p (DeLong)": p, "ci": found.text(2, 1)})
        values.append(Value.of(f"apl.{split}.{score}.difference", found, ""))
    return _result(rows, values, {}, "there is no baseline to compare with, or there are too few patients")


def _result(
    rows: list[dict[str, Any]], values: list[Value], facts: dict[str, Any], reason: str
) -> Result | Unavailable:
    """The table without the words of its intervals, which `each` takes from the facts."""
    if not rows:
        return Unavailable(reason)
    return Result(pd.DataFrame(rows).drop(columns="ci"), tuple(values), facts | {"each": rows})


def each(result: Result | Unavailable) -> list[dict[str, Any]]:
    """Give the facts of each score, for one sentence a score.

    Parameters
    ----------
    result : Result or Unavailable
        Of `curves` or `differences`.

    Returns
    -------
    list of dict
        `score`, `auc` or `difference`, `low`, `high`, `ci` (the interval in words); empty where it is unavailable.
    """
    if isinstance(result, Unavailable):
        return []
    return [{"auc" if name == "AUC" else name: row[name] for name in row} for row in result.facts["each"]]
