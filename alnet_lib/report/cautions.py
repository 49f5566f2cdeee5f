"""What every page of a run on combined sources warns of."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from alnet_lib.core.integrity.reading import reading
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.evaluation.audit.shortcuts import SEEN
from alnet_lib.workflow.recorder import read_items
from alnet_lib.workflow.steps import AUDIT

ITEM = "extra_table_confounds"
"""Table of the shortcut baselines, which notebook 01 writes."""

NETWORK = "module_1.mean_sensitivity"
"""Value that stands beside them: module 1 on the same testing cells, by notebook 03."""


def caution(run_dir: Path) -> str:
    """Write what every page says of a run on combined sources where a shortcut baseline calls for a warning.

    Parameters
    ----------
    run_dir : Path
        A run directory.

    Returns
    -------
    str
        Empty where there is nothing to warn of, and for a single source: there colour belongs to the cells as well.
    """
    frame = load(run_dir)
    if isinstance(frame, Unavailable) or "source" not in set(frame["seen"]):
        return ""
    warned = frame[frame["warn"].astype(bool)]
    if not len(warned):
        return ""
    values = {value["key"]: value for item in read_items(run_dir) for value in item["values"]}
    reached = [
        (SEEN[row.seen], 100 * row.balanced_accuracy, 100 * row.low, 100 * row.high) for row in warned.itertuples()
    ]
    if network := values.get(NETWORK):
        reached.append(("module 1", network["reproduced"], network["ci_low"], network["ci_high"]))
    listed = "; ".join(f"{name}, {mean:.0f}%{_ends(low, high)}" for name, mean, low, high in reached)
    return (
        "Sources are combined here. Mean sensitivity on testing cells (95% intervals over patients) of classifiers "
        f"that see no cell (chance {frame['chance'].iloc[0]:.0%}): {listed}. Part of what the networks predict "
        "may rest on stain, camera or hospital."
    )


def _ends(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None or math.isnan(low) else f" ({low:.0f} to {high:.0f}%)"


def load(run_dir: Path) -> pd.DataFrame | Unavailable:
    """Read the shortcut baselines that notebook 01 measured on this run.

    Parameters
    ----------
    run_dir : Path
        A run directory.

    Returns
    -------
    DataFrame or Unavailable
        Columns of `evaluation.audit.shortcuts.COLUMNS`; the recorded reason where they could not be measured.
    """
    for item in read_items(run_dir):
        if item["id"] == ITEM:
            if item["status"] != "reproduced":
                return Unavailable(item["reason"])
            with reading(run_dir / "tables" / f"{ITEM}.csv") as file:
                return pd.read_csv(file)
    return Unavailable(f"notebook {AUDIT} has not measured the shortcut baselines")
