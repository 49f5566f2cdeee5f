"""The files that pages link to or show, copied into the report's folder, so that it stands alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from alnet_lib.core.files import atomic_path, sweep, write_text
from alnet_lib.core.integrity.reading import reading
from alnet_lib.core.resources import cores
from alnet_lib.report.pages import notebook

LARGE = 100_000
"""Bytes of a picture beyond which it need not be kept pixel for pixel."""

FOLDER = "files"
"""In the report's folder; below it the files lie as they do in the run."""


def stored(name: str) -> str:
    """Name in the report's folder of a file of a run: `files/figures/x.webp` of `figures/x.png`."""
    return f"{FOLDER}/{name.removesuffix('.png')}.webp" if name.endswith(".png") else f"{FOLDER}/{name}"


def copied(run_dir: Path, out: Path, names: Iterable[str]) -> dict[str, str]:
    """Copy files of a run into <out>/files, and remove what earlier reports left there.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    out : Path
        The report's folder.
    names : iterable of str
        Relative to the run; what is not there, or lies outside the run, is left out. Notebooks are copied as
        `notebook.handed_on` writes them, PNG pictures as WebP.

    Returns
    -------
    dict of str to str
        Name to address on a page of the report.

    Raises
    ------
    alnet_lib.core.integrity.reading.Damaged
        A file is not what was written.
    """
    known: dict[str, str] = {}
    home, made = run_dir.resolve(), set()
    with ThreadPoolExecutor(cores()) as pool:
        waiting = []
        for name in dict.fromkeys(names):
            source = (run_dir / name).resolve()
            if not source.is_file() or not source.is_relative_to(home):
                continue
            target = out / stored(name)
            if name.endswith(".png"):
                waiting.append(pool.submit(_smaller, source, target))
            elif not name.endswith(".ipynb"):
                _copy(source, target)
            made.add(target)
            known[name] = quote(target.relative_to(out).as_posix())
        for each in waiting:
            each.result()
    beside = {name: f"..{address.removeprefix(FOLDER)}" for name, address in known.items()}
    for name in known:
        if name.endswith(".ipynb"):
            write_text(out / FOLDER / name, notebook.handed_on(run_dir / name, run_dir, beside))
    sweep(path for path in (out / FOLDER).rglob("*") if path.is_file() and path not in made)
    return known


def _copy(source: Path, target: Path) -> None:
    # A copy, not a hard link: the run may write its files anew while someone reads the report.
    with reading(source), atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _smaller(source: Path, target: Path) -> None:
    """Write a PNG picture as WebP: pixel for pixel, but large photographs as near to it as the eye can tell.

    The run's own figures/ keeps every pixel.
    """
    with reading(source), Image.open(source) as picture:
        drawn = picture.convert("RGBA")
    exact, near = BytesIO(), BytesIO()
    drawn.save(exact, format="WEBP", lossless=True, exact=True, method=2, quality=60)
    if exact.tell() > LARGE:
        drawn.save(near, format="WEBP", quality=90, method=4)
    with atomic_path(target) as temporary:
        temporary.write_bytes((near if 0 < near.tell() < exact.tell() / 2 else exact).getvalue())
