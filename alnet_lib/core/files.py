"""Writing files so that a crash leaves nothing half-written that a later run would trust."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside `path` and rename it to `path` when the block ends without an exception.

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
    OSError
        The folder cannot be created or written, or the disk is full; the temporary file is then removed.
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
