"""A finished run as a reader has it: nothing in its folder is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from alnet_lib.cohorts.manifest import Cohort, CohortError
from alnet_lib.core.integrity.reading import reading
from alnet_lib.core.outcomes import MissingArtefact, Unavailable
from alnet_lib.core.text import visible
from alnet_lib.diagnosis import cell_map
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.evaluation import smear_level
from alnet_lib.networks import storage
from alnet_lib.workflow.run import ABOUT_COHORT, COHORT_DIR, MANIFEST, PREDICTIONS, why_not

if TYPE_CHECKING:
    from alnet_lib.networks.network import Network

MAPPED = ("test", "external")
"""Splits whose cells the map shows: module 1 was not fitted on them."""

KEPT_PICTURES = 2000
"""Pictures held in memory; at 128 pixels a side they take 100 megabytes."""


@dataclass(frozen=True)
class LookingSettings:
    """What of a run's profile matters for looking at it.

    Attributes
    ----------
    name : str
        Of the profile.
    threshold : float
        Share of a smear's cells that a class must exceed, in [0, 1).
    crop : float
        Central square that the networks saw, as a fraction of the shorter side, in (0, 1].
    allow_truncated : bool
        Whether JPEG files that end early are used.
    """

    name: str
    threshold: float = 0.5
    crop: float = 1.0
    allow_truncated: bool = False


@dataclass(frozen=True)
class FinishedRun:
    """Cells, verdicts, pictures and networks of a run whose notebook 03 has run.

    Attributes
    ----------
    dir : Path
        The run's folder.
    cohort : Cohort
        As notebook 01 built it.
    cells : DataFrame
        The run's predictions, one row a cell, with `reference` and `predicted` (classes of module 1) and `p` (the
        probability of the class predicted, in [0, 1]).
    profile : LookingSettings
        Threshold and how pictures are read.
    """

    dir: Path
    cohort: Cohort
    cells: pd.DataFrame
    profile: LookingSettings
    _pictures: dict[tuple[str, int], np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, run_dir: str | Path) -> FinishedRun:
        """Read a run.

        Parameters
        ----------
        run_dir : str or Path
            E.g. `runs/synthetic-quick`.

        Raises
        ------
        MissingArtefact
            There is no such folder, its notebook 03 has not run, or could not train module 1. A FileNotFoundError.
        alnet_lib.core.integrity.reading.Damaged
            A file of it is damaged; the message names it.
        """
        folder = Path(run_dir).resolve()
        if (reason := folder / why_not(PREDICTIONS)).is_file():
            words = json.loads(reason.read_text(encoding="utf-8"))["reason"]
            raise MissingArtefact(f"{folder.name} has no predictions: {words}")
        for file in (MANIFEST, ABOUT_COHORT, PREDICTIONS, "provenance.json"):
            if not (folder / file).is_file():
                raise MissingArtefact(f"{folder / file} is missing: `alnet reproduce --until 03` makes it")
        with reading(folder / MANIFEST), reading(folder / ABOUT_COHORT):
            cohort = Cohort.load(folder / COHORT_DIR)
        with reading(folder / PREDICTIONS) as path:
            cells = pd.read_parquet(path)
        with reading(folder / "provenance.json") as path:
            profile: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["profile"]
        if strangers := set(cells["image_id"]) - set(cohort.manifest["image_id"]):
            raise CohortError(f"{len(strangers)} predicted cells of {folder} are not in its cohort")
        cells = cells.assign(reference=MODULE_1.reference(cells), predicted=MODULE_1.predicted(cells))
        cells["p"] = cells[MODULE_1.columns].max(axis=1)
        known = {name: profile[name] for name in LookingSettings.__dataclass_fields__ if name in profile}
        return cls(folder, cohort, cells, LookingSettings(**known))

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return visible(self.dir.name)

    @property
    def about(self) -> str:
        """One line: cohort and its kind, profile, and what a synthetic cohort says nothing about."""
        kind = "synthetic, not patients" if self.cohort.kind == "synthetic" else self.cohort.kind
        return f"{self.name}: cohort {visible(self.cohort.name)} ({kind}), profile {visible(self.profile.name)}"

    def predictions(self) -> pd.DataFrame:
        """Give `cells`, as a Run does."""
        return self.cells

    def votes(self, threshold: float) -> pd.DataFrame:
        """Let the eligible cells of every smear vote.

        Parameters
        ----------
        threshold : float
            In [0, 1); the share of cells that a class must exceed.

        Returns
        -------
        DataFrame
            One row a smear, as `evaluation.smear_level.votes_of`, and `outcome`: `correct`, `wrong`, `unknown` (no
            class exceeds the threshold), or empty where the diagnosis is not known.
        """
        votes: pd.DataFrame = smear_level.votes_of(
            self.cells[self.cells["eligible"]], MajorityAboveThreshold(threshold)
        )
        outcome = np.where(votes["verdict"].eq(votes["expected"]), "correct", "wrong").astype(object)
        outcome[votes["verdict"].eq("unknown").to_numpy()] = "unknown"
        judged = votes.index.isin(smear_level.judged(votes).index)
        return votes.assign(outcome=np.where(judged, outcome, ""))

    def files(self, smear: str) -> list[Path]:
        """Files of the eligible cells of a smear, in the order of `cells`."""
        own = self.cells[self.cells["smear_id"].eq(smear) & self.cells["eligible"]]
        return [self.cohort.root / path for path in own["path"]]

    def pictures(self, image_ids: Sequence[str] | pd.Series, side: int = 0) -> list[np.ndarray]:
        """Read cells from their files and keep them in memory.

        Parameters
        ----------
        image_ids : sequence of str
            Cells of the cohort.
        side : int
            Pixels a side; 0 for the file's own resolution.

        Returns
        -------
        list of ndarray
            uint8 (S, S, 3), RGB: the central square that the networks saw.

        Raises
        ------
        alnet_lib.imaging.decoding.ImageError
            A file is missing or cannot be read.
        """
        asked = [(str(name), side) for name in image_ids]
        new = [key for key in dict.fromkeys(asked) if key not in self._pictures]
        if len(self._pictures) + len(new) > KEPT_PICTURES:
            self._pictures.clear()
            new = list(dict.fromkeys(asked))
        settings = self.profile
        read = self.cohort.pictures(
            [name for name, _ in new], side, crop=settings.crop, allow_truncated=settings.allow_truncated
        )
        self._pictures.update(zip(new, read, strict=True))
        return [self._pictures[key] for key in asked]

    def network(self, module: str = "module_1") -> Network:
        """Load a trained module.

        Parameters
        ----------
        module : str
            `module_1` or `module_2`.

        Raises
        ------
        MissingArtefact
            The run has no such module.
        """
        path = self.dir / "models" / f"{module}.safetensors"
        if not path.is_file():
            raise MissingArtefact(f"{path} is missing: the run has no {module.replace('_', ' ')}")
        return storage.load_network(path)[0]

    @property
    def points(self) -> pd.DataFrame | Unavailable:
        """Rows of `cells` that the map shows, with their coordinates (`diagnosis.cell_map.COLUMNS`).

        Unavailable where the run was made before predictions had them.
        """
        if not set(cell_map.COLUMNS) <= set(self.cells):
            return Unavailable(f"the predictions of {self.name} have no map of the cells: notebook 03 makes it")
        return self.cells[self.cells["split"].isin(MAPPED)]
