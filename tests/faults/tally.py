"""What was tried, handled and failed; and trying many cases in a process that may hang, die or swell."""

import multiprocessing
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

SECONDS = 30
"""A case that takes longer hangs."""

MEGABYTES = 2000
"""Peak memory that a case may take."""

STARTING = 180
"""Seconds in which a process has imported what it needs, on a busy machine."""


@dataclass
class Tally:
    """One line of the table.

    Attributes
    ----------
    what : str
        Kind of fault.
    tried : int
        Cases.
    failures : list of str
        One for each case that was not handled: which case, and what happened.
    """

    what: str
    tried: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, case: str, failure: str = "") -> None:
        """Count a case; an empty failure means that it was handled."""
        self.tried += 1
        if failure:
            self.failures.append(f"{case}: {failure}")
            print(f"  failed: {self.what}: {self.failures[-1][:600]}", file=sys.stderr, flush=True)

    def attempt(self, case: str, check: Callable[[], str | None]) -> None:
        """Count a case that is a function: it returns what went wrong, or raises."""
        try:
            self.add(case, check() or "")
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            told = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
            self.add(case, told[-1500:])

    def as_dict(self) -> dict:
        """What the JSON file keeps."""
        return {
            "what": self.what,
            "tried": self.tried,
            "handled": self.tried - len(self.failures),
            "failed": len(self.failures),
            "failures": [text[:500] for text in self.failures[:20]],
        }


def each(tally: Tally, case: Callable[[int], str], numbers: Iterable[int], *, apart: bool = True) -> None:
    """Try numbered cases one after another.

    Parameters
    ----------
    tally : Tally
        Counts them.
    case : callable
        Of a number; can be sent to another process. Returns what went wrong, empty where the case was handled.
    numbers : iterable of int
        Each is a case.
    apart : bool
        In a process of their own, which is ended where a case takes more than SECONDS, and watched for MEGABYTES.
    """
    if not apart:
        for number in numbers:
            tally.attempt(f"case {number}", lambda number=number: case(number))
        return
    own, process = None, None
    for number in numbers:
        patience = SECONDS
        if process is None or own is None:
            context = multiprocessing.get_context("spawn")
            own, other = context.Pipe()
            process = context.Process(target=_serve, args=(case, other))
            process.start()
            other.close()
            patience = STARTING
        own.send(number)
        failure, peak = f"hung for {patience} s", 0.0
        try:
            if own.poll(patience):
                failure, peak = own.recv()
        except EOFError:
            process.join()
            failure = f"the process ended with {process.exitcode}"
            peak = -1
        if not failure and peak > MEGABYTES:
            failure = f"took {peak:,.0f} MB"
        tally.add(f"case {number}", failure)
        if peak in (0.0, -1) or peak > MEGABYTES:
            process.kill()
            process.join()
            own, process = None, None
    if process and own:
        own.send(None)
        process.join(30)
        process.kill()
        process.join()


def _serve(case: Callable[[int], str], pipe) -> None:
    # The libraries for images write a line about most damaged files.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while (number := pipe.recv()) is not None:
        try:
            failure = case(number)
        except Exception:
            failure = traceback.format_exc()[-1500:]
        # Linux counts in kilobytes, macOS in bytes.
        unit = 1e6 if sys.platform == "darwin" else 1e3
        pipe.send((failure, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit))


class Clock:
    """Wall seconds; the system does not count the processor time of kernels that are told to stop, or are killed."""

    def __enter__(self) -> "Clock":
        self.began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.began
