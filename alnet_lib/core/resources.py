"""What the kit brings and what it runs on: its notebooks, profiles and workflow, and the processors at hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

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


def home() -> Path:
    """Folder for what is kept for all runs of a user: `alnet` in $XDG_CACHE_HOME, else in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or (Path.home() / ".cache")) / "alnet"


def cores() -> int:
    """Processors that this process may use.

    Returns
    -------
    int
        at least 1.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(
    function: Callable[[int], T], count: int, workers: int | None = None, *, at_a_time: int = 64
) -> Iterator[T]:
    """Call a function with 0 to count - 1 in threads, and give its results in this order.

    Numbers are handed to the threads in parts: a million waiting calls, each on its own, would take gigabytes.

    Parameters
    ----------
    function : callable
        Called in several threads at once.
    count : int
        Number of calls.
    workers : int, optional
        Threads; default one a processor.
    at_a_time : int
        Calls of a part.

    Yields
    ------
    object
        What the function gave; an exception of its is raised at its place.
    """

    def part(first: int) -> list[T]:
        return [function(number) for number in range(first, min(first + at_a_time, count))]

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for results in pool.map(part, range(0, count, at_a_time)):
            yield from results
