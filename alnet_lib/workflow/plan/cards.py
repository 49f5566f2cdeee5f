"""The cards of this machine: how many there are, and which one a job has to itself."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""Environment variable by which CUDA takes the cards that a process may use; schedulers of clusters set it."""


def visible() -> list[str]:
    """Name the cards that this process may use, without asking torch.

    Returns
    -------
    list of str
        As they stand in CUDA_VISIBLE_DEVICES, else their numbers; empty without a card.
    """
    if (given := os.environ.get(VISIBLE)) is not None:
        names = [name.strip() for name in given.split(",")]
        # CUDA ignores what follows a name that it does not know; -1 is the usual one.
        return [name for name in (names[: names.index("-1")] if "-1" in names else names) if name]
    if not shutil.which("nvidia-smi"):
        return []
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = [line for line in done.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(found))]


@contextlib.contextmanager
def one_of_them() -> Iterator[str]:
    """Give this process and those that it starts one card, which no other job of this user has meanwhile.

    Yields
    ------
    str
        Its name; empty where there is none or only one, which is then left as it is.
    """
    names = visible()
    if len(names) < 2:
        yield ""
        return
    before = os.environ.get(VISIBLE)
    held, name = _held(names)
    os.environ[VISIBLE] = name
    try:
        yield name
    finally:
        if held:
            held.release()
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before


def _held(names: list[str]) -> tuple[FileLock | None, str]:
    folder = Path(tempfile.gettempdir()) / f"alnet-cards-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in names:
        # The lock dies with the process that holds it.
        lock = FileLock(folder / f"{name.replace('/', '-')}.lock", timeout=0)
        try:
            lock.acquire()
            return lock, name
        except Timeout:
            continue
    # Another run has them all: jobs of both share one then.
    return None, names[os.getpid() % len(names)]
