"""Where a trained model comes from, and what its own run found: for the words that stand with a verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alnet_lib.core.integrity.reading import Damaged, reading
from alnet_lib.core.text import visible

TOLERANCE = 1.0
"""Percentage points of right verdicts that `Enough` gives away for fewer cells."""

NEVER_REAL = "This model was trained on drawn cells alone: it has never seen a real cell."
"""Stands with every verdict of a synthetic model."""


@dataclass(frozen=True)
class Enough:
    """The fewest cells a smear at which the run's vote was as good as it gets, on its own testing smears.

    Attributes
    ----------
    cells : int
        Fewest cells within TOLERANCE of the best size.
    correct : float
        Right verdicts with so many cells, in %.
    """

    cells: int
    correct: float


@dataclass(frozen=True)
class Origin:
    """What a model was trained on.

    Attributes
    ----------
    cohort, kind, profile : str
        Names; kind is synthetic, public or private. Empty where not known.
    source : str
        File that says so, empty where none does.
    enough : Enough or None
        None where the run has not measured it.
    own_cells : Path or None
        The run's own cohort.
    """

    cohort: str = ""
    kind: str = ""
    profile: str = ""
    source: str = ""
    enough: Enough | None = None
    own_cells: Path | None = None

    @classmethod
    def read(cls, run_dir: Path, settings: Mapping[str, Any]) -> Origin:
        """Ask the model's description, else results.json of the run, else the run's cohort.

        Parameters
        ----------
        run_dir : Path
            The run's folder.
        settings : mapping
            Description of module 1.
        """
        results, cohort = _read(run_dir / "results.json"), _read(run_dir / "cohort" / "cohort.json")
        there = _mapping(results.get("provenance"))
        said = {
            "models/module_1.json": _mapping(settings.get("trained_on")),
            "results.json": {
                "cohort": _mapping(there.get("cohort")).get("name"),
                "kind": _mapping(there.get("cohort")).get("kind"),
                "profile": _mapping(there.get("profile")).get("name"),
            },
            "cohort/cohort.json": {"cohort": cohort.get("name"), "kind": cohort.get("kind")},
        }
        source = next((source for source, facts in said.items() if facts.get("kind")), "")
        facts = {name: visible(said.get(source, {}).get(name) or "") for name in ("cohort", "kind", "profile")}
        return cls(**facts, source=source, enough=_enough(results), own_cells=(run_dir / "cohort").resolve())

    @property
    def synthetic(self) -> bool:
        """Whether the model has seen drawn cells alone."""
        return self.kind == "synthetic"

    @property
    def words(self) -> str:
        """One sentence: kind, cohort, profile."""
        if not self.kind:
            return "What this model was trained on is not known."
        under = f", profile `{self.profile}`" if self.profile else ""
        return f"Trained on the {self.kind} cohort `{self.cohort}`{under}."

    def is_own(self, path: Path) -> bool:
        """Whether a file or folder lies inside the run's own cohort."""
        return self.own_cells is not None and path.resolve().is_relative_to(self.own_cells)


def _mapping(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, dict) else {}


def _read(file: Path) -> Mapping[str, Any]:
    # A run that is not finished has no results, and a damaged page of results takes nothing from the networks.
    try:
        with reading(file):
            return _mapping(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, Damaged):
        return {}


def _enough(results: Mapping[str, Any]) -> Enough | None:
    items = results.get("items")
    correct: dict[int, float] = {}
    for item in map(_mapping, items if isinstance(items, list) else []):
        values = item.get("values")
        for value in map(_mapping, values if isinstance(values, list) else []):
            parts, found = str(value.get("key")).split("."), value.get("reproduced")
            if len(parts) != 3 or (parts[0], parts[2]) != ("cells_needed", "correct") or not parts[1].isdecimal():
                continue
            if isinstance(found, int | float):
                correct[int(parts[1])] = float(found)
    if not correct:
        return None
    cells = min(size for size, share in correct.items() if share >= max(correct.values()) - TOLERANCE)
    return Enough(cells, correct[cells])
