"""What reviewers ask beyond the paper (CLAIM, STARD-AI, TRIPOD+AI): calibration, stability, cells needed, benefit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from alnet_lib import calibration, plots, roc, smears, vote
from alnet_lib.cohorts.vocabulary import MODULE_1_CLASSES, TO_MODULE_1
from alnet_lib.results import Value
from alnet_lib.run import Run


@dataclass(frozen=True)
class Calibrated:
    """Module 1's probabilities before and after temperature scaling.

    temperature: fitted on validation cells. before, after: reliability of testing cells. ece: expected calibration
    error before and after, in [0, 1].
    """

    temperature: float
    before: pd.DataFrame
    after: pd.DataFrame
    ece: tuple[float, float]

    @property
    def numbers(self) -> list[Value]:
        """Temperature and both errors, keys `calibration....`; the paper printed none."""
        named = {"temperature": self.temperature, "ece_before": self.ece[0], "ece_after": self.ece[1]}
        return [Value(f"calibration.module_1.{name}", "", reproduced=number) for name, number in named.items()]


def calibrate(cells: pd.DataFrame) -> Calibrated | None:
    """Calibration of module 1 on testing cells, the temperature fitted on validation cells only.

    cells: of `alnet.predict_cells`, with `validation`. None where either has no cell.
    """
    known = [name for name in MODULE_1_CLASSES if cells[f"p1_{name}"].max() > 0]
    labels = cells["cell_type"].map(TO_MODULE_1).map({name: i for i, name in enumerate(known)})
    usable = labels.notna()
    parts = [usable & cells["validation"], usable & cells["split"].eq("test")]
    if not all(part.any() for part in parts):
        return None
    (p, y), (q, z) = (
        (cells.loc[part, [f"p1_{name}" for name in known]].to_numpy(float), labels[part].to_numpy(int))
        for part in parts
    )
    temperature = calibration.fit_temperature(p, y)
    tempered = calibration.temper(q, temperature)
    errors = (calibration.expected_calibration_error(q, z), calibration.expected_calibration_error(tempered, z))
    return Calibrated(temperature, calibration.reliability(q, z), calibration.reliability(tempered, z), errors)


def threshold_stability(run: Run, cells: pd.DataFrame) -> pd.DataFrame:
    """The threshold that training smears choose, over bootstrap draws of patients: middle of the equally best interval.

    cells: training cells. One row a quantile: quantile (2.5 to 97.5%), threshold in [0, 1]. Empty with one class.
    """
    votes = vote.vote(cells, run.profile.threshold)
    truth = votes["smear_id"].map(vote.smear_truth(cells)).to_numpy()
    if len(set(truth)) < 2:
        return pd.DataFrame(columns=["quantile", "threshold"])
    shares, rng, chosen = smears.shares_of(votes), run.generator("threshold"), []
    members = list(votes.groupby("patient_id").indices.values())
    for _ in range(min(run.profile.bootstrap, 200)):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        if len(set(truth[rows])) > 1:
            low, high, _ = roc.best_threshold(pd.Series(truth[rows]), shares.iloc[rows].reset_index(drop=True))
            chosen.append((low + high) / 2)
    quantiles = (2.5, 25, 50, 75, 97.5)
    return pd.DataFrame({"quantile": [f"{q}%" for q in quantiles], "threshold": np.percentile(chosen, quantiles)})


def apl_benefit(votes: pd.DataFrame) -> pd.DataFrame:
    """Net benefit of treating a smear as APL by its share of abnormal promyelocytes; see `calibration.decision_curve`.

    Empty where all smears are APL or none is.
    """
    truth = votes["diagnosis"].eq("APL").to_numpy()
    if truth.all() or not truth.any():
        return pd.DataFrame()
    score = votes["share_abnormal_promyelocyte"].to_numpy(float)
    return calibration.decision_curve(truth, score, np.round(np.arange(0.02, 0.9, 0.02), 2))


def reliability_figure(found: Calibrated) -> Figure:
    """Accuracy against confidence of testing cells, before and after temperature scaling."""
    curves = {
        f"as trained (ECE {found.ece[0]:.3f})": found.before.rename(columns={"confidence": "x", "accuracy": "y"}),
        f"temperature {found.temperature:.2f} (ECE {found.ece[1]:.3f})": found.after.rename(
            columns={"confidence": "x", "accuracy": "y"}
        ),
    }
    return plots.lines(curves, "confidence", "accuracy", diagonal=True)


def benefit_figure(curve: pd.DataFrame) -> Figure:
    """Net benefit against threshold probability: the vote, everyone, no one."""
    names = {"score": "share of abnormal promyelocytes", "everyone": "everyone as APL", "no_one": "no one as APL"}
    curves = {title: curve.rename(columns={"threshold": "x", key: "y"})[["x", "y"]] for key, title in names.items()}
    top = float(curve["score"].max())
    return plots.lines(
        curves, "threshold probability", "net benefit", ylim=(-0.1 * max(top, 0.1), 1.15 * max(top, 0.1))
    )


def cells_figure(curve: pd.DataFrame) -> Figure:
    """Share of smears with the right verdict against the number of cells seen, with the spread over draws."""
    shown = curve.rename(columns={"cells": "x", "correct": "y"})
    return plots.lines({"right verdict": shown}, "cells of a smear", "share of smears", logx=True, ylim=(0, 1.02))
