"""Compares a run with its index of digests, puts aside what is damaged, and has it made again.

What a step made is made again by that step, and what rests on it by the steps that follow: their markers go, and with
them the report, so that the next `alnet reproduce` runs them. Finished trainings stay as long as they are sound.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from alnet_lib.core.integrity import index
from alnet_lib.core.integrity.index import State
from alnet_lib.core.integrity.reading import Damaged, put_aside, reading
from alnet_lib.paper.items import ITEMS
from alnet_lib.workflow.steps import AUDIT, COMPARISON, STEPS, TRAINING, marker

REPORT = "report"
"""What makes results.json, the checklists and the pages; its marker is the report's first page."""

REPORT_MARKER = "report/index.html"

_OF_FOLDER = {
    **dict.fromkeys(("cohort", "pixels", "features", "items", "tables", "figures", "done", "notebooks"), AUDIT),
    **dict.fromkeys(("models", "predictions", "cross_fitting"), TRAINING),
    "comparison": COMPARISON,
}
"""Folder of the kit's -> step that makes a file in it again, where neither name nor index tells: rather too much."""

_UNMISSED = ("pixels/", "features/", "cohort/images/")
"""Made again by whatever step needs them."""


@dataclass(frozen=True)
class Finding:
    """A file that is not as it was written.

    Attributes
    ----------
    path : str
        Relative to the run.
    what : str
        `damaged` or `missing`.
    step : str
        Makes it again: a notebook, `report`, or empty for what every `alnet reproduce` writes.
    """

    path: str
    what: str
    step: str


@dataclass(frozen=True)
class Examined:
    """What was seen of a run.

    Attributes
    ----------
    sound, unknown : int
        Files that are as they were written, and files that the index does not know: of these only the form is examined.
    unreadable : int
        Lines of the index that do not count.
    findings : tuple of Finding
        By path.
    """

    sound: int
    unknown: int
    unreadable: int
    findings: tuple[Finding, ...]


def examine(run_dir: Path, *, full: bool = False, unfinished: bool = False) -> Examined:
    """Compare every file of a run with the index.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    full : bool
        Read every file. Else only those whose size or time is another one: that takes no time, and does not see bytes
        that changed under the same size and time.
    unfinished : bool
        Also look at the form of what steps left that have not finished and will run again; `full` does.
    """
    known = index.Index(run_dir).refresh()
    there = [path.relative_to(run_dir).as_posix() for path in run_dir.rglob("*") if _is_file(path)]
    count, findings = {State.sound: 0, State.damaged: 0, State.unknown: 0}, []
    for path in filter(lambda path: not index.passing(path), there):
        try:
            state = known.state(path, full=full)
            counts = full or unfinished or _finished(run_dir, step_of(path, known))
            if state is State.unknown and path.split("/")[0] in _OF_FOLDER and counts:
                state = State.unknown if _well_formed(run_dir / path) else State.damaged
        except FileNotFoundError:
            continue
        except OSError:  # It cannot be read.
            state = State.damaged
        count[state] += 1
        if state is State.damaged:
            findings.append(Finding(path, "damaged", step_of(path, known)))
    for path in sorted(set(known) - set(there)):
        step = step_of(path, known)
        needed = not path.startswith(_UNMISSED) and not path.endswith(".checkpoint")
        # Neither is a folder of its name, or a pipe, the file that was written.
        if needed and not _is_file(run_dir / path) and (not step or _finished(run_dir, step)):
            findings.append(Finding(path, "missing", step))
    ordered = tuple(sorted(findings, key=lambda finding: finding.path))
    return Examined(count[State.sound], count[State.unknown], known.unreadable, ordered)


