"""How often each 95% interval covers the true value, in simulated cohorts: `python benchmarks/coverage.py`.

Accuracies: 12, 24 and 100 patients with 5 to 200 cells each, intra-patient correlation 0.01 to 0.3 (beta-binomial),
true accuracy 0.5 to 0.99. AUCs: 12 to 100 patients, binormal scores, true AUC 0.6 to 0.99. Besides:
differences of two methods on the same patients, an AUC with three smears a patient, and the jackknife of a mean
sensitivity. The kit's interval stands beside Wilson's over cells and the percentile bootstrap over patients. Writes
benchmarks/results/coverage.{csv,json} and the table in docs/statistics.md.
"""

from __future__ import annotations

import datetime
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from alnet_lib.core.files import write_json, write_text
from alnet_lib.statistics import classification, intervals
from alnet_lib.statistics.auc import auc

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "statistics.md"
SEED, COHORTS, REPLICATES = 19, 400, 400
PATIENTS, CELLS, CORRELATIONS = (12, 24, 100), (5, 50, 200), (0.01, 0.03, 0.1, 0.3)
ACCURACIES, AUCS = (0.5, 0.8, 0.9, 0.95, 0.99), (0.6, 0.75, 0.85, 0.9, 0.95, 0.99)
GROUPS = ((2, 10), (3, 9), (4, 8), (6, 6), (8, 16), (12, 12), (34, 66), (50, 50))


def accuracies(rng: np.random.Generator) -> pd.DataFrame:
    """Coverage and width of three intervals of an accuracy, one row a setting."""
    rows = []
    for k, cells, rho, p in itertools.product(PATIENTS, CELLS, CORRELATIONS, ACCURACIES):
        a, b = p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho
        found: dict[str, list[tuple[float, float]]] = {"kit": [], "Wilson over cells": [], "bootstrap": []}
        for _ in range(COHORTS):
            size = np.maximum(rng.poisson(cells * rng.gamma(2, 0.5, k)), 1)
            good = rng.binomial(size, rng.beta(a, b, k))
            outcome = np.concatenate([np.arange(n) < g for n, g in zip(size, good, strict=True)])
            own = intervals.proportion(outcome, _rows(np.repeat(np.arange(k), size)))
            found["kit"].append((own.low, own.high))
            found["Wilson over cells"].append(proportion_confint(good.sum(), size.sum(), method="wilson"))
            drawn = rng.multinomial(k, np.full(k, 1 / k), size=REPLICATES)
            found["bootstrap"].append(tuple(np.quantile((drawn @ good) / (drawn @ size), (0.025, 0.975))))
        about = {"patients": k, "cells a patient": cells, "correlation": rho, "accuracy": p}
        rows.append(about | _judged(found, p))
    return pd.DataFrame(rows)


def aucs(rng: np.random.Generator) -> pd.DataFrame:
    """Coverage and width of two intervals of an AUC over patients, one row a setting."""
    rows = []
    for (cases, controls), area in itertools.product(GROUPS, AUCS):
        shift = np.sqrt(2) * norm.ppf(area)
        truth = np.arange(cases + controls) < cases
        found: dict[str, list[tuple[float, float]]] = {"kit": [], "bootstrap": []}
        for _ in range(COHORTS):
            score = rng.normal(shift * truth, 1)
            own = auc(truth, score, _rows(np.arange(cases + controls)))
            found["kit"].append((own.low, own.high))
            psi = (np.sign(score[truth][:, None] - score[~truth][None, :]) + 1) / 2
            drawn = [rng.multinomial(n, np.full(n, 1 / n), size=REPLICATES) / n for n in (cases, controls)]
            areas = np.einsum("bi,ij,bj->b", drawn[0], psi, drawn[1], optimize=True)
            found["bootstrap"].append(tuple(np.quantile(areas, (0.025, 0.975))))
        rows.append({"cases": cases, "controls": controls, "AUC": area} | _judged(found, area))
    return pd.DataFrame(rows)


def others(rng: np.random.Generator) -> pd.DataFrame:
    """Coverage of the kit's other intervals, 40 cells a patient, correlation 0.1, one row an interval and size."""
    rows = []
    for k in PATIENTS:
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in OTHERS}
        for _ in range(COHORTS):
            for name, (low, high) in _one_cohort(k, rng).items():
                found[name].append((low, high))
        for name, true in OTHERS.items():
            judged = _judged({"kit": found[name]}, true)
            rows.append({"interval": name, "patients": k} | judged)
    return pd.DataFrame(rows)


