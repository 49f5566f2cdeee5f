"""A run: one cohort under one profile, and the directory where everything about it lies (design contract 3)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from alnet_lib import paper, results
from alnet_lib.files import atomic_path, sha256, write_json, write_text
from alnet_lib.profile import Profile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from alnet_lib.cohorts.manifest import Cohort

RUNS_DIR = Path(__file__).resolve().parent.parent / "runs"
NOTEBOOKS = (
    "01_data_audit",
    "02_backbone_comparison",
    "03_alnet_training",
    "04_smear_roc",
    "05_external_validation",
    "06_feature_maps",
    "07_scorecard",
)


class MissingArtefact(FileNotFoundError):
    """Something an earlier notebook makes is not there; the message says which command makes it."""


@dataclass(frozen=True)
class Unavailable:
    """What stands for a result that this cohort cannot give. False in a condition."""

    reason: str

    def __bool__(self) -> bool:
        return False


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
        notebook: e.g. `03_alnet_training`. cohort: name known to alnet_lib.cohorts. profile: file name in profiles/.
        data: folder of a real cohort's original download. run_dir: default runs/<cohort>-<profile>.

        Raises
        ------
        ProfileError
            unknown profile or invalid setting. ValueError: unknown notebook.
        """
        if notebook not in NOTEBOOKS:
            raise ValueError(f"unknown notebook `{notebook}`: known are {', '.join(NOTEBOOKS)}")
        directory = Path(run_dir) if run_dir else RUNS_DIR / f"{cohort}-{profile}"
        directory.mkdir(parents=True, exist_ok=True)
        return cls(notebook, directory.resolve(), cohort, data, Profile.load(profile, cohort))

    @property
    def device(self) -> str:
        """`cpu` or `cuda`, as the profile and the machine have it."""
        from alnet_lib.training import resolve_device

        return resolve_device(self.profile.device)

    @property
    def command(self) -> str:
        """The command line that runs this run's notebooks."""
        data = f" --data {self.data}" if self.data else ""
        return f"alnet reproduce --cohort {self.cohort_name} --profile {self.profile.name}{data}"

    # --- what goes in ------------------------------------------------------------------------------------------

    def build_cohort(self) -> Cohort:
        """Build, validate and save the cohort into <run>/cohort (notebook 01 does this), with its provenance."""
        from alnet_lib import cohorts

        cohort = cohorts.build(
            self.cohort_name,
            self.dir / "cohort",
            data=self.data or None,
            scale=self.profile.scale,
            seed=self.profile.seed,
            split=self.profile.split,
            allow_truncated=self.profile.allow_truncated,
            progress=self.progress("cohort, images"),
        )
        results.write_provenance(
            self.dir,
            profile=self.profile.model_dump(),
            cohort={
                "name": cohort.name,
                "kind": cohort.kind,
                "images": len(cohort.manifest),
                "smears": int(cohort.people["smear_id"].nunique()),
                "patients": int(cohort.people["patient_id"].nunique()),
                "nameless": int(cohort.people["patient_id"].isna().sum()),
                "content_hash": cohort.content_hash,
            },
            device=self.device,
            precision=self.profile.precision,
            seed=self.profile.seed,
        )
        return cohort

    def cohort(self) -> Cohort:
        """The cohort that notebook 01 built.

        Raises
        ------
        MissingArtefact
            it has not been built.
        """
        from alnet_lib.cohorts.manifest import Cohort

        self.need("cohort/manifest.parquet", "01_data_audit")
        return Cohort.load(self.dir / "cohort")

    def pixels(self) -> np.ndarray:
        """uint8 (n, S, S, 3), one row an image of the manifest, decoded once and memory-mapped."""
        from alnet_lib import images

        return images.pixels(
            self.cohort(),
            self.profile.image_size,
            crop=self.profile.crop,
            cache=self.dir / "pixels",
            allow_truncated=self.profile.allow_truncated,
            progress=self.progress("pixels, images"),
        )

    def need(self, relative: str, notebook: str) -> Path:
        """The path of an artefact of this run.

        Raises
        ------
        MissingArtefact
            it is not there; the message names the command that makes it.
        """
        path = self.dir / relative
        if not path.exists():
            raise MissingArtefact(
                f"{path} is missing: notebook {notebook} makes it. Run `{self.command} --until {notebook}` first."
            )
        return path

    def generator(self, purpose: str) -> np.random.Generator:
        """A random generator seeded from the profile and named for its purpose."""
        return self.profile.generator(purpose)

    # --- what comes out ----------------------------------------------------------------------------------------

    def table(
        self,
        id: str,
        frame: pd.DataFrame,
        caption: str,
        *,
        title: str = "",
        values: Iterable[results.Value] = (),
        index: bool = True,
        digits: int | None = None,
        shown: pd.DataFrame | None = None,
    ) -> Any:
        """Save `frame` as tables/<id>.csv, record the item, and return what a notebook displays.

        digits: decimals displayed. shown: display this frame instead, e.g. one with fewer columns.
        """
        from alnet_lib import tables

        with atomic_path(self.dir / "tables" / f"{id}.csv") as temporary:
            frame.to_csv(temporary, index=index, lineterminator="\n")
        self._item(id, "table", title, "reproduced", caption=caption, files=(f"tables/{id}.csv",), values=values)
        frame = frame if shown is None else shown
        shown = frame.round(digits) if digits is not None else frame
        return tables.show_table(shown, caption=caption, id=id, index=index)

    def figure(
        self,
        id: str,
        figure: Figure,
        caption: str,
        *,
        title: str = "",
        values: Iterable[results.Value] = (),
        alt: str = "",
    ) -> Any:
        """Save `figure` as figures/<id>.svg and .png, record the item, and return what a notebook displays."""
        from alnet_lib import plots

        _, png = plots.save(figure, self.dir / "figures" / id)
        alt = alt or getattr(figure, "alt", "") or caption
        files = (f"figures/{id}.svg", f"figures/{id}.png")
        self._item(id, "figure", title, "reproduced", caption=caption, files=files, values=values, alt=alt)
        return results.show_figure(png, alt=alt, id=id, caption=caption)

    def unavailable(self, id: str, reason: str, *, title: str = "") -> Any:
        """Record that this cohort cannot give the item, with the reason, and return what a notebook displays."""
        kind = "figure" if "figure" in id else "table"
        self._item(id, kind, title, "unavailable", reason=reason)
        return results.show_unavailable(id, reason, title=title)

    def _item(self, id: str, kind: str, title: str, status: str, **details: Any) -> None:
        title = title or (paper.ITEMS[id][0] if id in paper.ITEMS else id)
        details = details | {"values": tuple(details.get("values", ()))}
        item = results.Item(id=id, title=title, kind=kind, status=status, notebook=self.notebook, **details)
        results.write_item(self.dir, item)

    def finish(self) -> str:
        """Write the completion marker: a hash of this notebook's results, which later steps depend on."""
        own = [item for item in results.read_items(self.dir) if item["notebook"] == self.notebook]
        stable = json.dumps(own, sort_keys=True)
        files = sorted(self.dir / file for item in own for file in item["files"] if file.endswith(".csv"))
        parts = [stable, *files]
        for artefact in ("cohort/manifest.parquet", "predictions/cells.parquet"):
            if self.notebook == {"cohort": "01_data_audit", "predictions": "03_alnet_training"}[artefact.split("/")[0]]:
                parts += [self.dir / artefact] if (self.dir / artefact).exists() else []
        digest = sha256(*parts)
        write_json(self.dir / "done" / f"{self.notebook}.json", {"notebook": self.notebook, "results": digest})
        return f"{self.notebook}: {len(own)} items, results {digest[:12]}"

    # --- progress ----------------------------------------------------------------------------------------------

    def progress(self, label: str, part: str = "") -> Callable[[int, int], None]:
        """A callback (done, total) that shows one line which replaces itself, with rate and time left.

        part: names the line of one of several jobs that work side by side for this notebook.
        """
        name = f"{self.notebook}-{part}" if part else self.notebook
        return ProgressLine(label, self.dir / "progress" / f"{name}.txt")


