"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CohortName = Annotated[str, typer.Option(help="Cohort: `alnet cohort list`; `a+b` combines.")]

ProfileName = Annotated[str, typer.Option(help="Name of a file in profiles/.")]

Data = Annotated[str, typer.Option(help="Folder of a real cohort's original download; `a=DIR,b=DIR` for several.")]

AllowTruncated = Annotated[
    bool, typer.Option("--allow-truncated", help="Use JPEG files that end early; they are named.")
]

RunDir = Annotated[Path | None, typer.Option(help="Run directory; default runs/<cohort>-<profile>.")]

Rehearse = Annotated[
    bool, typer.Option("--rehearse", help="All of the profile at a fraction of its amounts; the numbers mean nothing.")
]


def folder_named(text: str) -> Path:
    """Read a folder's path.

    Parameters
    ----------
    text : str
        As given.

    Raises
    ------
    typer.BadParameter
        It is empty, as a shell's variable that is not set; a path would make the current folder of it.
    """
    if not text.strip():
        raise typer.BadParameter("the folder's name is empty")
    return Path(text)


def rehearsed(profile: str, rehearse: bool) -> str:
    """Name the profile that is meant.

    Parameters
    ----------
    profile : str
        As given.
    rehearse : bool
        Its rehearsal.
    """
    from alnet_lib.core.profile import REHEARSAL

    return f"{profile.removesuffix(REHEARSAL)}{REHEARSAL}" if rehearse else profile


def directory_of(run_dir: Path | None, cohort: str, profile: str) -> Path:
    """Return the run directory that is meant.

    Parameters
    ----------
    run_dir : Path or None
        As given.
    cohort, profile : str
        They name it when none is given.

    Returns
    -------
    Path
        It need not exist.
    """
    from alnet_lib.core.resources import runs_dir

    return run_dir or runs_dir() / f"{cohort}-{profile}"
