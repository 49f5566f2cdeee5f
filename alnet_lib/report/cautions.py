"""What every page of a run on combined sources warns of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import MODULE_1_CLASSES
from alnet_lib.evaluation.audit.shortcuts import SEEN
from alnet_lib.workflow.recorder import read_items
from alnet_lib.workflow.steps import AUDIT

ITEM = "extra_table_confounds"
"""Table of the shortcut baselines, which notebook 01 writes."""


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
    values = {value["key"]: value["reproduced"] for item in read_items(run_dir) for value in item["values"]}
    network = [v for n in MODULE_1_CLASSES if (v := values.get(f"table_08.sensitivity.{n}")) is not None]
    listed = "; ".join(f"{SEEN[row.seen]}, {row.balanced_accuracy:.0%}" for row in warned.itertuples())
    beside = f"; module 1, {np.mean(network):.0f}%" if network else ""
    return (
        f"Sources are combined here. Mean sensitivity of classifiers that see no cell (chance "
        f"{frame['chance'].iloc[0]:.0%}): {listed}{beside}. Part of what the networks predict may rest on stain, "
        "camera or hospital."
    )


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
            return pd.read_csv(run_dir / "tables" / f"{ITEM}.csv")
    return Unavailable(f"notebook {AUDIT} has not measured the shortcut baselines")
