"""The verdict on one smear, with the counts and probabilities behind it. Research use only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from alnet_lib.core.files import plain
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold, vote
from alnet_lib.diagnosis.outside import Distance
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2, ModuleSpec

RESEARCH_USE = "Research use only. Not a medical device; not for the diagnosis or treatment of a patient."
"""Stands with every verdict."""

MIN_CELLS = 5
"""Fewest cells for a verdict. If half of a smear's cells or fewer were of a class, five cells would all be of it in at
most 0.5 ** 5 = 3% of draws; four would in 6%. Below five even cells that all agree do not show a majority at 95%."""

DIGITS = 6
"""Decimals of numbers in JSON."""


NOT_MEASURED = Unavailable("it was not measured")
"""Distance of a diagnosis without one."""


class Refused(ValueError):
    """A verdict that is not given; the message says why, and what gives it all the same."""


@dataclass(frozen=True)
class Diagnosis:
    """A verdict with the evidence for it.

    Attributes
    ----------
    verdict : str
        APL, AML, ALL, infection, control, unknown, or `AL non-APL` where the run has no module 2.
    n_cells : int
        Cells that voted.
    threshold : float
        Share of the cells that a class must exceed, in [0, 1).
    explanation : str
        How the verdict came about, in one or two sentences.
    proportions : DataFrame
        module (1 or 2), class, cells (int), share in [0, 1].
    cells : DataFrame
        image, the class that each module predicts and its probability in [0, 1].
    unreadable : DataFrame
        file, reason.
    model : dict
        run, backbone, weights, classes; trained_on (cohort, kind, profile, source); digest: `as saved`, or `not
        checked` where the model was saved without one; cells_enough: the fewest cells that were enough for the
        testing smears of its run, and the right verdicts (%) with so many; None where that was not measured.
    cautions : tuple of str
        What to bear in mind with this verdict, a sentence each.
    distance : Distance or Unavailable
        How far the cells lie from those that the model was tested on.
    """

    verdict: str
    n_cells: int
    threshold: float
    explanation: str
    proportions: pd.DataFrame
    cells: pd.DataFrame
    unreadable: pd.DataFrame
    model: dict[str, Any]
    cautions: tuple[str, ...] = ()
    distance: Distance | Unavailable = NOT_MEASURED

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON; numbers rounded to DIGITS decimals."""
        return _rounded(plain(self._content()))

    def lines(self) -> list[str]:
        """Say it in lines of text; the tables of cells are not among them."""
        left = [f"  {row.file}: {row.reason}" for row in self.unreadable.itertuples()]
        heading = f"Left out, {len(left)} of {len(left) + self.n_cells} files:"
        return [
            f"RESEARCH USE ONLY. {RESEARCH_USE.partition('. ')[2]}",
            f"Verdict: {self.verdict}   ({self.n_cells} cells; a class must exceed {self.threshold:.0%} of them)",
            self.explanation,
            *self.cautions,
            *([heading, *left] if left else []),
        ]

    def _content(self) -> dict[str, Any]:
        return {
            "research_use_only": RESEARCH_USE,
            "verdict": self.verdict,
            "n_cells": self.n_cells,
            "threshold": self.threshold,
            "explanation": self.explanation,
            "cautions": list(self.cautions),
            "left_out": len(self.unreadable),
            "proportions": self.proportions.to_dict("records"),
            "cells": self.cells.to_dict("records"),
            "unreadable": self.unreadable.to_dict("records"),
            "model": self.model,
            "distance": self.distance.as_dict()
            if isinstance(self.distance, Distance)
            else {"outside": None, "reason": self.distance.reason},
        }


def _rounded(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _rounded(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_rounded(value) for value in content]
    return round(content, DIGITS) if isinstance(content, float) else content


def decide(
    cells: pd.DataFrame,
    threshold: float,
    unreadable: pd.DataFrame,
    model: dict[str, Any],
    cautions: Sequence[str] = (),
    distance: Distance | Unavailable = NOT_MEASURED,
) -> Diagnosis:
    """Vote on the cells of one smear by the paper's rule, and explain the verdict.

    Parameters
    ----------
    cells : DataFrame
        Cells of one smear: image_id, smear_id and the probabilities of module 1, perhaps of module 2.
    threshold : float
        In [0, 1).
    unreadable : DataFrame
        file, reason of images that are not among the cells.
    model : dict
        What predicted them.
    cautions : sequence of str
        What to bear in mind, a sentence each.
    distance : Distance or Unavailable
        Of the cells from those that the model was tested on.
    """
    row = vote(cells, MajorityAboveThreshold(threshold)).iloc[0]
    two = MODULE_2.predicts(cells)
    return Diagnosis(
        verdict=row["verdict"],
        n_cells=len(cells),
        threshold=threshold,
        explanation=_explain(row, threshold, two),
        proportions=_proportions(row),
        cells=_cell_table(cells, two),
        unreadable=unreadable,
        model=model,
        cautions=_with(distance, cautions),
        distance=distance,
    )


def _with(distance: Distance | Unavailable, cautions: Sequence[str]) -> tuple[str, ...]:
    if isinstance(distance, Unavailable):
        unknown = f"Whether the cells lie outside what the model was trained on is not known: {distance.reason}."
        return (*cautions, unknown)
    return (distance.words, *cautions) if distance.outside else (*cautions, distance.words)


def _proportions(row: pd.Series) -> pd.DataFrame:
    rows = _shares_of(row, 1, MODULE_1, "share", row["n_cells"])
    if pd.notna(row[f"share2_{MODULE_2.classes[0]}"]):
        rows += _shares_of(row, 2, MODULE_2, "share2", row["n_blasts"])
    return pd.DataFrame(rows)


def _shares_of(row: pd.Series, number: int, spec: ModuleSpec, column: str, cells: int) -> list[dict[str, Any]]:
    shares = {name: float(row[f"{column}_{name}"]) for name in spec.classes}
    return [
        {"module": number, "class": LABELS[name], "cells": round(share * cells), "share": round(share, 3)}
        for name, share in shares.items()
    ]


def _cell_table(cells: pd.DataFrame, two: bool) -> pd.DataFrame:
    table = pd.DataFrame({"image": cells["image_id"]})
    for number, spec in enumerate((MODULE_1, MODULE_2)[: 1 + two], start=1):
        table[f"module {number}"] = spec.predicted(cells).map(LABELS)
        # Rounded again as float64: what is 0.731 in float32 has 17 digits there.
        table[f"probability {number}"] = cells[spec.columns].to_numpy().max(1).round(3).astype(float).round(3)
    if two:
        # Module 2 has a say only on cells that module 1 predicts to be blasts.
        table.loc[table["module 1"] != LABELS["blast"], "module 2"] = "-"
    return table


def _explain(row: pd.Series, threshold: float, two: bool) -> str:
    if row["module_1"] == "unknown":
        return f"No class of module 1 exceeds {threshold:.0%} of the cells."
    text = f"Module 1: {LABELS[row['module_1']].lower()} are {row['share_' + row['module_1']]:.0%} of the cells."
    if row["module_1"] != "blast":
        return text
    if not two:
        return text + " This run has no module 2, so the lineage is not predicted."
    shares = ", ".join(f"{LABELS[c].lower()} {row[f'share2_{c}']:.0%}" for c in MODULE_2.classes)
    return f"{text} Module 2 on these blasts: {shares}."
