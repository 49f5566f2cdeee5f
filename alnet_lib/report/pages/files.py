"""The files that pages link to or show, copied into the report's folder, so that it stands alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from alnet_lib.core.files import atomic_path, sweep
from alnet_lib.core.integrity.reading import reading

FOLDER = "files"
"""In the report's folder; below it the files lie as they do in the run."""


def copied(run_dir: Path, out: Path, names: Iterable[str]) -> dict[str, str]:
    """Copy files of a run into <out>/files, and remove what earlier reports left there.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    out : Path
        The report's folder.
    names : iterable of str
        Relative to the run; what is not there, or lies outside the run, is left out.

    Returns
    -------
    dict of str to str
        Name to address on a page of the report.

    Raises
    ------
    alnet_lib.core.integrity.reading.Damaged
        A file is not what was written.
    """
    known, home = {}, run_dir.resolve()
    for name in dict.fromkeys(names):
        source = (run_dir / name).resolve()
        if not source.is_file() or not source.is_relative_to(home):
            continue
        # Copies, not hard links: the run may write its files anew while someone reads the report.
        with reading(source), atomic_path(out / FOLDER / name) as temporary:
            shutil.copyfile(source, temporary)
        known[name] = quote(f"{FOLDER}/{name}")
    kept = {out / FOLDER / name for name in known}
    sweep(path for path in (out / FOLDER).rglob("*") if path.is_file() and path not in kept)
    return known
