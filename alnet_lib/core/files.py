"""Writing files so that a crash leaves nothing half-written that a later run would trust."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alnet_lib.core.integrity import index
from alnet_lib.core.integrity.index import TEMPORARY

_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(OSError):
    """There is no room for a file; the message says where, and how much is needed where that is known."""

    @classmethod
    def at(cls, path: Path, *, need: int = 0, then: str = "") -> DiskFull:
        """Say that a file does not fit.

        Parameters
        ----------
        path : Path
            What was to be written.
        need : int
            Its size in bytes; 0 where that is not known.
        then : str
            What happens when the run is started again.
        """
        size = f" takes {need / 1e6:,.1f} MB and" if need else ""
        try:
            free = f"{shutil.disk_usage(path.parent).free / 1e6:,.1f} MB are free"
        except OSError:
            free = "how much is free cannot be seen"
        then = then or "the run goes on from where it was, and what was there is as it was"
        error = cls(
            f"no room on the disk (or in the quota) of {path.parent}: {path.name}{size} could not be written; {free}. "
            f"Make room and start again: {then}."
        )
        error.errno = errno.ENOSPC
        return error


def is_full(error: BaseException) -> bool:
    """Whether an exception says that a disk or a quota is full; not every library keeps the error's number."""
    told = str(error).lower()
    return getattr(error, "errno", None) in _FULL or "no space left" in told or "quota exceeded" in told


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside `path` and rename it to `path` when the block ends without an exception.

    Below a folder with an index of digests, the file is recorded there; see `core.integrity.index`.

    Parameters
    ----------
    path : str or path
        The file to write; its folder is created.

    Yields
    ------
    Path
        The temporary name.

    Raises
    ------
    DiskFull
        The disk is full; the temporary file is then removed.
    OSError
        The folder cannot be created or written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # A file name may have 255 bytes, and a letter up to four of them.
        begin = f"{TEMPORARY}{os.getpid()}-{target.stem[:40]}-"
        handle, name = tempfile.mkstemp(prefix=begin, suffix=target.suffix, dir=target.parent)
    except OSError as error:
        raise DiskFull.at(target) if is_full(error) else error from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; a run directory is meant to be shared with colleagues.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        # Before the rename: a kill in between leaves the older file, which the index has too.
        index.record(target, temporary)
        os.replace(temporary, target)
    except DiskFull:
        raise
    except Exception as error:
        if is_full(error):
            raise DiskFull.at(target) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def reserve(file: int, size: int) -> None:
    """Take the room of a file that is to be mapped: a full disk says so here, and not by a signal at some later write.

    Parameters
    ----------
    file : int
        Descriptor of a file that is open for writing.
    size : int
        Bytes.

    Raises
    ------
    OSError
        There is no room. Nothing is taken on systems without `posix_fallocate`.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)


@dataclass
class Removed:
    """What was swept away."""

    files: int = 0
    bytes: int = 0


def sweep(paths: Iterable[Path]) -> Removed:
    """Remove files and folders, and count them.

    Parameters
    ----------
    paths : iterable of Path
        Links are removed, not followed; what cannot be removed stays and is not counted.

    Returns
    -------
    Removed
        Files and their bytes.
    """
    removed = Removed()
    for path in list(paths):
        inside = [path] if path.is_symlink() or not path.is_dir() else sorted(path.rglob("*"), reverse=True)
        for file in inside:
            try:
                size = file.lstat().st_size
                if file.is_dir() and not file.is_symlink():
                    file.rmdir()
                    continue
                index.remove(file)
            except OSError:
                continue
            removed.files += 1
            removed.bytes += size
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
    return removed


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text as UTF-8, all or nothing.

    Parameters
    ----------
    path : str or path
        The file.
    text : str
        Its content.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write indented UTF-8 JSON, all or nothing.

    Parameters
    ----------
    path : str or path
        The file.
    content : object
        Without NaN and infinity; see `plain`.
    """
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def remembered(path: Path, usable: Callable[[Any], object]) -> dict[str, Any]:
    """Read a file of entries that `remember` wrote.

    Parameters
    ----------
    path : Path
        JSON.
    usable : callable
        Of an entry; those for which it gives something false are left out.

    Returns
    -------
    dict
        Key to entry; empty where the file is not there or cannot be used, also where `usable` raises TypeError.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: entry for key, entry in content.items() if usable(entry)}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def remember(path: Path, usable: Callable[[Any], object], entries: Mapping[str, Any]) -> None:
    """Add entries to those that `remembered` reads; nothing where the file cannot be written.

    Parameters
    ----------
    path, usable
        As for `remembered`.
    entries : mapping
        Key to what JSON can hold.
    """
    with suppress(OSError):
        write_json(path, {**remembered(path, usable), **entries})


def sha256(*parts: str | bytes | os.PathLike[str]) -> str:
    """Hash strings and bytes as they are, and the content of paths.

    Parameters
    ----------
    *parts : str, bytes or path
        In this order.

    Returns
    -------
    str
        Hexadecimal SHA-256.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, os.PathLike):
            with open(part, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        else:
            digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()


def plain(content: Any) -> Any:
    """Convert content to what JSON can hold: numpy numbers to Python's, NaN and infinity to None.

    Parameters
    ----------
    content : object
        Dicts, lists, tuples and numbers, nested.

    Returns
    -------
    object
        A copy.
    """
    if isinstance(content, dict):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    if isinstance(content, np.generic):
        content = content.item()
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
