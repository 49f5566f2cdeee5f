"""Cells of every type to show (paper Fig. 6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from alnet_lib.cohorts.synthetic import twin
from alnet_lib.core.vocabulary import CELL_GROUPS, LABELS
from alnet_lib.diagnosis.tasks import SIX_CLASSES
from alnet_lib.imaging.decoding import SHOWN_SIDE, resize
from alnet_lib.paper.values import Result

if TYPE_CHECKING:
    from alnet_lib.cohorts.manifest import Cohort
    from alnet_lib.core.profile import Profile


@dataclass(frozen=True)
class CellTypes(Result):
    """The images of Figure 6.

    Attributes
    ----------
    pictures : mapping
        Row `A` (cell types of earlier studies) and `B` (those of this one) -> uint8 (S, S, 3) images.
    """

    pictures: Mapping[str, list[np.ndarray]] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, list[str]]:
        """Names of the cell types of each row."""
        return {str(row): list(part["cell type"]) for row, part in self.frame.groupby("row", sort=False)}


def cell_types(cohort: Cohort, profile: Profile) -> CellTypes:
    """Cell types of earlier studies and of this one (Figure 6).

    Parameters
    ----------
    cohort : Cohort
        The synthetic one adds granulocytes, which are not part of it.
    profile : Profile
        Seed and crop.

    Returns
    -------
    CellTypes
        Frame: columns `row`, `cell type`. Facts: `listed`, the names by row.
    """
    rng, groups = profile.generator("figure_06"), SIX_CLASSES.reference(cohort.manifest)

    def one(name: str) -> list[tuple[str, np.ndarray]]:
        rows = np.flatnonzero(groups.eq(name))
        chosen = cohort.manifest["image_id"].iloc[[rng.choice(rows)] if len(rows) else []]
        shown = cohort.pictures(chosen, SHOWN_SIDE, crop=profile.crop, allow_truncated=profile.allow_truncated)
        return [(LABELS[name], picture) for picture in shown]

    easy: list[tuple[str, np.ndarray]] = []
    if cohort.name == twin.NAME:
        extras = twin.extras(1, profile.seed)
        easy = [(k.capitalize(), resize(v[0], SHOWN_SIDE, crop=profile.crop)) for k, v in extras.items()]
    easy += one("lymphocyte") + one("b_lymphoblast")
    rows = {"A": easy, "B": [pair for name in CELL_GROUPS for pair in one(name)]}
    rows = {name: row for name, row in rows.items() if row}
    listed = "; ".join(f"{name}: {', '.join(label.lower() for label, _ in row)}" for name, row in rows.items())
    frame = pd.DataFrame(
        [(name, label) for name, row in rows.items() for label, _ in row], columns=["row", "cell type"]
    )
    pictures = {name: [picture for _, picture in row] for name, row in rows.items()}
    return CellTypes(frame, facts={"listed": listed}, pictures=pictures)
