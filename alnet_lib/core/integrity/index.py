"""An index of the files written below a folder: `digests.jsonl`, a line each time a file is written or removed.

A folder has one as soon as `begin` has made it; whatever `core.files.atomic_path` writes below it, from any process, is
then recorded. Lines are appended with one write each, so that processes side by side do not tear each other's; a line
that was torn all the same, or damaged, does not fit its own checksum and does not count.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

INDEX = "digests.jsonl"
"""Name of the index in the folder that it is of."""

STEP = "ALNET_STEP"
"""Environment variable that names the step at work, which lines keep: it makes the file again."""

TEMPORARY = ".unfinished-"
"""Beginning of the name of a file that is being written, before the process id of its writer."""

ASIDE = ".damaged"
"""End of the name of a file that was put aside."""

PASSING = ("progress", ".snakemake")
"""Folders of a run with what nobody reads again, or what is not the kit's."""


class State(StrEnum):
    """What the index says of a file."""

    sound = "sound"
    damaged = "damaged"
    unknown = "unknown"


@dataclass(frozen=True)
class Entry:
    """A file as it was written.

    Attributes
    ----------
    size, mtime_ns : int
        Bytes, and time of the last change in nanoseconds.
    sha256 : str
        Of its content.
    step : str
        That wrote it; empty where none was at work.
    """

    size: int
    mtime_ns: int
    sha256: str
    step: str


class Index:
    """The index of a folder, as far as it has been read.

    Parameters
    ----------
    folder : Path
        With an index, or without: then nothing is known.

    Attributes
    ----------
    unreadable : int
        Lines that do not count.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = 0
        self._clear()

    def _clear(self) -> None:
        self.unreadable, self._end, self._known = 0, 0, dict[str, list[Entry]]()

    def refresh(self) -> Index:
        """Read the lines that were written since; none where there is no index."""
        if not (self.folder / INDEX).is_file():
            self._clear()
            return self
        with open(self.folder / INDEX, "rb") as file:
            stat = os.fstat(file.fileno())
            if stat.st_size < self._end or stat.st_ino != self._file:
                self._clear()
                self._file = stat.st_ino
            file.seek(self._end)
            new = file.read()
        complete = new[: new.rfind(b"\n") + 1]
        self._end += len(complete)
        for line in filter(None, complete.split(b"\n")):
            try:
                path, *entry = _checked(line)
            except ValueError:
                self.unreadable += 1
                continue
            if entry[2]:
                self._known.setdefault(path, []).append(Entry(*entry))
            else:
                self._known.pop(path, None)
        return self

    def __iter__(self) -> Iterator[str]:
        """Paths of the files that are there as far as the index knows, relative to the folder."""
        return iter(tuple(self._known))

    def step(self, path: str) -> str:
        """The step that wrote a file last; empty where that is not known."""
        return self._known[path][-1].step if path in self._known else ""

    def state(self, path: str, *, full: bool = False) -> State:
        """Compare a file with the index.

        Any version that was written counts as sound: a file may just be replaced.

        Parameters
        ----------
        path : str
            Relative to the folder.
        full : bool
            Read the file although its size and time are those in the index.

        Raises
        ------
        FileNotFoundError
            It is not there.
        """
        found = self._compare(path, full)
        # It may have been written again meanwhile.
        return self.refresh()._compare(path, full) if found is State.damaged else found

    def _compare(self, path: str, full: bool) -> State:
        if not (known := self._known.get(path)):
            return State.unknown
        file = self.folder / path
        stat = file.stat()
        same = [entry for entry in known if entry.size == stat.st_size]
        as_written = any(entry.mtime_ns == stat.st_mtime_ns for entry in same)
        if as_written and not full:
            return State.sound
        digest = digest_of(file) if same else ""
        fitting = [entry for entry in same if entry.sha256 == digest]
        if fitting and not as_written:
            # A copy: the next look is a cheap one, if the run may be written at all.
            with contextlib.suppress(OSError):
                _append(self.folder, path, Entry(stat.st_size, stat.st_mtime_ns, digest, fitting[-1].step))
        return State.sound if fitting else State.damaged


_open: dict[Path, Index] = {}


def begin(folder: Path) -> None:
    """Give a folder an index, if it has none.

    Parameters
    ----------
    folder : Path
        What is written below it from now on is recorded.
    """
    (folder / INDEX).touch(exist_ok=True)


def of(path: str | os.PathLike[str]) -> tuple[Index, str] | None:
    """Find the index that a file belongs in.

    Parameters
    ----------
    path : str or path
        The file, which need not be there.

    Returns
    -------
    tuple or None
        The index, read to its end, and the path relative to its folder; None where no folder above has one.
    """
    if (found := _home(path)) is None:
        return None
    folder, relative = found
    return _open.setdefault(folder, Index(folder)).refresh(), relative


def record(path: str | os.PathLike[str], content: Path | None = None) -> None:
    """Write down what a file is, in the index of the folder that it belongs to; nothing where there is none.

    Parameters
    ----------
    path : str or path
        The file.
    content : Path, optional
        Where its content is now, if it is to be renamed.
    """
    if (found := _home(path)) and not passing(found[1]):
        content = content or Path(path)
        stat = content.stat()
        entry = Entry(stat.st_size, stat.st_mtime_ns, digest_of(content), os.environ.get(STEP, ""))
        _append(*found, entry)


def remove(path: Path) -> None:
    """Remove a file that is no longer wanted, and write down that it has gone.

    Parameters
    ----------
    path : Path
        It need not be there.
    """
    path.unlink(missing_ok=True)
    if (found := of(path)) and found[1] in found[0]:
        _append(found[0].folder, found[1], Entry(0, 0, "", ""))


def digest_of(path: Path) -> str:
    """SHA-256 of a file's content, as `sha256sum` prints it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def passing(path: str) -> bool:
    """Whether a file of a run is none that counts: locks, what is being written, what was put aside, progress."""
    first, _, _ = path.partition("/")
    name = path.rpartition("/")[2]
    in_scratch = path.startswith("comparison/scratch/")
    hidden = name.startswith((".lock", TEMPORARY)) or name.endswith(ASIDE) or path == INDEX
    return hidden or in_scratch or first in PASSING


