"""The gallery's pictures: small ones on sheets, larger ones in files of their own, under names that say nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from alnet_lib.core.code import code_hash
from alnet_lib.core.files import atomic_path, sha256, sweep, write_json
from alnet_lib.core.resources import cores
from alnet_lib.imaging import decoding

SIDE, QUALITY = 96, 75
"""Pixels of a small picture's side, and quality of the WebP sheets: 1.2 kB a drawn cell."""

ACROSS = 16
"""Pictures in a row of a sheet, and rows."""

LARGE_SIDE, LARGE_QUALITY = 360, 60
"""The same for the larger pictures: the width of a CellaVision image."""

_KNOWN = "pictures.json"


@dataclass(frozen=True)
class Place:
    """Where a cell's small picture stands.

    Attributes
    ----------
    sheet : str
        File name.
    column, row : int
        On the sheet, from 0.
    """

    sheet: str
    column: int
    row: int


def place(number: int) -> Place:
    """Find a cell's picture from its number, which begins at 1."""
    sheet, position = divmod(number - 1, ACROSS**2)
    row, column = divmod(position, ACROSS)
    return Place(f"sheet-{sheet + 1:02d}.webp", column, row)


def large_name(number: int) -> str:
    """Name the file of a cell's larger picture."""
    return f"cell-{number:04d}.webp"


def write(folder: Path, read: Sequence[Callable[[], np.ndarray]], large: Sequence[bool], known: str) -> None:
    """Write the pictures of all cells, unless the same ones are there, and remove what else lies in the folder.

    Parameters
    ----------
    folder : Path
        Is created.
    read : sequence of callable
        One a cell, in the order of their numbers; gives uint8 (H, W, 3), RGB. Called in several threads.
    large : sequence of bool
        Which cells get a larger picture.
    known : str
        What the pictures depend on: the same text, the same pictures.

    Raises
    ------
    alnet_lib.imaging.decoding.ImageError
        A picture cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    small = [place(number + 1).sheet for number in range(len(read))]
    names = list(dict.fromkeys(small)) + [large_name(i + 1) for i, wanted in enumerate(large) if wanted]
    key = sha256(known, repr(large), code_hash(__name__))
    if _there(folder, names, key):
        return
    with ThreadPoolExecutor(cores()) as pool:
        for first in range(0, len(read), ACROSS**2):
            numbers = range(first, min(first + ACROSS**2, len(read)))
            cells = pool.map(lambda i: _cell(folder, i + 1, read[i], large=large[i]), numbers)
            _save(folder / small[first], _sheet(list(cells)), QUALITY, effort=6)
    sweep(path for path in folder.iterdir() if path.name not in names)
    write_json(folder / _KNOWN, {"key": key, "content": _content(folder, names)})


def _there(folder: Path, names: list[str], key: str) -> bool:
    try:
        found = json.loads((folder / _KNOWN).read_text(encoding="utf-8"))
        return found == {"key": key, "content": _content(folder, names)}
    except (OSError, ValueError):
        return False


def _content(folder: Path, names: list[str]) -> str:
    return sha256(*(folder / name for name in names))


def _cell(folder: Path, number: int, read: Callable[[], np.ndarray], *, large: bool) -> np.ndarray:
    picture = read()
    if large:
        side = min(LARGE_SIDE, *picture.shape[:2])
        _save(folder / large_name(number), decoding.resize(picture, side), LARGE_QUALITY, effort=4)
    return decoding.resize(picture, SIDE)


def _sheet(cells: list[np.ndarray]) -> np.ndarray:
    rows = -(-len(cells) // ACROSS)
    sheet = np.full((rows * SIDE, min(len(cells), ACROSS) * SIDE, 3), 255, np.uint8)
    for position, picture in enumerate(cells):
        row, column = divmod(position, ACROSS)
        sheet[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE] = picture
    return sheet


def _save(path: Path, pixels: np.ndarray, quality: int, *, effort: int) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="WEBP", quality=quality, method=effort)
