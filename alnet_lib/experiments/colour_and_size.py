"""The colour-and-size baseline: a linear classifier on the colour histogram and the cell area."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.diagnosis.tasks import MODULE_1, SIX_CLASSES
from alnet_lib.experiments import classical
from alnet_lib.experiments.datasets import COLOUR_BINS, described
from alnet_lib.paper.values import Result, Value
from alnet_lib.statistics import classification
from alnet_lib.statistics.intervals import difference, proportion

if TYPE_CHECKING:
    from alnet_lib.experiments.preparation import Setup

TASKS = {"module 1": MODULE_1, "six groups": SIX_CLASSES}
"""Name in the table -> task."""

MEASURES = {"accuracy": classification.accuracy, "mean sensitivity": classification.mean_sensitivity}
"""Name in the table -> what is measured."""


class ColourAndSize:
    """Multinomial logistic regression on 16 bins a channel and the segmented cell's area; a `classical.Method`."""

    def __init__(self) -> None:
        self.linear: Pipeline = make_pipeline(
            SimpleImputer(keep_empty_features=True), StandardScaler(),
            LogisticRegression(max_iter=2000, class_weight="balanced"),
        )  # fmt: skip

    @property
    def settings(self) -> str:
        """None are chosen."""
        return ""

    def fit(self, cells: pd.DataFrame, classes: np.ndarray) -> None:
        """Fit to training cells, rows of `datasets.described`, and their classes."""
        self.linear.fit(_seen(cells), classes)

    def predict(self, cells: pd.DataFrame) -> np.ndarray:
        """The class of each cell."""
        return self.linear.predict(_seen(cells))


def _seen(cells: pd.DataFrame) -> np.ndarray:
    return np.ascontiguousarray(cells[[*COLOUR_BINS, "cell_area"]].to_numpy(float))


def baseline(setup: Setup, features: pd.DataFrame) -> Result | Unavailable:
    """What colour and size alone give, for the classes of module 1 and for the six groups.

    A network that is not well above it has learnt no morphology.

    Parameters
    ----------
    setup : Setup
        Images: the colours are those of the pixels that the networks see.
    features : DataFrame
        Of `classical.features`.

    Returns
    -------
    Result or Unavailable
        A row a task and measure (accuracy; mean sensitivity over the classes): task, measure, value (%), the columns of
        `Interval.columns`, images; with values `floor.<task>.<measure>`. Unavailable as `classical.judge` where neither
        task can be judged.
    """
    cells, rows, values = described(setup.data, features), [], []
    for task, spec in TASKS.items():
        row = classical.judge(ColourAndSize(), cells, spec)
        if isinstance(row, Unavailable):
            reason = row
            continue
        judged = pd.DataFrame(row["testing"])
        for measure, of in MEASURES.items():
            found = of(judged)
            line = {"task": task, "measure": measure, "value": 100 * found.estimate} | found.columns()
            rows.append(line | {"images": len(judged)})
            values.append(Value.of(f"floor.{task}.{measure}".replace(" ", "_"), found, "%"))
    return Result(pd.DataFrame(rows), tuple(values)) if rows else reason


def beside_module_1(
    setup: Setup,
    features: pd.DataFrame,
    predictions: pd.DataFrame | Unavailable,
    cross_fitted: pd.DataFrame | Unavailable,
) -> Result | Unavailable:
    """Module 1 and the baseline on the same cells: of training patients, each left out in turn, testing, external.

    The training patients are the most by far, so they tell best whether the network is above the baseline. They were
    predicted by cross-fitting, and the baseline is fitted anew on the same folds; a patient that is not known is fitted
    on in every fold, as there.

    Parameters
    ----------
    setup : Setup
        Images: the colours are those of the pixels that the networks see.
    features : DataFrame
        Of `classical.features`.
    predictions : DataFrame or Unavailable
        Of `module_training.predicted`.
    cross_fitted : DataFrame or Unavailable
        Of `cross_fitting.cross_fitted`; without it there is no row of training patients.

    Returns
    -------
    Result or Unavailable
        A row for each of training patients, cross-fitted, testing and external ones that have cells: cells, patients,
        accuracy of either (%), the difference in percentage points, module 1 less the baseline, with low and high, its
        paired 95% interval over patients. Values
        `beside.<train, test, external>.<module_1, colour_and_size, difference>`; facts of the first row: whose,
        network, plain, difference, ci.
        Unavailable without module 1, where no cell has a class of it, or with fewer than two classes to fit on.
    """
    if isinstance(predictions, Unavailable):
        return predictions
    if not MODULE_1.predicts(predictions):
        return Unavailable("module 1 was not trained")
    seen = described(setup.data, features)
    reference = MODULE_1.reference(seen)
    training = seen["split"].eq("train") & reference.notna()
    if reference[training].nunique() < 2:
        return Unavailable(MODULE_1.lacking(seen))
    parts: list[tuple[str, str, pd.DataFrame]] = []
    if not isinstance(cross_fitted, Unavailable):
        folds = [_both(seen, training, cells) for _, cells in cross_fitted.groupby("fold")]
        parts.append(("train", "training patients, cross-fitted", pd.concat(folds)))
    judged = _both(seen, training, predictions[predictions["split"].isin(["test", "external"])], leave=False)
    for split, name in {"test": "testing patients", "external": "external patients"}.items():
        parts.append((split, name, judged[judged["split"].eq(split)]))
    lines, values, facts = [], [], dict[str, Any]()
    for split, name, cells in parts:
        if cells.empty:
            continue
        module, plain = (cells[method].eq(cells["reference"]).to_numpy() for method in ("module_1", "colour_and_size"))
        one, other, gain = proportion(module, cells), proportion(plain, cells), difference(plain, cells, module)
        found = {"module 1": 100 * one.estimate, "colour and size": 100 * other.estimate}
        found |= {"difference": 100 * gain.estimate, "low": 100 * gain.low, "high": 100 * gain.high}
        lines.append({"cells of": name, "cells": len(cells), "patients": gain.n_patients} | found)
        values += [
            Value.of(f"beside.{split}.module_1", one, "%"),
            Value.of(f"beside.{split}.colour_and_size", other, "%"),
            Value.of(f"beside.{split}.difference", gain, "percentage points"),
        ]
        facts = facts or {"whose": name, "network": found["module 1"], "plain": found["colour and size"]} | {
            "difference": found["difference"], "ci": gain.text(),
        }  # fmt: skip
    return (
        Result(pd.DataFrame(lines), tuple(values), facts) if lines else Unavailable("no cell has a class of module 1")
    )


def _both(seen: pd.DataFrame, training: pd.Series, cells: pd.DataFrame, *, leave: bool = True) -> pd.DataFrame:
    """Reference class and those predicted by module 1 and by the baseline, which is fitted without these patients."""
    cells = MODULE_1.labelled(cells)
    if cells.empty:
        return cells
    known = seen.set_index("image_id").loc[cells["image_id"]]
    fitted_on = seen[training & ~seen["patient_id"].isin(set(cells["patient_id"]))] if leave else seen[training]
    baseline = ColourAndSize()
    baseline.fit(fitted_on, MODULE_1.reference(fitted_on).to_numpy())
    return cells.assign(
        reference=MODULE_1.reference(cells),
        module_1=MODULE_1.predicted(cells),
        colour_and_size=baseline.predict(known),
    )
