"""Writing files so that a crash leaves nothing half-written that a later run would trust."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside `path` and rename it to `path` when the block ends without an exception.

    Raises
    ------
    OSError
        when the folder cannot be created or written, or the disk is full; the temporary file is then removed.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; a run directory is meant to be shared with colleagues.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 to `path`, all or nothing."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as indented UTF-8 JSON (no NaN or infinity) to `path`, all or nothing."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def sha256(*parts: str | bytes | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 over strings and bytes as they are, and over the content of paths."""
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


def cohort_folders(cohort: str, data: str) -> dict[str, str]:
    """Folder of each part of a cohort's name: `data` itself for one, `a=DIR,b=DIR` for several joined by `+`.

    Raises
    ------
    ValueError
        a name that is no part of the cohort.
    """
    names = cohort.split("+")
    if len(names) == 1:
        return {cohort: data.removeprefix(f"{cohort}=")} if data else {}
    # A comma may be part of a folder's name: only one before `name=` parts folders.
    entries = [entry.partition("=") for entry in re.split(r",\s*(?=\w+=)", data)] if data else []
    folders = {name: folder for name, _, folder in entries if folder}
    if strange := [name for name, _, _ in entries if name not in names]:
        raise ValueError(
            f"DATA names {', '.join(strange)}: for {cohort} write " + ",".join(f"{name}=FOLDER" for name in names)
        )
    return folders
