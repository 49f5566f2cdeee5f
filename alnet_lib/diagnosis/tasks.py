"""The classification tasks: ALNet's two modules (section 3.2) and the first classifier of six groups (2.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alnet_lib.core.vocabulary import (
    CELL_GROUPS,
    LABELS,
    MODULE_1_CLASSES,
    MODULE_2_CLASSES,
    TO_GROUP,
    TO_MODULE_1,
    TO_MODULE_2,
)


@dataclass(frozen=True)
class ModuleSpec:
    """What one classifier tells apart, and where its probabilities stand in a table of cells.

    Attributes
    ----------
    name : str
        `module_1`, `module_2`, `six_classes`.
    prefix : str
        Columns of probabilities are `<prefix>_<class>`.
    mapping : mapping of str to str
        Cell type to class; cell types without a class are not part of the task.
    classes : tuple of str
        In the order of the paper's tables.
    """

    name: str
    prefix: str
    mapping: Mapping[str, str]
    classes: tuple[str, ...]

    @property
    def title(self) -> str:
        """`Module 1`, `Module 2`, `Six classes`."""
        return self.name.replace("_", " ").capitalize()

    @property
    def columns(self) -> list[str]:
        """Columns of the probabilities, one a class."""
        return [f"{self.prefix}_{name}" for name in self.classes]

    def reference(self, cells: pd.DataFrame) -> pd.Series:
        """Give each cell's reference class, from its `cell_type`; missing where it has none under this task."""
        return cells["cell_type"].map(self.mapping)

    def labelled(self, cells: pd.DataFrame) -> pd.DataFrame:
        """Keep the cells that have a reference class under this task."""
        return cells[cells["cell_type"].isin(self.mapping)]

    def predicts(self, cells: pd.DataFrame) -> bool:
        """Whether the cells carry this module's probabilities; columns of nothing but NaN do not count."""
        return all(column in cells and cells[column].notna().any() for column in self.columns)

    def probabilities(self, cells: pd.DataFrame) -> np.ndarray:
        """Probabilities in [0, 1], float (n, classes).

        Raises
        ------
        ValueError
            A probability is NaN; the message names images.
        """
        values = cells[self.columns].to_numpy(float)
        if (bad := np.isnan(values).any(axis=1)).any():
            names = ", ".join(cells["image_id"][bad].astype(str).head(5))
            raise ValueError(f"{int(bad.sum())} cells have no probability of {self.title.lower()}: {names}")
        return values

    def predicted(self, cells: pd.DataFrame) -> pd.Series:
        """Give each cell's most probable class, with the index of `cells`; raises as `probabilities`."""
        best = self.probabilities(cells).argmax(axis=1)
        return pd.Series(np.array(self.classes, dtype=object)[best], index=cells.index, dtype=object)

    def lacking(self, manifest: pd.DataFrame) -> str:
        """Which classes the training split of a manifest has and which it lacks, in words."""
        there = set(self.reference(manifest[manifest["split"].eq("train")]).dropna())
        have = ", ".join(LABELS[name] for name in self.classes if name in there) or "none of its classes"
        absent = ", ".join(LABELS[name] for name in self.classes if name not in there) or "nothing"
        return f"two classes are needed; the cohort's training split has {have} and lacks {absent}"


MODULE_1 = ModuleSpec("module_1", "p1", TO_MODULE_1, MODULE_1_CLASSES)
MODULE_2 = ModuleSpec("module_2", "p2", TO_MODULE_2, MODULE_2_CLASSES)
SIX_CLASSES = ModuleSpec("six_classes", "p6", TO_GROUP, CELL_GROUPS)
MODULES: tuple[ModuleSpec, ...] = (MODULE_1, MODULE_2)
TASKS: dict[str, ModuleSpec] = {spec.name: spec for spec in (*MODULES, SIX_CLASSES)}
"""Name -> task."""