OTHERS = {
    "difference of 0.1, paired": 0.1,
    "no difference, paired": 0.0,
    "AUC 0.85, three smears a patient": 0.85,
    "mean sensitivity of two classes, 0.8 and 0.9": 0.85,
}
"""Interval -> the true value in the simulation."""


def _one_cohort(k: int, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    patients, ill = np.repeat(np.arange(k), 40), np.arange(k) < k // 2
    rows = _rows(patients)

    def outcome(share: float) -> np.ndarray:
        return rng.random(len(patients)) < np.repeat(rng.beta(9 * share, 9 * (1 - share), k), 40)

    plain = outcome(0.8)
    gained = rng.random(len(plain)) < np.repeat(rng.random(k), 40)
    lost = rng.random(len(plain)) < np.repeat(rng.random(k) / 4, 40)
    same = np.where(plain, ~lost, gained)
    ability = np.repeat(rng.normal(np.sqrt(3) * norm.ppf(0.85) * ill, 1), 3)
    score, smears = ability + rng.normal(0, np.sqrt(0.5), 3 * k), _rows(np.repeat(np.arange(k), 3))
    classes = np.where(np.repeat(ill, 40), "a", "b")
    correct = np.where(np.repeat(ill, 40), outcome(0.8), outcome(0.9))
    predictions = rows.assign(reference=classes, predicted=np.where(correct, classes, "c"))
    found = (
        intervals.difference(plain, rows, plain | gained), intervals.difference(plain, rows, same),
        auc(np.repeat(ill, 3), score, smears), classification.mean_sensitivity(predictions),
    )  # fmt: skip
    return {name: (own.low, own.high) for name, own in zip(OTHERS, found, strict=True)}


def _rows(patients: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"patient_id": patients})


def _judged(found: dict[str, list[tuple[float, float]]], true: float) -> dict[str, float]:
    judged = {}
    for method, pairs in found.items():
        low, high = np.array(pairs).T
        judged[f"{method}, coverage"] = float(((low <= true) & (true <= high)).mean())
        judged[f"{method}, width"] = float((high - low).mean())
    return judged


def table(first: pd.DataFrame, second: pd.DataFrame, third: pd.DataFrame) -> str:
    """Mean coverage by number of patients and true value, in Markdown."""
    lines = [
        "| accuracy over | true value | kit | lowest, kit | bootstrap over patients | Wilson over cells | width, kit |",
        "|---|---|---|---|---|---|---|",
    ]
    for (k, p), part in first.groupby(["patients", "accuracy"]):
        kit = part["kit, coverage"]
        others = [part[f"{name}, coverage"].mean() for name in ("bootstrap", "Wilson over cells")]
        shown = [f"{share:.1%}" for share in (kit.mean(), kit.min(), *others)]
        lines.append(f"| {k} patients | {p:.2f} | {' | '.join(shown)} | {part['kit, width'].mean():.2f} |")
    lines += ["", "| AUC over | true value | kit | bootstrap over patients | width, kit |", "|---|---|---|---|---|"]
    for row in second.to_dict("records"):
        lines.append(
            f"| {row['cases']} and {row['controls']} patients | {row['AUC']:.2f} | {row['kit, coverage']:.1%} | "
            f"{row['bootstrap, coverage']:.1%} | {row['kit, width']:.2f} |"
        )
    lines += ["", "| other intervals | patients | kit | width, kit |", "|---|---|---|---|"]
    for row in third.to_dict("records"):
        lines.append(
            f"| {row['interval']} | {row['patients']} | {row['kit, coverage']:.1%} | {row['kit, width']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Simulate, write the results and the page's table."""
    rng = np.random.default_rng(SEED)
    first, second, third = accuracies(rng), aucs(rng), others(rng)
    first.round(4).to_csv(HERE / "results" / "coverage.csv", index=False)
    kit = first["kit, coverage"]
    write_json(
        HERE / "results" / "coverage.json",
        {
            "date": datetime.date.today().isoformat(), "seed": SEED, "cohorts": COHORTS, "replicates": REPLICATES,
            "settings": len(first), "mean": round(float(kit.mean()), 4), "lowest": round(float(kit.min()), 4),
            "within 93 to 97%": int(kit.between(0.93, 0.97).sum()),
            "aucs": json.loads(second.round(4).to_json(orient="records")),
            "others": json.loads(third.round(4).to_json(orient="records")),
        },
    )  # fmt: skip
    text = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(r"(<!-- coverage:[^>]*-->\n).*?\n(<!-- /coverage -->)", flags=re.DOTALL)
    write_text(PAGE, pattern.sub(lambda m: f"{m[1]}{table(first, second, third)}\n{m[2]}", text))


if __name__ == "__main__":
    main()
