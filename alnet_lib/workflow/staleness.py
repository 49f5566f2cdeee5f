"""A fingerprint of all that a step's results depend on: code cells, the library they reach, the profile, the data.

Prose does not count, results of earlier steps are counted by their markers. Imports nothing heavy: Snakemake reads this
at every start.
"""

from __future__ import annotations

import json
from pathlib import Path

from alnet_lib.core.arguments import cohort_folders
from alnet_lib.core.code import closure, code_hash, imported_by
from alnet_lib.core.files import sha256
from alnet_lib.core.profile import Profile
from alnet_lib.core.resources import NOTEBOOKS_DIR
from alnet_lib.workflow.steps import AUDIT, COMPARISON

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
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.is_file():
                stat = path.stat()
                lines.append(f"{path.relative_to(root)} {stat.st_size} {stat.st_mtime_ns}")
    return sha256(*lines)


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
