"""A fingerprint of all that a step's results depend on: code cells, the library they reach, the profile, the data.

Prose does not count, results of earlier steps are counted by their markers. Imports nothing heavy: Snakemake reads this
at every start.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from alnet_lib.core.arguments import cohort_folders
from alnet_lib.core.code import closure, code_hash, imported_by
from alnet_lib.core.files import TEMPORARY, sha256
from alnet_lib.core.profile import Profile
from alnet_lib.core.resources import NOTEBOOKS_DIR
from alnet_lib.workflow.children import SOCKETS, alive
from alnet_lib.workflow.steps import AUDIT, COMPARISON, EXTERNAL, TRAINING, marker

UNIT_JOB = "alnet_lib.workflow.jobs"
"""Module that runs a unit of the comparison; notebook 02 only collects what it left."""


def cell_code(notebook: Path) -> str:
    """Source of a notebook's code cells, joined; prose and outputs do not count."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def modules_of(notebook: str) -> set[str]:
    """Modules of the kit that a notebook imports.

    Parameters
    ----------
    notebook : str
        Name without its ending.

    Returns
    -------
    set of str
        For the comparison, also the module that runs its units.
    """
    found = imported_by(cell_code(NOTEBOOKS_DIR / f"{notebook}.ipynb"))
    return found | ({UNIT_JOB} if notebook == COMPARISON else set())


def library_files(notebook: str) -> list[Path]:
    """Files of the library that a notebook reaches by imports; see `core.code.closure`."""
    return closure(modules_of(notebook))


def data_fingerprint(cohort: str, data: str) -> str:
    """SHA-256 of names, sizes and modification times of the files below the cohort's folder (of each, if several)."""
    roots = [Path(folder).expanduser() for folder in cohort_folders(cohort, data).values()]
    lines = []
    for root in roots:
        found = _files(str(root)) if root.is_dir() else [(".", root.stat())] if root.is_file() else []
        # In the order of folders and names, as paths are compared.
        for path, stat in sorted(found, key=lambda one: one[0].split(os.sep)):
            lines.append(f"{path} {stat.st_size} {stat.st_mtime_ns}")
    return sha256(*lines)


def _files(root: str, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Every file below a folder: its path from there, and what the system knows of it.

    Each is looked at, since a file that is written over does not change the time of its folder.
    """
    folders = []
    with suppress(PermissionError), os.scandir(os.path.join(root, below)) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(os.path.join(below, entry.name))
            elif entry.is_file():
                yield os.path.join(below, entry.name), entry.stat()
    for folder in folders:
        yield from _files(root, folder)


def fingerprint(notebook: str, *, cohort: str, profile: str, data: str) -> str:
    """One hash of all that a step's results depend on beside the results of earlier steps.

    Parameters
    ----------
    notebook, cohort, profile : str
        Names.
    data : str
        Folder or folders of the original download; only the first step reads them.

    Returns
    -------
    str
        Hexadecimal SHA-256.
    """
    settings = Profile.load(profile, cohort).model_dump_json()
    code = cell_code(NOTEBOOKS_DIR / f"{notebook}.ipynb")
    parts = [code, code_hash(*sorted(modules_of(notebook))), settings]
    if notebook == AUDIT:
        parts.append(data_fingerprint(cohort, data))
    return sha256(*parts)


def prose_hash() -> str:
    """SHA-256 of all notebooks and of what renders them: the report is written again when prose changes."""
    return sha256(code_hash("alnet_lib.report.rendering"), *sorted(NOTEBOOKS_DIR.glob("*.ipynb")))


TRAIN_IN = {"models": (TRAINING, EXTERNAL), "comparison": (COMPARISON,)}
"""Folder of a run -> steps whose trainings leave checkpoints in it."""

FINISHED = {"models": ("-", ".safetensors"), "comparison": (".", ".parquet")}
"""Folder of a run -> what stands before the key in a checkpoint's name, and the ending of the finished training."""


def unfinished(run_dir: Path) -> Iterator[Path]:
    """Find what killed processes were writing: temporary files, and the scratch folder of the comparison.

    Parameters
    ----------
    run_dir : Path
        A run directory in which nothing is at work.
    """
    yield from (path for path in run_dir.rglob(f"{TEMPORARY}*") if not _being_written(path))
    yield from (run_dir / "comparison").glob("scratch/*")


def orphaned_sockets() -> Iterator[Path]:
    """Find the folders with sockets of this user's kernels whose job was killed."""
    if sys.platform == "win32":
        return
    for path in Path(tempfile.gettempdir()).glob(f"{SOCKETS}*-*"):
        job = path.name.removeprefix(SOCKETS).partition("-")[0]
        if job.isdecimal() and path.lstat().st_uid == os.getuid() and not alive(int(job)):
            yield path


def abandoned(run_dir: Path) -> Iterator[Path]:
    """Find checkpoints that no training will take up.

    Those are older than what the same training left when it finished, than another checkpoint of it (the settings have
    changed since), or than the end of every step that trains there.

    Parameters
    ----------
    run_dir : Path
        A run directory in which nothing is at work.
    """
    for folder, steps in TRAIN_IN.items():
        separator, ending = FINISHED[folder]
        checkpoints = {path: path.stat().st_mtime for path in (run_dir / folder).rglob("*.checkpoint")}
        ends = [run_dir / marker(step) for step in steps]
        last_end = min(map(_modified, ends))
        for path, modified in checkpoints.items():
            name = path.stem.rpartition(separator)[0]
            others = [at for other, at in checkpoints.items() if other.stem.rpartition(separator)[0] == name]
            if modified < max(last_end, _modified(path.with_name(name + ending)), *others):
                yield path


def _being_written(path: Path) -> bool:
    # A notebook opened by hand holds no lock; the temporary file's name has the process that writes it.
    writer = path.name.removeprefix(TEMPORARY).partition("-")[0]
    if sys.platform == "win32" or not writer.isdecimal():
        return time.time() - path.stat().st_mtime < 3600
    return alive(int(writer))


def _modified(path: Path) -> float:
    return path.stat().st_mtime if path.is_file() else 0.0
