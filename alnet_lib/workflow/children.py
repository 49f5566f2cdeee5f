"""Processes that end with the one that started them, and hold the run's lock as long as they live.

`python -m alnet_lib.workflow.children RUN -- COMMAND` runs a command in a process group of its own and waits. When the
process that started it ends in any way, SIGKILL included, the whole group is killed: Snakemake, a job, or a kernel with
its workers. Windows has no such groups: there the command runs as it is.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from filelock import FileLock, Timeout

if sys.platform != "win32":
    import fcntl

PARENT = "ALNET_PARENT"
"""Environment variable with the process id of whoever starts a followed command: it may end before that looks."""

LOCK = ".lock.children"
"""File in a run directory that every followed command has locked, shared."""

SOCKETS = "alnet-"
"""Beginning of the name of a kernel's folder in the temporary directory, before the process id of its job."""

PATIENCE = 5.0
"""Seconds within which killed processes are expected to be gone."""

LOOKING = 0.5
"""Seconds after which a follower looks at its parent, should it not have been told."""

_PR_SET_PDEATHSIG = 1
_LINUX = sys.platform == "linux"


def command(run_dir: str | os.PathLike[str], arguments: list[str]) -> list[str]:
    """Command line that runs `arguments` as long as its starter lives.

    Parameters
    ----------
    run_dir : str or path
        Run directory whose lock is held; empty for none.
    arguments : list of str
        The program and its arguments.

    Returns
    -------
    list of str
        To be started with this process's id in the environment variable PARENT.
    """
    if sys.platform == "win32":
        return arguments
    # -P: the working directory is a run directory, which may come from others; no module is imported from it.
    return [sys.executable, "-P", "-m", "alnet_lib.workflow.children", str(run_dir), "--", *arguments]


def shell_line(run_dir: str, arguments: list[str]) -> str:
    """`command` as text for a rule's `shell:`; `exec`, since a shell in between would outlive what started it.

    Parameters
    ----------
    run_dir : str
        As for `command`.
    arguments : list of str
        The program and its arguments, which may hold any character.

    Returns
    -------
    str
        Quoted for the shell, with the braces doubled that Snakemake would fill in.
    """
    line = command(run_dir, arguments)
    text = subprocess.list2cmdline(line) if sys.platform == "win32" else f"exec {shlex.join(line)}"
    return text.replace("{", "{{").replace("}", "}}")


def busy(run_dir: Path, seconds: float = PATIENCE) -> bool:
    """Whether a followed command is still at work in a run directory after so many seconds.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    seconds : float
        To wait for processes that were just killed.
    """
    if sys.platform == "win32":
        return False
    until = time.monotonic() + seconds
    with open(run_dir / LOCK, "ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                if time.monotonic() >= until:
                    return True
                time.sleep(0.05)


class RunBusy(RuntimeError):
    """Another process is working in the same run directory."""


@contextlib.contextmanager
def alone(run_dir: Path) -> Iterator[None]:
    """Hold the lock of a run directory.

    Parameters
    ----------
    run_dir : Path
        A run directory.

    Raises
    ------
    RunBusy
        It is in use.
    """
    try:
        # The lock dies with the process that holds it, so a killed run needs no unlocking.
        lock = FileLock(run_dir / ".lock", timeout=0).acquire()
    except Timeout as error:
        raise RunBusy(f"another `alnet reproduce` is at work in {run_dir}") from error
    with lock:
        if busy(run_dir):
            raise RunBusy(f"processes of an earlier `alnet reproduce` are still at work in {run_dir}")
        yield


def end(process: subprocess.Popen[bytes], *, grace: float = 0.0) -> None:
    """End what `command` started, and all that it started.

    Parameters
    ----------
    process : subprocess.Popen
        Started in a session of its own.
    grace : float
        Seconds that it may take to clean up after an interrupt, e.g. to cancel the jobs of a cluster.
    """
    if grace and sys.platform != "win32" and process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    process.terminate()
    process.wait()


def follow(run_dir: str, arguments: list[str]) -> int:
    """Run a command, and kill its process group when this process's parent ends.

    Parameters
    ----------
    run_dir : str
        As for `command`.
    arguments : list of str
        The program and its arguments.

    Returns
    -------
    int
        Exit code of the command; 128 and the signal's number where a signal ended it.
    """
    if sys.platform == "win32":
        return subprocess.call(arguments)
    if os.getpgrp() != os.getpid():
        os.setsid()
    parent = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: _end_group())
    # An interrupt is for the command, which is in the same group.
    signal.signal(signal.SIGINT, lambda *_: None)

    def look(*_: object) -> None:
        # Linux also tells when only the thread ends that started this process.
        if os.getppid() != parent:
            _end_group()

    signal.signal(signal.SIGUSR1, look)
    _tell_when_parent_ends(signal.SIGUSR1)
    expected = int(os.environ.get(PARENT) or parent)
    if os.getppid() != parent or (expected != parent and not alive(expected)):
        return 1
    held = [_hold(run_dir)] if run_dir else []
    own = os.getpid()

    def follow_too() -> None:
        # For the case that this process alone is killed.
        _tell_when_parent_ends(signal.SIGKILL)
        if os.getppid() != own:
            os._exit(1)

    # A Jupyter kernel looks at this variable, on every system, to end with its parent.
    environment = {key: value for key, value in os.environ.items() if key != PARENT} | {"JPY_PARENT_PID": str(own)}
    process = subprocess.Popen(arguments, env=environment, pass_fds=held, preexec_fn=follow_too)
    # A signal that comes just before Python waits has its handler run when the wait is interrupted next; and other
    # systems than Linux tell nothing.
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, LOOKING, LOOKING)
    code = process.wait()
    signal.setitimer(signal.ITIMER_REAL, 0)
    # Workers that it left would wait for minutes; this process has its exit code to hand on.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    return code if code >= 0 else 128 - code


def alive(pid: int) -> bool:
    """Whether a process of this id is there; not for Windows, where looking would end it."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _hold(run_dir: str) -> int:
    # The lock belongs to the open file: it lasts until the last process that inherited it has ended.
    Path(run_dir).mkdir(parents=True, exist_ok=True)
    handle = os.open(Path(run_dir) / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    fcntl.flock(handle, fcntl.LOCK_SH)
    return handle


def _tell_when_parent_ends(number: int) -> None:
    if _LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def _end_group() -> NoReturn:
    os.killpg(0, signal.SIGKILL)
    raise SystemExit(1)


if __name__ == "__main__":
    directory, separator, *given = sys.argv[1:]
    sys.exit(follow(directory, given))