class ProgressLine:
    """One line with count, rate and time left: in a notebook it updates in place, and a cell's last one stays.

    The line is also written to a small file, which `alnet reproduce` shows in the terminal.
    """

    _of_cell: ClassVar[tuple[int, Any]] = (-1, None)

    def __init__(self, label: str, file: Path | None = None, every: float = 1.0) -> None:
        self.label, self.file, self.every = label, file, every
        self.began = time.perf_counter()
        self.shown = -every
        self.first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.perf_counter() - self.began
        if self.first is None:
            self.first = done
        if now - self.shown < self.every and done < total:
            return
        self.shown = now
        rate = (done - self.first) / now if now > 0 and done > self.first else 0.0
        left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
        self._show(
            f"{self.label}: {done:,} of {total:,}"
            + (f", {rate:.1f}/s{left}" if rate else "")
            + (f", {now:.0f} s" if done >= total else "")
        )

    def _show(self, line: str) -> None:
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            get_ipython = None
        if get_ipython and (shell := get_ipython()) is not None:
            # A hundred trainings in one cell replace each other's line.
            cell, handle = ProgressLine._of_cell
            if handle is None or cell != shell.execution_count:
                handle = display({"text/plain": line}, raw=True, display_id=True)
                ProgressLine._of_cell = (shell.execution_count, handle)
            else:
                handle.update({"text/plain": line}, raw=True)
        if self.file is not None:
            write_text(self.file, line)
