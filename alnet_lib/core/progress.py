"""A progress line that replaces itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from alnet_lib.core.files import write_text

Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""


class ProgressLine:
    """One line with count, rate and time left: in a notebook it updates in place, and a cell's last one stays.

    The line is also written to a small file, which `alnet reproduce` shows in the terminal.

    Parameters
    ----------
    label : str
        What is counted.
    file : Path, optional
        Where the line is written.
    every : float
        Seconds between updates.
    """

    _of_cell: ClassVar[tuple[int, Any]] = (-1, None)

    def __init__(self, label: str, file: Path | None = None, every: float = 1.0) -> None:
        self.label, self.file, self.every = label, file, every
        self.began = time.perf_counter()
        self.shown = -every
        self.first: int | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show how many are done.

        Parameters
        ----------
        done, total : int
            Counts.
        """
        now = time.perf_counter() - self.began
        if self.first is None:
            self.first = done
        if now - self.shown < self.every and done < total:
            return
        self.shown = now
        rate = (done - self.first) / now if now > 0 and done > self.first else 0.0
        left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
        self._show(
            f"{self.label}: {done:,} of {total:,}"
            + (f", {rate:.1f}/s{left}" if rate else "")
            + (f", {now:.0f} s" if done >= total else "")
        )

    def _show(self, line: str) -> None:
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            get_ipython = None
        if get_ipython and (shell := get_ipython()) is not None:
            # A hundred trainings in one cell replace each other's line.
            cell, handle = ProgressLine._of_cell
            if handle is None or cell != shell.execution_count:
                handle = display({"text/plain": line}, raw=True, display_id=True)
                ProgressLine._of_cell = (shell.execution_count, handle)
            else:
                handle.update({"text/plain": line}, raw=True)
        if self.file is not None:
            write_text(self.file, line)
