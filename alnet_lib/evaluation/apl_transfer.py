"""APL against AML cross-validated by patient: AUC of each method, and what transfer is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from alnet_lib.core.outcomes import Unavailable, if_available
from alnet_lib.experiments.transfer.patients import DISCOVERY
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import auc
from alnet_lib.statistics.patients import with_intervals

if TYPE_CHECKING:
    from alnet_lib.experiments.transfer.cross_validation import Judged

PUBLISHED = (
    "Published: MILLIE (2023) reports an AUC of 0.94 +- 0.04, a mean of folds, on what is very likely the same patients"
    " as the Johns Hopkins cohort; it compares with `mean of folds`."
)
"""What the literature says, for the caption."""

POOLED, LATER = "cross-validated", "external"


def pooled(rows: pd.DataFrame, *scores: str) -> pd.DataFrame:
    """Give each patient the mean of the scores over the deals, each time from a fit without the patient.

    Parameters
    ----------
    rows : DataFrame
        Of `Judged`.
    *scores : str
        Keys; only deals that have all of them count.

    Returns
    -------
    DataFrame
        A row a patient: `patient_id`, `apl`, `n_cells` and the scores. Those of different folds are put together as
        they are, log-odds or shares.
    """
    own = rows[rows["repeat"].ne(DISCOVERY)].dropna(subset=list(scores))
    how = {"apl": "first", "n_cells": "first"} | dict.fromkeys(scores, "mean")
    return own.groupby("patient_id", sort=True).agg(how).reset_index()


def later(rows: pd.DataFrame, *scores: str) -> pd.DataFrame:
    """Give the external patients that have all of some scores, fitted on the training and testing splits."""
    return rows[rows["repeat"].eq(DISCOVERY)].dropna(subset=list(scores))


def of_folds(rows: pd.DataFrame, score: str) -> tuple[list[float], list[float]]:
    """Give the AUC of each fold, and of each deal with its folds pooled.

    Parameters
    ----------
    rows : DataFrame
        Of `Judged`.
    score : str
        Its key.

    Returns
    -------
    tuple of list of float
        In [0, 1]; parts without APL or without AML are left out.
    """
    own = rows[rows["repeat"].ne(DISCOVERY)].dropna(subset=[score])

    def areas(*by: str) -> list[float]:
        parts = (part for _, part in own.groupby(list(by)) if part["apl"].nunique() == 2)
        return [float(roc_auc_score(part["apl"].astype(bool), part[score])) for part in parts]

    return areas("repeat", "fold"), areas("repeat")


@if_available
def table(judged: Judged) -> Result | Unavailable:
    """Give the AUC of each method, cross-validated and on external patients.

    Parameters
    ----------
    judged : Judged
        Of `cross_validation.cross_validated`.

    Returns
    -------
    Result or Unavailable
        A row a method: `method`, `AUC` in [0, 1] (pooled over the folds, a patient's score averaged over the deals),
        the columns of `Interval.columns`, `lowest deal`, `highest deal`, `mean of folds`, `SD of folds`, `external
        AUC`, `external low`, `external high`, and the patients of APL and AML of either. Values
        `transfer.apl.<method>.pooled`, `.folds_mean` and `.prospective`; facts `notes` (sentences), `dots` (a frame for
        `curves.dots`), `each` (rows with the words of the intervals), `people` (how many patients) and `published`.
        Unavailable where no method has patients of both diagnoses.
    """
    rows, values = [], []
    for score, title in judged.titles.items():
        if score not in judged.rows or not _both(own := pooled(judged.rows, score)):
            continue
        area = auc.auc(own["apl"], own[score], own)
        folds, deals = of_folds(judged.rows, score)
        row = {"method": title, "AUC": area.estimate} | area.columns(1) | _sizes(own)
        row |= {"lowest deal": min(deals), "highest deal": max(deals)}
        row |= {"mean of folds": float(np.mean(folds)), "SD of folds": float(np.std(folds, ddof=1))} if folds else {}
        values.append(Value.of(f"transfer.apl.{score}.pooled", area, ""))
        if folds:
            values.append(Value.of(f"transfer.apl.{score}.folds_mean", float(np.mean(folds)), ""))
        if _both(outside := later(judged.rows, score)):
            there = auc.auc(outside["apl"], outside[score], outside)
            row |= {"external AUC": there.estimate, "external low": there.low, "external high": there.high}
            row |= {f"external {name}": number for name, number in _sizes(outside).items()}
            values.append(Value.of(f"transfer.apl.{score}.prospective", there, ""))
        rows.append(row | {"ci": area.text(2, 1)})
    if not rows:
        return Unavailable("no method has scores of patients of both diagnoses")
    frame = pd.DataFrame(rows)
    dots = frame.rename(columns={"method": "label", "AUC": "value"})[["label", "value", "low", "high"]]
    facts = {"notes": _notes(judged), "dots": dots, "each": rows, "published": PUBLISHED, "people": people(frame)}
    return Result(frame.drop(columns="ci"), tuple(values), facts)


@if_available
def as_read(result: Result) -> pd.DataFrame:
    """Write each method's numbers so that a line can be read at once: `0.95 (0.83 to 0.99)`.

    Parameters
    ----------
    result : Result
        Of `table`.

    Returns
    -------
    DataFrame
        Strings, to be shown: `method`, `AUC, cross-validated (95% interval)`, `lowest to highest deal`, `mean of folds
        ± SD`, and `AUC, external (95% interval)` where external patients were judged.
    """
    frame = result.frame
    columns = {
        "method": frame["method"],
        "AUC, cross-validated (95% interval)": with_intervals(frame, "AUC", "low", "high"),
        "lowest to highest deal": _joined(frame, "lowest deal", " to ", "highest deal"),
        "mean of folds ± SD": _joined(frame, "mean of folds", " ± ", "SD of folds"),
    }
    if "external AUC" in frame:
        ends = ("external low", "external high")
        columns["AUC, external (95% interval)"] = with_intervals(frame, "external AUC", *ends)
    return pd.DataFrame(columns)


def _joined(frame: pd.DataFrame, first: str, between: str, second: str) -> list[str]:
    pairs = zip(frame[first], frame[second], strict=True)
    return ["" if pd.isna(a) else f"{a:.2f}{between}{b:.2f}" for a, b in pairs]


def people(frame: pd.DataFrame) -> str:
    """Say how many patients the methods of `table` judged, the most where methods differ.

    Parameters
    ----------
    frame : DataFrame
        Of `table`.

    Returns
    -------
    str
        `27 patients with APL and 58 with AML, of external ones 6 and 5`.
    """
    most = frame.filter(like=" patients").max()
    told = f"{most['APL patients']:.0f} patients with APL and {most['AML patients']:.0f} with AML"
    if "external APL patients" not in most:
        return told
    return f"{told}, of external ones {most['external APL patients']:.0f} and {most['external AML patients']:.0f}"


@if_available
def differences(judged: Judged) -> Result | Unavailable:
    """Give the differences of AUC that tell what transfer is worth, on the same patients.

    Parameters
    ----------
    judged : Judged
        Of `cross_validation.cross_validated`.

    Returns
    -------
    Result or Unavailable
        A row a pair and place (`cross-validated`, on the deals that have both; `external`): `comparison`, `where`,
        `difference` in [-1, 1], the columns of `Interval.columns`, `p (DeLong)`. Values
        `transfer.apl.<a>_less_<b>`, and `.prospective` for external patients; fact `each` (rows with the words of the
        intervals). Unavailable where there is no pair, or too few patients of either diagnosis.
    """
    rows, values = [], []
    for first, second in judged.pairs:
        if not {first, second} <= set(judged.rows):
            continue
        for where, own in ((POOLED, pooled(judged.rows, first, second)), (LATER, later(judged.rows, first, second))):
            if not _both(own):
                continue
            found, p = auc.auc_difference(own["apl"], own[first], own[second], own)
            name = f"{judged.titles[first]}, less {judged.titles[second]}"
            row: dict[str, Any] = {"comparison": name, "where": where, "difference": found.estimate}
            rows.append(row | found.columns(1) | {"p (DeLong)": p, "ci": found.text(2, 1)})
            ending = "" if where == POOLED else ".prospective"
            values.append(Value.of(f"transfer.apl.{first}_less_{second}{ending}", found, ""))
    if not rows:
        return Unavailable("no pretrained start, or no random one to compare it with, can be had")
    return Result(pd.DataFrame(rows).drop(columns="ci"), tuple(values), {"each": rows})


def _both(people: pd.DataFrame) -> bool:
    return people["apl"].nunique() == 2


def _sizes(people: pd.DataFrame) -> dict[str, int]:
    apl = people["apl"].astype(bool)
    return {"APL patients": int(apl.sum()), "AML patients": int((~apl).sum())}


def _notes(judged: Judged) -> str:
    return "".join(f" {note}" for note in judged.notes)
