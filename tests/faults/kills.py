"""SIGKILL at random points of a run: of all its processes, or of one of them alone."""

import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from alnet_lib.workflow import children, provenance
from alnet_lib.workflow.steps import COMPARISON, STEPS, TRAINING, marker
from faults import runs
from faults.tally import Tally

CHAINS, A_STEP = 3, 2
"""Runs, and kills in each of their steps: 3 runs of 8 steps and their trainings give about 50."""

PATIENCE = 10.0
"""Seconds in which all processes must be gone; a machine may be busy."""

REPORT = "report"


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _runs(module: str) -> Callable[[psutil.Process], bool]:
    # A follower has the command that it follows at the end of its own command line.
    return lambda process: module in _line(process)[:5] and "alnet_lib.workflow.children" not in _line(process)


WHO: dict[str, Callable[[psutil.Process], bool]] = {
    "the whole group": lambda process: True,
    "`alnet` alone": _runs("alnet_lib.cli"),
    "Snakemake alone": _runs("snakemake"),
    "the kernel alone": lambda process: _runs("ipykernel_launcher")(process) or _runs("alnet_lib.report")(process),
}


def _below(root: psutil.Process) -> list[psutil.Process]:
    try:
        return root.children(recursive=True)
    except psutil.Error:
        return []


def _gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


class _Chain:
    """One run that is killed again and again until it has come to its end."""

    def __init__(self, run: Path, lines: dict[str, Tally], seconds: dict[str, float], rng: np.random.Generator) -> None:
        self.run, self.lines, self.seconds, self.rng = run, lines, seconds, rng
        self.killed: Counter[str] = Counter()
        self.log = run.with_suffix(".log")

    def next_step(self, most: int) -> str | None:
        """The earliest step that has not finished and was not yet killed often enough."""
        open_steps = [step for step in STEPS if not (self.run / marker(step)).is_file()]
        return next((step for step in [*open_steps, REPORT] if self.killed[step] < most), None)

    def start(self) -> tuple[subprocess.Popen, int]:
        said = self.log.stat().st_size if self.log.is_file() else 0
        return runs.start(self.run, log=self.log), said

    def await_point(self, process, said: int, step: str) -> str:
        """Wait for a random moment of a step, every second time in its trainings for a checkpoint; say where it is."""
        at_checkpoint = step in (COMPARISON, TRAINING) and self.killed[step] % 2 == 1
        share, began = self.rng.random(), time.time()

        def told(what: str) -> bool:
            if not self.log.is_file():
                return False
            return f"{step}: {what}".encode() in self.log.read_bytes()[said:]

        def reporting() -> bool:
            return any(map(_runs("alnet_lib.report"), _below(psutil.Process(process.pid))))

        begun = reporting if step == REPORT else (lambda: told("started"))
        while process.poll() is None and not begun():
            time.sleep(0.02)
        if at_checkpoint:
            folder = self.run / ("models" if step == TRAINING else "comparison")
            while process.poll() is None and not told("done"):
                if any(path.stat().st_mtime > began for path in folder.rglob("[!.]*.checkpoint")):
                    return "checkpoint"
                time.sleep(0.005)
            return "checkpoint missed"
        until = time.monotonic() + share * self.seconds.get(step, 3.0)
        while process.poll() is None and time.monotonic() < until and not told("done"):
            time.sleep(0.02)
        return f"{share:.0%}"

    def kill(self, who: str, most: int) -> bool:
        """Start the run, kill it, and look that nothing lives on; False where no step is left to be killed."""
        if (step := self.next_step(most)) is None:
            return False
        process, said = self.start()
        where = self.await_point(process, said, step)
        self.killed[step] += 1
        if process.poll() is not None:
            if process.returncode:
                self.lines[who].add(f"{self.run.name}, {step}", f"ended by itself: {self.tail()}")
            return process.returncode == 0 and step != REPORT
        root = psutil.Process(process.pid)
        tree = [root, *_below(root)]
        victims = [one for one in tree if WHO[who](one)]
        # Between two notebooks there is no kernel.
        if not victims and not _wait(lambda: any(map(WHO[who], _below(root))), 30):
            victims = [root]
        for victim in victims or [one for one in _below(root) if WHO[who](one)]:
            try:
                victim.send_signal(signal.SIGKILL)
            except psutil.Error:
                continue
        # With a kernel gone its step fails, and Snakemake waits for the steps beside it.
        code = process.wait(runs.SECONDS if who == "the kernel alone" else PATIENCE)
        alive = [] if _wait(lambda: all(map(_gone, tree)), PATIENCE) else [" ".join(_line(one)) for one in tree]
        busy = children.busy(self.run, PATIENCE)
        failure = f"{len(alive)} processes live on: {alive[:3]}" if alive else "the lock is held" if busy else ""
        # A kernel may have done its work already; then the run goes on, and the comparison at the end judges it.
        failure = failure or ("it ended with 0" if code == 0 and who != "the kernel alone" else "")
        print(f"  {self.run.name}: {step} at {where}, {who}", file=sys.stderr, flush=True)
        self.lines[who].add(f"{self.run.name}, {step} at {where}", failure)
        return True

    def tail(self) -> str:
        """The end of what the run said."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-800:]


def campaign(work: Path, seed: int, *, few: bool = False) -> list[Tally]:
    """Kill runs at about 50 random points (8 where few), resume each time, and compare what they came to."""
    base = runs.base(work)
    seconds = provenance.notebook_seconds(base)
    lines = {who: Tally(f"SIGKILL of {who}") for who in WHO}
    same, swept = Tally("killed runs, finished, against the undisturbed one"), Tally("left-overs of killed runs")
    for number in range(1 if few else CHAINS):
        rng = np.random.default_rng([seed, number])
        run = work / f"killed-{number}"
        shutil.rmtree(run, ignore_errors=True)
        chain = _Chain(run, lines, seconds, rng)
        order = list(WHO)
        rng.shuffle(order)
        kills = 0
        while chain.kill(order[kills % len(order)], 1 if few else A_STEP):
            kills += 1
        done = runs.finished(run)
        failure = done.stderr[-800:] if done.returncode else "; ".join(runs.differences(base, run)[:10])
        same.add(f"{run.name}, {kills} kills", failure)
        swept.add(run.name, ", ".join(runs.leftovers(run)[:10]))
    return [*lines.values(), same, swept]
