"""What it changes that the diagnosis no longer decides who votes: `python benchmarks/who_votes.py --run D --data D`.

Once the JHU adapter let an APL patient's blasts and promyelocytes vote and an AML patient's blasts only. On the
predictions of one finished run, so with one model, every number of the vote is given twice: `before`, with the AML
patients' promyelocytes left out, and `after`, with all immature cells of every patient. Scores, AUCs and verdicts are
compared on the patients that vote both times, with the interval of their difference; and of all numbers that the run's
producers make of votes (rates of Tables 9A and 9B, end to end, by site, ROC, threshold, coverage) those that change are
listed. Numbers that need another training (learned vote, calibration, discriminant) are not compared. The JHU data say
how many immature cells there are. Writes benchmarks/results/who_votes.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from alnet_lib.cohorts.building import SOURCES
from alnet_lib.core.files import write_json
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.diagnosis.aggregation import UNKNOWN, MajorityAboveThreshold, vote
from alnet_lib.evaluation import apl, clinical_utility, external, smear_level
from alnet_lib.paper.values import Result, Value
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


def producers(cells: pd.DataFrame, threshold: float) -> Iterator[tuple[str, Result | Unavailable]]:
    """Split and table or figure, of all that the notebooks make of votes without another training."""
    rule, patients = MajorityAboveThreshold(threshold), apl.scores(cells)
    for split in ("train", *SPLITS):
        chosen = smear_level.voting_cells(cells, split)
        votes = smear_level.votes_of(chosen, rule)
        if split == "train":
            yield split, smear_level.figure_4(votes)
            continue
        yield split, smear_level.by_site(votes)
        yield split, clinical_utility.coverage(chosen)
        if split == "test":
            yield split, smear_level.table_9a(votes)
            yield split, smear_level.table_9b(votes, cells)
            yield split, smear_level.end_to_end(votes)
        else:
            yield split, external.external_smears(votes, cells)
        yield split, apl.curves(patients, split)
        yield split, apl.differences(patients, split)


def changed(cells: pd.DataFrame, threshold: float) -> list[dict[str, Any]]:
    """The numbers of `producers` that are not the same before and after, each with its interval over patients.

    Parameters
    ----------
    cells : DataFrame
        Predictions of a run.
    threshold : float
        Of the vote.

    Returns
    -------
    list of dict
        split, number (key of the value), unit; before and after, each with low, high and patients. None where a number
        could be given one time only.
    """
    once = cells.assign(eligible=cells["eligible"] & ~left_out(cells))
    found: list[dict[tuple[str, str], Value]] = [
        {
            (split, value.key): value
            for split, result in producers(frame, threshold)
            if isinstance(result, Result)
            for value in result.values
        }
        for frame in (once, cells)
    ]
    rows = []
    for split, key in dict.fromkeys([*found[0], *found[1]]):
        both = [values.get((split, key)) for values in found]
        first, second = (value.reproduced if value else None for value in both)
        if first is not None and second is not None and np.isclose(first, second, rtol=0, atol=1e-12, equal_nan=True):
            continue
        row: dict[str, Any] = {"split": split, "number": key, "unit": next(value.unit for value in both if value)}
        for name, value in zip(("before", "after"), both, strict=True):
            row |= {name: value and value.reproduced, f"{name}, low": value and value.ci_low}
            row |= {f"{name}, high": value and value.ci_high, f"patients, {name}": value and value.n_patients}
        rows.append(row)
    return rows


OUTCOMES = {
    "with the correct verdict": lambda votes: votes["verdict"].eq(votes["expected"]),
    "called APL": lambda votes: votes["verdict"].eq("APL"),
    "without a verdict": lambda votes: votes["verdict"].eq(UNKNOWN),
}
"""What can become of a smear, for `compare`."""


def compare(cells: pd.DataFrame, threshold: float) -> list[dict[str, Any]]:
    """Scores, AUCs and outcomes of smears before and after, one row a split and number, with intervals over patients.

    AUCs, scores and their differences are on the patients that have a score both times, outcomes on the smears that
    vote both times; `patients, before` and `after` say how many there are of each.

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
            rows.append(_row(split, f"AUC, {apl.SCORES[score]}", found, change, [len(f) for f in own]) | {"p": p})
            for diagnosis, people in about.groupby("diagnosis"):
                pair = [frame.loc[people["patient_id"], score].to_numpy() for frame in (first, second)]
                found = [intervals.mean(values, people) for values in pair]
                change = intervals.difference(pair[0], people, pair[1])
                sizes = [int(frame["diagnosis"].eq(diagnosis).sum()) for frame in own]
                rows.append(_row(split, f"{diagnosis} patients, {apl.SCORES[score]}", found, change, sizes))
        verdicts = [_verdicts(frame, split, threshold) for frame in (once, cells)]
        for diagnosis in ("APL", "AML"):
            own = [frame[frame["diagnosis"].eq(diagnosis)] for frame in verdicts]
            both = own[0].index.intersection(own[1].index)
            if not len(both):
                continue
            first, second = (frame.loc[both] for frame in own)
            sizes = [frame["patient_id"].nunique() for frame in own]
            moved = {"smears": len(both), "verdicts changed": int(second["verdict"].ne(first["verdict"]).sum())}
            for name, outcome in OUTCOMES.items():
                pair = [outcome(frame).to_numpy() for frame in (first, second)]
                found = [intervals.proportion(values, first) for values in pair]
                change = intervals.difference(pair[0], first, pair[1])
                rows.append(_row(split, f"{diagnosis} smears {name}", found, change, sizes) | moved)
    return rows


def _verdicts(cells: pd.DataFrame, split: str, threshold: float) -> pd.DataFrame:
    chosen = cells[cells["eligible"] & cells["split"].eq(split)]
    if not len(chosen):
        return pd.DataFrame({"diagnosis": [], "patient_id": [], "verdict": [], "expected": []})
    return vote(chosen, MajorityAboveThreshold(threshold)).set_index("smear_id")


def _row(split: str, number: str, found: list[Interval], change: Interval, patients: list[int]) -> dict[str, Any]:
    row: dict[str, Any] = {"split": split, "number": number}
    for name, one in zip(("before", "after", "difference"), (*found, change), strict=True):
        row |= {name: one.estimate, f"{name}, low": one.low, f"{name}, high": one.high}
    row |= {"interval": found[1].method, "patients": found[1].n_patients}
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
        "changed numbers of the run": changed(cells.reset_index(drop=True), profile["threshold"]),
    }
    print(pd.DataFrame(found["immature cells"]).to_string(index=False), "\n")
    print(pd.DataFrame(found["numbers"]).round(3).to_string(index=False), "\n")
    print(pd.DataFrame(found["changed numbers of the run"]).round(3).to_string(index=False))
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
