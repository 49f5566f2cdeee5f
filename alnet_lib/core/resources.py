"""What the kit brings and what it runs on: its notebooks, profiles and workflow, and the processors at hand."""

from __future__ import annotations

import os
from pathlib import Path

LIBRARY = Path(__file__).resolve().parent.parent
"""Folder of the package `alnet_lib`."""


def _brought(name: str) -> Path:
    # A wheel carries them inside the package; in a checkout they lie beside it, where users look for them.
    inside = LIBRARY / "resources" / name
    return inside if inside.exists() else LIBRARY.parent / name


NOTEBOOKS_DIR = _brought("notebooks")
PROFILES_DIR = _brought("profiles")
SNAKEFILE = _brought("workflow") / "Snakefile"


def runs_dir() -> Path:
    """Folder that runs are written to unless a run directory is given.

    Returns
    -------
    Path
        `runs` beside the package in a checkout, else `runs` in the working directory.
    """
    beside = LIBRARY.parent
    return (beside if (beside / "pyproject.toml").is_file() else Path.cwd()) / "runs"


def cores() -> int:
    """Processors that this process may use.

    Returns
    -------
    int
        at least 1.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
