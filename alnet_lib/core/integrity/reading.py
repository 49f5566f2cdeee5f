"""Readers that name the file that is damaged, and put aside what can be made again."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from alnet_lib.core.integrity import index

T = TypeVar("T")


class Damaged(ValueError):
    """A file that is not what was written; the message names it."""


@contextmanager
def reading(path: Path, *, full: bool = True) -> Iterator[Path]:
    """Read a file in the block; what is damaged is named.

    Parameters
    ----------
    path : Path
        The file.
    full : bool
        Compare its whole content with the index; else that only where size or time differ.

    Yields
    ------
    Path
        The file.

    Raises
    ------
    FileNotFoundError
        It is not there.
    Damaged
        Its digest is not the one in the index, or the block cannot read it.
    """
    found = index.of(path)
    if found and found[0].state(found[1], full=full) is index.State.damaged:
        raise Damaged(f"{path} is damaged: it is not what was written")
    try:
        yield path
    except (MemoryError, Damaged):
        raise
    except Exception as error:
        # pyarrow says OSError, without a number, of a file that it does not understand.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Damaged(f"{path} is damaged: {type(error).__name__}: {error}") from error


def put_aside(path: Path) -> Path:
    """Rename a damaged file to `<name>.damaged`: its owner may want to know what happened to it.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Path
        Where it is now; what was put aside there before is replaced.
    """
    aside = path.with_name(path.name + index.ASIDE)
    os.replace(path, aside)
    index.remove(path)
    return aside


def kept(path: Path, read: Callable[[Path], T], *, full: bool = True) -> T | None:
    """Read what an earlier run left; what is damaged is put aside, to be made again.

    Parameters
    ----------
    path : Path
        The file.
    read : callable
        Gives its content; any exception says that it is damaged.
    full : bool
        As for `reading`.

    Returns
    -------
    object or None
        None where the file is not there, or was damaged.
    """
    if not path.is_file():
        return None
    try:
        with reading(path, full=full):
            return read(path)
    except Damaged as error:
        print(f"{error}. It is put aside as {put_aside(path).name} and made again.", file=sys.stderr)
        return None
