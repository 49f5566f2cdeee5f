"""The colour-and-size baseline: a linear classifier on the colour histogram and the cell area."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
