"""A run: one cohort under one profile, and the directory where everything about it lies (design contract 3)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from alnet_lib.cohorts import schema
from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.core.files import atomic_path, sha256, write_json
from alnet_lib.core.integrity import index
from alnet_lib.core.integrity.reading import reading
from alnet_lib.core.outcomes import MissingArtefact, Unavailable
from alnet_lib.core.profile import Profile
from alnet_lib.core.progress import Progress, ProgressLine
from alnet_lib.core.resources import runs_dir
from alnet_lib.figures import display, tables
from alnet_lib.figures.style import save
from alnet_lib.imaging.pixels import pixel_array
from alnet_lib.paper.items import ITEMS
from alnet_lib.paper.values import Result, Value
from alnet_lib.workflow import provenance, recorder
from alnet_lib.workflow.plan import measured as took
from alnet_lib.workflow.steps import AUDIT, STEPS, TRAINING, marker

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from alnet_lib.experiments.datasets import CellImages
    from alnet_lib.experiments.preparation import Setup

COHORT_DIR = "cohort"
MANIFEST = f"{COHORT_DIR}/manifest.parquet"
ABOUT_COHORT = f"{COHORT_DIR}/cohort.json"
PREDICTIONS = "predictions/cells.parquet"
CROSS_FITTED = "predictions/cross_fitted.parquet"


def why_not(file: str) -> str:
    """Name the file with the reason where there are no such predictions, relative to the run directory."""
    return file.removesuffix(".parquet") + ".json"


@dataclass
class Run:
    """The run that a notebook belongs to. Open it with `Run.open`."""

    notebook: str
    dir: Path
    cohort_name: str
    data: str
    profile: Profile

    @classmethod
    def open(
        cls,
        notebook: str,
        *,
        cohort: str = "synthetic",
        profile: str = "quick",
        data: str = "",
        run_dir: str = "",
    ) -> Run:
        """Open (or begin) the run directory of a notebook.

        Parameters
        ----------
        notebook : str
            E.g. `03_alnet_training`.
        cohort : str
            Name of a cohort, see `alnet cohort list`.
        profile : str
            File name in profiles/.
        data : str
            Folder of a real cohort's original download.
        run_dir : str
            Default runs/<cohort>-<profile>.

        Raises
        ------
        alnet_lib.core.profile.ProfileError
            Unknown profile or invalid setting.
        ValueError
            Unknown notebook.
        """
        if notebook not in STEPS:
            raise ValueError(f"unknown notebook `{notebook}`: known are {', '.join(STEPS)}")
        directory = Path(run_dir) if run_dir else runs_dir() / f"{cohort}-{profile}"
        directory.mkdir(parents=True, exist_ok=True)
        index.begin(directory)
        os.environ[index.STEP] = notebook
        return cls(notebook, directory.resolve(), cohort, data, Profile.load(profile, cohort))

    @property
    def device(self) -> str:
        """`cpu` or `cuda`, as the profile and the machine have it."""
        from alnet_lib.training.device import resolve_device

        return resolve_device(self.profile.device)

    @property
    def precision(self) -> str:
        """`float32` or `bf16`, as the profile and the device have it."""
        from alnet_lib.training.device import resolve_precision

        return resolve_precision(self.profile.precision, self.device)

    @property
    def command(self) -> str:
        """The command line that runs this run's notebooks."""
        data = f" --data {self.data}" if self.data else ""
        return f"alnet reproduce --cohort {self.cohort_name} --profile {self.profile.name}{data}"

    # --- what goes in ------------------------------------------------------------------------------------------

    def begin(self, cohort: Cohort) -> None:
        """Write the provenance of a run on this cohort (notebook 01 does this once the cohort is built)."""
        from alnet_lib.networks.starts.start import origins_of
        from alnet_lib.training.device import use_tensor_cores

        about = {
            "name": cohort.name,
            "kind": cohort.kind,
            "images": len(cohort.manifest),
            "smears": int(cohort.identified["smear_id"].nunique()),
            "patients": int(cohort.identified["patient_id"].nunique()),
            "nameless": int(cohort.identified["patient_id"].isna().sum()),
            "content_hash": cohort.content_hash,
        }
        profile = self.profile
        starts = {name: profile.start_of(name) for name in profile.networks}
        provenance.write_provenance(
            self.dir, profile=profile.model_dump(), cohort=about, device=self.device, precision=self.precision,
            seed=profile.seed, starts=origins_of(starts, profile.weights_dir), cuda=use_tensor_cores(self.device),
        )  # fmt: skip

    def cohort(self) -> Cohort:
        """Load the cohort that notebook 01 built.

        Raises
        ------
        MissingArtefact
            It has not been built.
        """
        self.need(MANIFEST, AUDIT)
        self.need(ABOUT_COHORT, AUDIT)
        return Cohort.load(self.dir / COHORT_DIR)

    def images(self, size: int = 0, crop: float = 0.0) -> CellImages:
        """Give the cohort's manifest and its pixels, uint8 (n, S, S, 3), decoded once and memory-mapped.

        Parameters
        ----------
        size : int
            Pixels a side; 0 for the profile's.
        crop : float
            Central square kept, as a fraction of the shorter side; 0 for the profile's.
        """
        from alnet_lib.experiments.datasets import CellImages

        cohort, profile = self.cohort(), self.profile
        pixels = pixel_array(
            cohort.files, cohort.crops, size or profile.image_size,
            crop=crop or profile.crop, cache=self.dir / "pixels", content_hash=cohort.content_hash,
            allow_truncated=profile.allow_truncated, progress=self.progress("pixels, images"),
        )  # fmt: skip
        return CellImages(cohort.manifest, pixels, cohort.content_hash, cohort.name, cohort.kind)

    def pictures(self, image_ids: Iterable[str], side: int = 0) -> list[np.ndarray]:
        """Read cells from their files, uint8 (S, S, 3): `side` pixels, 0 for the file's own, whatever networks see."""
        profile = self.profile
        return self.cohort().pictures(image_ids, side, crop=profile.crop, allow_truncated=profile.allow_truncated)

    def setup(self) -> Setup:
        """Gather what trainings and analyses of this run take: images, profile, folder, device, progress."""
        import torch

        from alnet_lib.experiments.preparation import Setup
        from alnet_lib.training.device import use_tensor_cores

        torch.set_num_threads(self.profile.threads)
        use_tensor_cores(self.device)
        return Setup(self.images(), self.profile, self.dir, self.device, self.progress)

    def save_predictions(self, cells: pd.DataFrame | Unavailable) -> None:
        """Write the cells' probabilities to <run>/predictions/cells.parquet, or why there are none.

        Parameters
        ----------
        cells : DataFrame or Unavailable
            Of `experiments.module_training.predicted`.

        Raises
        ------
        alnet_lib.cohorts.schema.SchemaError
            Columns or values that are not those of predictions; every problem is listed.
        """
        self._save_cells(cells, PREDICTIONS, "the predictions")

    def predictions(self) -> pd.DataFrame | Unavailable:
        """Read what `save_predictions` wrote, one row a cell.

        Raises
        ------
        MissingArtefact
            Notebook 03 has not run.
        """
        return self._cells(PREDICTIONS)

    def save_cross_fitted(self, cells: pd.DataFrame | Unavailable) -> None:
        """Write the cross-fitted probabilities to <run>/predictions/cross_fitted.parquet, or why there are none.

        Parameters
        ----------
        cells : DataFrame or Unavailable
            Of `experiments.cross_fitting.cross_fitted`.

        Raises
        ------
        alnet_lib.cohorts.schema.SchemaError
            As `save_predictions`.
        """
        self._save_cells(cells, CROSS_FITTED, "the cross-fitted predictions")

    def cross_fitted(self) -> pd.DataFrame | Unavailable:
        """Read what `save_cross_fitted` wrote, one row a cell of the training split.

        Raises
        ------
        MissingArtefact
            Notebook 03 has not run.
        """
        return self._cells(CROSS_FITTED)

    def _save_cells(self, cells: pd.DataFrame | Unavailable, file: str, what: str) -> None:
        kept, reason = self.dir / file, self.dir / why_not(file)
        if isinstance(cells, Unavailable):
            write_json(reason, {"reason": cells.reason})
            index.remove(kept)
            return
        schema.require(cells, schema.cells_schema(), what)
        with atomic_path(kept) as temporary:
            cells.to_parquet(temporary, index=False)
        index.remove(reason)

    def _cells(self, file: str) -> pd.DataFrame | Unavailable:
        if (reason := self.dir / why_not(file)).is_file():
            with reading(reason):
                return Unavailable(json.loads(reason.read_text(encoding="utf-8"))["reason"])
        with reading(self.need(file, TRAINING)) as path:
            return pd.read_parquet(path)

    def need(self, relative: str, notebook: str) -> Path:
        """Find an artefact of this run.

        Raises
        ------
        MissingArtefact
            It is not there; the message names the command that makes it.
        """
        path = self.dir / relative
        if not path.exists():
            raise MissingArtefact(
                f"{path} is missing: notebook {notebook} makes it. Run `{self.command} --until {notebook}` first."
            )
        return path

    def generator(self, purpose: str) -> np.random.Generator:
        """Make a random generator seeded from the profile and named for its purpose."""
        return self.profile.generator(purpose)

    # --- what comes out ----------------------------------------------------------------------------------------

    def table(
        self,
        id: str,
        result: Result | pd.DataFrame | Unavailable,
        caption: str,
        *,
        title: str = "",
        values: Iterable[Value] = (),
        index: bool = True,
        digits: int | None = None,
        shown: pd.DataFrame | Unavailable | None = None,
    ) -> Any:
        """Save a table as tables/<id>.csv, record the item, and return what a notebook displays.

        Parameters
        ----------
        id : str
            `table_07a`, or `extra_table_...` for what the paper does not have.
        result : Result, DataFrame or Unavailable
            The table; an `Unavailable` is recorded and shown with its reason.
        caption : str
            May name the result's facts in braces, e.g. `{accuracy:.1f}% of {n} cells`.
        title : str
            Of an item beyond the paper's.
        values : iterable of Value
            Beside those of the result.
        index : bool
            Whether the frame's index is part of the table.
        digits : int, optional
            Decimals displayed; the file keeps all.
        shown : DataFrame, optional
            Display this frame instead, e.g. one with fewer columns or with written-out cells.
        """
        if isinstance(result, Unavailable):
            return self._unavailable(id, "table", result.reason, title)
        made = Result(result) if isinstance(result, pd.DataFrame) else result
        caption = caption.format_map(made.facts) if made.facts else caption
        with atomic_path(self.dir / "tables" / f"{id}.csv") as temporary:
            made.frame.to_csv(temporary, index=index, lineterminator="\n")
        files = (f"tables/{id}.csv",)
        self._item(id, "table", title, "reproduced", caption=caption, files=files, values=(*made.values, *values))
        frame = shown if isinstance(shown, pd.DataFrame) else made.frame
        frame = frame.round(digits) if digits is not None else frame
        return tables.show_table(frame, caption=caption, id=id, index=index)

    def figure(
        self,
        id: str,
        figure: Figure | Unavailable,
        caption: str,
        *,
        of: Result | Unavailable | None = None,
        about: Result | Unavailable | None = None,
        title: str = "",
        values: Iterable[Value] = (),
        alt: str = "",
    ) -> Any:
        """Save a figure as figures/<id>.svg and .png, record the item, and return what a notebook displays.

        Parameters
        ----------
        id : str
            `figure_04`, or `extra_figure_...` for what the paper does not have.
        figure : Figure or Unavailable
            An `Unavailable` is recorded and shown with its reason.
        caption : str
            May name the facts of `of` or `about` in braces.
        of : Result, optional
            What the figure shows: its facts go into the caption, its values into the record.
        about : Result, optional
            Instead of `of` where a table has recorded the values already: its facts go into the caption.
        title : str
            Of an item beyond the paper's.
        values : iterable of Value
            Beside those of `of`.
        alt : str
            Text alternative; default the figure's own, else the caption.
        """
        if isinstance(figure, Unavailable):
            return self._unavailable(id, "figure", figure.reason, title)
        for given in (of, about):
            if isinstance(given, Unavailable):
                return self._unavailable(id, "figure", given.reason, title)
        made = of if isinstance(of, Result) else Result(pd.DataFrame())
        facts = about.facts if isinstance(about, Result) else made.facts
        caption = caption.format_map(facts) if facts else caption
        _, png = save(figure, self.dir / "figures" / id)
        alt = alt or getattr(figure, "alt", "") or caption
        files = (f"figures/{id}.svg", f"figures/{id}.png")
        every = (*made.values, *values)
        self._item(id, "figure", title, "reproduced", caption=caption, files=files, values=every, alt=alt)
        return display.show_figure(png, alt=alt, id=id, caption=caption)

    def _unavailable(self, id: str, kind: str, reason: str, title: str) -> Any:
        self._item(id, kind, title, "unavailable", reason=reason)
        return display.show_unavailable(id, reason, title=title)

    def _item(self, id: str, kind: str, title: str, status: str, **details: Any) -> None:
        title = title or (ITEMS[id].title if id in ITEMS else id)
        item = recorder.Item(id=id, title=title, kind=kind, status=status, notebook=self.notebook, **details)
        recorder.write_item(self.dir, item)

    def finish(self) -> str:
        """Write the completion marker: a hash of this notebook's results, which later steps depend on."""
        own = [item for item in recorder.read_items(self.dir) if item["notebook"] == self.notebook]
        files = sorted(self.dir / file for item in own for file in item["files"] if file.endswith(".csv"))
        parts: list[str | Path] = [json.dumps(own, sort_keys=True), *files]
        cells = [name for file in (PREDICTIONS, CROSS_FITTED) for name in (file, why_not(file))]
        made = {AUDIT: [MANIFEST], TRAINING: cells}.get(self.notebook, [])
        parts += [self.dir / artefact for artefact in made if (self.dir / artefact).exists()]
        digest = sha256(*parts)
        write_json(self.dir / marker(self.notebook), {"notebook": self.notebook, "results": digest})
        took.record(self.dir, self.notebook)
        return f"{self.notebook}: {len(own)} items, results {digest[:12]}"

    # --- progress ----------------------------------------------------------------------------------------------

    def progress(self, label: str, part: str = "") -> Progress:
        """Make a callback (done, total) that shows one line which replaces itself, with rate and time left.

        Parameters
        ----------
        label : str
            What is counted.
        part : str
            Names the line of one of several jobs that work side by side for this notebook.
        """
        name = f"{self.notebook}-{part}" if part else self.notebook
        return ProgressLine(label, self.dir / "progress" / f"{name}.txt")
