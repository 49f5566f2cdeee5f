"""What it changes that the diagnosis no longer decides who votes: `python benchmarks/who_votes.py --run D --data D`.

Once the JHU adapter let an APL patient's blasts and promyelocytes vote and an AML patient's blasts only. On the
predictions of one finished run, so with one model, every APL number is given twice: `before`, with the AML patients'
promyelocytes left out, and `after`, with all immature cells of every patient. The JHU data say how many immature cells
there are. Writes benchmarks/results/who_votes.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from alnet_lib.cohorts.building import SOURCES
from alnet_lib.core.files import write_json
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold, vote
from alnet_lib.evaluation import apl
from alnet_lib.statistics import intervals
from alnet_lib.statistics.auc import auc, auc_difference
from alnet_lib.statistics.intervals import Interval

RESULTS = Path(__file__).parent / "results" / "who_votes.json"
SPLITS, SCORES = ("test", "external"), ("vote", "probability")


def left_out(cells: pd.DataFrame) -> pd.Series:
    """Which cells once did not vote: those of AML patients that vote without a label."""
    return cells["eligible"] & cells["diagnosis"].eq("AML") & cells["cell_type"].eq("")


def counts(manifest: pd.DataFrame) -> list[dict[str, Any]]:
    """Immature cells of the JHU data, by site and diagnosis: all, and those that once voted."""
    immature = manifest[manifest["immature"]]
    once = ~(immature["diagnosis"].eq("AML") & immature["cell_type"].eq(""))
    keys = ["site", "diagnosis"]
    frame = pd.DataFrame({"before": immature[once].groupby(keys).size(), "after": immature.groupby(keys).size()})
    frame["patients before"] = immature[once].groupby(keys)["patient_id"].nunique()
    frame["patients after"] = immature.groupby(keys)["patient_id"].nunique()
    return frame.reset_index().to_dict("records")


def compare(cells: pd.DataFrame, threshold: float) -> list[dict[str, Any]]:
    """Every APL number before and after, one row a split and number, with intervals over patients.

    AUCs and their difference are on the patients that have a score both times; `patients, before` and `after` say how
    many there are of each.

    Parameters
    ----------
    cells : DataFrame
        Predictions of a run.
    threshold : float
        Of the vote.
    """
    once = cells.assign(eligible=cells["eligible"] & ~left_out(cells))
    rows = []
    for split in SPLITS:
        for score in SCORES:
            own = [apl.scores(frame).set_index("patient_id") for frame in (once, cells)]
            own = [frame[frame["split"].eq(split)].dropna(subset=[score]) for frame in own]
            both = own[0].index.intersection(own[1].index)
            first, second = (frame.loc[both] for frame in own)
            if not len(both) or first["apl"].all() or not first["apl"].any():
                continue
            about = first.reset_index()
            change, p = auc_difference(about["apl"], second[score].to_numpy(), first[score].to_numpy(), about)
            found = [auc(about["apl"], frame[score].to_numpy(), about) for frame in (first, second)]
            rows.append(_row(split, f"AUC, {apl.SCORES[score]}", *found, change, [len(f) for f in own]) | {"p": p})
        verdicts = [_verdicts(frame, split, threshold) for frame in (once, cells)]
        for diagnosis in ("APL", "AML"):
            own = [frame[frame["diagnosis"].eq(diagnosis)] for frame in verdicts]
            both = own[0].index.intersection(own[1].index)
            if not len(both):
                continue
            first, second = (frame.loc[both] for frame in own)
            found = [intervals.proportion(frame["correct"], first) for frame in (first, second)]
            change = intervals.difference(first["correct"], first, second["correct"])
            sizes = [frame["patient_id"].nunique() for frame in own]
            row = _row(split, f"{diagnosis} smears with the correct verdict", *found, change, sizes)
            rows.append(
                row | {"smears": len(both), "verdicts changed": int(second["verdict"].ne(first["verdict"]).sum())}
            )
    return rows


def _verdicts(cells: pd.DataFrame, split: str, threshold: float) -> pd.DataFrame:
    chosen = cells[cells["eligible"] & cells["split"].eq(split)]
    if not len(chosen):
        return pd.DataFrame({"diagnosis": [], "patient_id": [], "correct": [], "verdict": []})
    votes = vote(chosen, MajorityAboveThreshold(threshold)).set_index("smear_id")
    return votes.assign(correct=votes["verdict"].eq(votes["expected"]))


def _row(
    split: str, number: str, before: Interval, after: Interval, change: Interval, patients: list[int]
) -> dict[str, Any]:
    row: dict[str, Any] = {"split": split, "number": number}
    for name, found in (("before", before), ("after", after), ("difference", change)):
        row |= {name: found.estimate, f"{name}, low": found.low, f"{name}, high": found.high}
    row |= {"interval": after.method, "patients": after.n_patients}
    return row | {"patients, before": patients[0], "patients, after": patients[1]}


def main(arguments: list[str] | None = None, *, results: Path = RESULTS) -> None:
    """Print and write the numbers before and after."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="directory of a finished run on JHU cells")
    parser.add_argument("--data", type=Path, required=True, help="folder of the JHU data, only read")
    given = parser.parse_args(arguments)
    cells = pd.read_parquet(given.run / "predictions" / "cells.parquet")
    # Of a combined run only the JHU cells; its predictions are those of the run's own model.
    cells = cells[cells["source"].eq("jhu_apl")] if "source" in cells else cells
    manifest = SOURCES["jhu_apl"].read(given.data).manifest
    there, expected = int(left_out(cells).sum()), int((manifest["immature"] & manifest["cell_type"].eq("")).sum())
    if not there:
        raise SystemExit(
            f"no unlabelled cell votes in {given.run}: its cohort was read by an earlier adapter, run again"
        )
    profile = json.loads((given.run / "provenance.json").read_text(encoding="utf-8"))["profile"]
    found = {
        "cohort": "jhu_apl",
        "profile": profile["name"],
        "unlabelled cells that vote": {"run": there, "data": expected},
        "immature cells": counts(manifest),
        "numbers": compare(cells.reset_index(drop=True), profile["threshold"]),
    }
    print(pd.DataFrame(found["immature cells"]).to_string(index=False), "\n")
    print(pd.DataFrame(found["numbers"]).round(3).to_string(index=False))
    write_json(results, _plain(found))


def _plain(value: Any) -> Any:
    """For JSON: NaN becomes null, numpy's numbers Python's."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value


if __name__ == "__main__":
    main()