def _home(path: str | os.PathLike[str]) -> tuple[Path, str] | None:
    """The nearest folder above a file that has an index, and the file's path in it."""
    file = Path(os.path.abspath(path))
    folder = next((folder for folder in file.parents if (folder / INDEX).is_file()), None)
    return (folder, file.relative_to(folder).as_posix()) if folder else None


def _append(folder: Path, path: str, entry: Entry) -> None:
    values = [path, entry.size, entry.mtime_ns, entry.sha256, entry.step]
    content = dict(zip(_FIELDS, [*values, _checksum(values)], strict=True))
    # The first line break ends a line that a killed process left without one.
    line = b"\n" + json.dumps(content).encode() + b"\n"
    handle = os.open(folder / INDEX, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
    try:
        if os.write(handle, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / INDEX))
    finally:
        os.close(handle)


_FIELDS = ("path", "size", "mtime_ns", "sha256", "step", "line")


def _checksum(values: list) -> str:
    return f"{zlib.crc32(json.dumps(values).encode()):08x}"


def _checked(line: bytes) -> list:
    content = json.loads(line)
    values = [content.get(name) for name in _FIELDS] if isinstance(content, dict) else [None]
    if _checksum(values[:-1]) != values[-1]:
        raise ValueError("does not fit its checksum")
    # A run may come from others, and what is damaged is moved or removed: nothing outside the folder is named.
    types = [str, int, int, str, str]
    if [type(value) for value in values[:-1]] != types or not _inside(str(values[0])):
        raise ValueError("does not name a file of the folder")
    return values[:-1]


def _inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not PurePosixPath(path).is_absolute() and ".." not in parts and "\0" not in path