def mend(run_dir: Path, findings: tuple[Finding, ...]) -> list[str]:
    """Put aside what is damaged, and remove the markers of what is to run again.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    findings : tuple of Finding
        Of `examine`.

    Returns
    -------
    list of str
        Steps that run again, in the order of the work, `report` last.
    """
    again = {finding.step for finding in findings if finding.step}
    for finding in findings:
        path = run_dir / finding.path
        if path.exists():
            put_aside(path)
        else:
            index.remove(path)
        if finding.step == COMPARISON and finding.path.startswith("comparison/"):
            unit = re.sub(r"-depth\d+\.parquet$", ".json", finding.path)
            index.remove(run_dir / unit)
    for step in STEPS.values():
        again |= {step.notebook} if again & set(step.needs) else set()
    for name in again & STEPS.keys():
        index.remove(run_dir / marker(name))
    if again:
        index.remove(run_dir / REPORT_MARKER)
    return [*(name for name in STEPS if name in again), *([REPORT] if again else [])]


def told(run_dir: Path, findings: tuple[Finding, ...], steps: list[str]) -> str:
    """Say what `mend` did, a line a file."""
    aside = {"damaged": f", put aside with `{index.ASIDE}` after its name", "missing": ""}
    lines = [f"{run_dir / one.path} is {one.what}{aside[one.what]}" for one in findings]
    return "\n".join(lines + ([f"made again by: {', '.join(steps)}"] if steps else []))


def put_aside_one(run_dir: Path, path: Path, *, at_work: str) -> str:
    """Put aside one file of a run in which a step is at work, and tell of it.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    path : Path
        The file.
    at_work : str
        Step that runs now; it is not made to run again.
    """
    relative = path.relative_to(run_dir).as_posix()
    step = step_of(relative, index.Index(run_dir).refresh())
    findings = (Finding(relative, "damaged", "" if step == at_work else step),)
    return told(run_dir, findings, mend(run_dir, findings))


def require_sound(run_dir: Path) -> None:
    """Refuse a run in which something is damaged, but for the report, which is written anew.

    Parameters
    ----------
    run_dir : Path
        A run directory.

    Raises
    ------
    Damaged
        The message names every damaged file, and the command that has it made again.
    """
    findings = examine(run_dir, unfinished=True).findings
    damaged = [one for one in findings if one.what == "damaged" and one.step != REPORT]
    if damaged:
        names = "\n".join(f"- {run_dir / one.path}" for one in damaged)
        raise Damaged(f"not what was written, or cut off when a run was killed:\n{names}\n{advice(run_dir)}")


def advice(run_dir: Path) -> str:
    """Say what to do about a damaged file."""
    return f"`alnet verify --mend {run_dir}` puts it aside; the same `alnet reproduce` as before makes it again."


def step_of(path: str, known: index.Index) -> str:
    """Tell the step that makes a file, from its place or from the index.

    Parameters
    ----------
    path : str
        Relative to the run.
    known : Index
        Of the run.
    """
    folder, _, name = path.rpartition("/")
    stem = name.partition(".")[0]
    if folder.split("/")[0] in (REPORT, "checklists", "compared") or path == "results.json":
        return REPORT
    if folder in ("done", "notebooks") and stem in STEPS:
        return stem
    if folder in ("items", "tables", "figures") and stem in ITEMS:
        return ITEMS[stem].notebook
    return known.step(path) or _OF_FOLDER.get(folder.split("/")[0], "")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # Its folder may not be looked into.
        return False


def _finished(run_dir: Path, step: str) -> bool:
    return (run_dir / (REPORT_MARKER if step == REPORT else marker(step))).is_file() if step else False


_PARSED = {
    ".json": lambda path: json.loads(path.read_bytes()),
    ".ipynb": lambda path: json.loads(path.read_bytes())["cells"],
    ".parquet": pq.read_metadata,
    ".npy": lambda path: np.load(path, mmap_mode="r"),
}


def _well_formed(path: Path) -> bool:
    """Whether a file without a digest has content, and can be read where that takes little time."""
    if path.stat().st_size == 0:
        return False
    try:
        with reading(path):
            _PARSED.get(path.suffix, Path.stat)(path)
    except Damaged:
        return False
    return True
