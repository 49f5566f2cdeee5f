"""APL against AML per patient: scores, ROC curves, differences from a plain baseline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import roc

SCORES = {
    "vote": "vote: share of immature cells predicted as abnormal promyelocyte",
    "probability": "mean probability of abnormal promyelocyte over immature cells",
    "learned": "learned vote: gated attention over immature cells",
    "features": "linear discriminant on handcrafted features, mean over immature cells",
    "fraction": "baseline: promyelocytes among all signed cells",
}
"""Column of a score -> what it is, as tables and figures name it."""

_MISSING = {
    "external": "it needs APL and AML patients outside the training sites",
    "test": "the testing split has no APL or no AML patient",
}


def scores(
    cells: pd.DataFrame,
    features: pd.Series | Unavailable | None = None,
    learned: pd.Series | Unavailable | None = None,
) -> pd.DataFrame:
    """Score every patient of APL or AML for APL.

    Parameters
    ----------
    cells : DataFrame
        Predictions of all splits, with `eligible`; `n_signed` and `n_promyelocyte_signed` where the cohort knows them.
    features : Series, Unavailable or None
        Probability of APL by cell, with the index of the eligible cells, of `experiments.classical.apl_probability`.
    learned : Series, Unavailable or None
        Probability of APL by patient, of `experiments.attention_vote.apl_probability`.

    Returns
    -------
    DataFrame
        One row a patient: `patient_id`, `diagnosis`, `split`, the scores (columns as SCORES, in [0, 1]), `cells`
        (eligible ones), `apl` (bool). The probability is that of abnormal promyelocyte against blast. A patient
        without eligible cells keeps the baseline; the other scores are NaN.
    """
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
    patients["cells"] = chosen.groupby("patient_id").size().reindex(patients.index, fill_value=0)
    if "n_signed" in own:
        first = own.groupby("patient_id")[["n_promyelocyte_signed", "n_signed"]].first()
        patients["fraction"] = first["n_promyelocyte_signed"] / first["n_signed"]
    return patients.assign(apl=patients["diagnosis"].eq("APL")).reset_index()


@if_available
def curves(
    patients: pd.DataFrame, split: str, *, replicates: int, generator: Callable[[str], np.random.Generator]
) -> Result | Unavailable:
    """Give the ROC of each score on the patients of a split.

    Parameters
    ----------
    patients : DataFrame
        Of `scores`.
    split : str
        `external` or `test`.
    replicates : int
        Bootstrap replicates over patients.
    generator : callable
        Purpose to random generator, of the profile.

    Returns
    -------
    Result or Unavailable
        Frame: `score`, `AUC`, `low`, `high` (95% bootstrap over patients, in [0, 1]), `APL patients`, `AML patients`.
        Values: `apl.<split>.<score>.auc`. Facts: `curves` (name of a score to curve, low, high). Unavailable where the
        split has no APL or no AML patient.
    """
    found, rows, values = {}, [], []
    for score, title in SCORES.items():
        if score not in patients:
            continue
        own = patients[patients["split"].eq(split)].dropna(subset=[score])
        if own["apl"].all() or not own["apl"].any():
            continue
        low, high = roc.auc_interval(
            own, "apl", score, cluster="patient_id", replicates=replicates, rng=generator(f"apl/{split}/{score}")
        )
        curve = roc.curve(own["apl"].to_numpy(), own[score].to_numpy())
        found[title] = (curve, low, high)
        rows.append((title, curve.auc, low, high, int(own["apl"].sum()), int((~own["apl"]).sum())))
        values.append(Value(f"apl.{split}.{score}.auc", "", None, None, curve.auc, low, high))
    if not found:
        return Unavailable(_MISSING[split])
    frame = pd.DataFrame(rows, columns=["score", "AUC", "low", "high", "APL patients", "AML patients"])
    return Result(frame, tuple(values), {"curves": found})


def each(curves: Result | Unavailable) -> list[dict[str, Any]]:
    """Give the facts of each score, for one sentence a score.

    Parameters
    ----------
    curves : Result or Unavailable
        Of `curves`.

    Returns
    -------
    list of dict
        `score`, `auc`, `low`, `high`; empty where the curves are unavailable.
    """
    if isinstance(curves, Unavailable):
        return []
    return curves.frame.rename(columns={"AUC": "auc"})[["score", "auc", "low", "high"]].to_dict("records")


@if_available
def differences(
    patients: pd.DataFrame, split: str, *, replicates: int, generator: Callable[[str], np.random.Generator]
) -> Result | Unavailable:
    """Give the AUC of each score less that of the baseline, on the patients that have both.

    Parameters
    ----------
    patients : DataFrame
        Of `scores`.
    split : str
        `external` or `test`.
    replicates : int
        Replicates of the paired bootstrap over patients.
    generator : callable
        Purpose to random generator, of the profile.

    Returns
    -------
    Result or Unavailable
        Frame: `score`, `difference`, `low`, `high` (95% paired bootstrap), `p (DeLong)`, `patients`. Unavailable
        without the baseline or without two patients of each diagnosis.
    """
    rows = []
    for score in [s for s in SCORES if s in patients and s != "fraction" and "fraction" in patients]:
        own = patients[patients["split"].eq(split)].dropna(subset=[score, "fraction"])
        if min(own["apl"].sum(), (~own["apl"]).sum()) < 2:
            continue
        difference, low, high = roc.auc_difference(
            own, "apl", (score, "fraction"), cluster="patient_id", replicates=replicates,
            rng=generator(f"apl difference/{split}/{score}"),
        )  # fmt: skip
        test = roc.delong(own["apl"].to_numpy(), own[score].to_numpy(), own["fraction"].to_numpy())
        rows.append((SCORES[score], difference, low, high, test.p, len(own)))
    if not rows:
        return Unavailable("there is no baseline to compare with, or there are too few patients")
    return Result(pd.DataFrame(rows, columns=["score", "difference", "low", "high", "p (DeLong)", "patients"]))
