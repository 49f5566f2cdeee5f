"""The chain from the command line: Snakemake orders, papermill executes, one line shows how far it is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import psutil
import yaml

from alnet_lib.cohorts import building
from alnet_lib.core.arguments import cohort_folders
from alnet_lib.core.files import sweep, write_text
from alnet_lib.core.integrity import index
from alnet_lib.core.profile import Profile
from alnet_lib.core.resources import SNAKEFILE
from alnet_lib.core.resources import cores as available
from alnet_lib.workflow import children, provenance, staleness
from alnet_lib.workflow.children import RunBusy as RunBusy
from alnet_lib.workflow.damage import examination
from alnet_lib.workflow.plan import cards
from alnet_lib.workflow.plan.measured import processor_seconds
from alnet_lib.workflow.steps import AUDIT, STEPS, marker, step_name

KEEP_MEMORY = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592"
"""glibc then keeps the memory that a training step frees for the next step, instead of having every page of it zeroed
and mapped anew. Other C libraries ignore it."""


IMAGENET = "imagenet"
"""Name of the start whose weights do not come with the kit."""

CANCELLING = 15.0
"""Seconds that Snakemake has after Ctrl-C to cancel its jobs on a cluster; jobs of this machine are simply ended."""


def reproduce(
    run_dir: Path,
    *,
    cohort: str,
    profile: str,
    data: str = "",
    cores: int | None = None,
    until: str = "",
    force: str = "",
    dry_run: bool = False,
    workflow_profile: str = "",
    announce: Callable[..., None] | None = None,
) -> int:
    """Bring a run up to date; only what is stale runs.

    Parameters
    ----------
    run_dir : Path
        Made where it is not there.
    cohort, profile : str
        Names.
    data : str
        Folder or folders of the original download.
    cores : int, optional
        Processors; default all.
    until : str
        Stop after this step, e.g. `03`.
    force : str
        Run this step again although nothing changed.
    dry_run : bool
        Only show what would run.
    workflow_profile : str
        Folder with a Snakemake profile, e.g. profiles/slurm, that says where jobs run (docs/cluster.md).
    announce : callable, optional
        Tells the plan before anything runs: `plan.announcing.announce`.

    Returns
    -------
    int
        Snakemake's exit code, 0 when all is well.

    Raises
    ------
    ProfileError, CohortError, ValueError
        Settings, cohorts or step names that do not exist, or weights that cannot be had, before anything runs.
    RunBusy
        The run directory is in use.
    """
    building.resolve(cohort)
    settings = Profile.load(profile, cohort)
    if not dry_run and (not until or step_name(until) != AUDIT):
        _look_for_weights(settings)
    run_dir = run_dir.resolve()
    targets = [marker(step_name(until))] if until else []
    forced = ["--forcerun", STEPS[step_name(force)].rule] if force else []
    # A data argument is resolved here, since the notebooks run in their own folder.
    folders = {name: Path(part).expanduser().resolve() for name, part in cohort_folders(cohort, data).items()}
    data = ",".join(f"{name}={part}" if len(folders) > 1 else str(part) for name, part in folders.items())
    run_dir.mkdir(parents=True, exist_ok=True)
    parameters = {"cohort": cohort, "profile": profile, "data": data, "run_dir": str(run_dir)}
    command = [
        sys.executable, "-P", "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--directory", str(run_dir),
        "--cores", str(cores or available()), *_limits(workflow_profile), "--rerun-incomplete", "--nolock",
        *(["--dry-run", "--quiet", "host"] if dry_run else ["--quiet", "all"]),
        *(["--workflow-profile", str(Path(workflow_profile).resolve())] if workflow_profile else []),
        *forced, "--", *targets,
    ]  # fmt: skip
    with children.alone(run_dir):
        index.begin(run_dir)
        # The Snakefile and the jobs read this file: no setting passes through a shell.
        text = yaml.safe_dump(parameters, allow_unicode=True).encode()
        parameter_file = run_dir / "parameters.yaml"
        if not parameter_file.exists() or parameter_file.read_bytes() != text:
            write_text(parameter_file, text.decode())
        (run_dir / "progress").mkdir(exist_ok=True)
        for stale in (run_dir / "progress").glob("*.txt"):
            stale.unlink()
        if not dry_run:
            _sweep(run_dir)
            _mend(run_dir)
            if announce:
                announce(run_dir, cohort=cohort, profile=profile, data=data, cores=cores)
        with _ShownProgress(run_dir / "progress"), nullcontext() if dry_run else _Cost(run_dir, bool(workflow_profile)):
            return _run(command, run_dir, grace=CANCELLING if workflow_profile else 0.0)


def _look_for_weights(profile: Profile) -> None:
    wanted = {name: profile.start_of(name) for name in profile.networks if profile.start_of(name) == IMAGENET}
    if wanted:
        # Imports torch, which what only orders steps does without.
        from alnet_lib.networks.starts.start import ensure

        for origin in ensure(wanted, profile.weights_dir):
            print(f"ImageNet weights of {origin.network}: {origin.file}", file=sys.stderr)


def _run(command: list[str], run_dir: Path, *, grace: float) -> int:
    environment = {"GLIBC_TUNABLES": KEEP_MEMORY, **os.environ, **_cache(run_dir), children.PARENT: str(os.getpid())}
    line = children.command(run_dir, command)
    process = subprocess.Popen(line, cwd=run_dir, env=environment, start_new_session=True)
    try:
        return process.wait()
    except BaseException:
        # Ctrl-C: Snakemake is in a session of its own, so that all of it ends here, while the lock is held.
        children.end(process, grace=grace)
        children.busy(run_dir)
        raise


def _cache(run_dir: Path) -> dict[str, str]:
    """Give Snakemake a cache in the run where the user's cannot be written; it ends without one."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        (usual / "snakemake").mkdir(parents=True, exist_ok=True)
        if os.access(usual / "snakemake", os.W_OK):
            return {}
    except OSError:
        pass
    # Weights are still looked for where they were.
    weights = os.environ.get("TORCH_HOME") or str(usual / "torch")
    return {"XDG_CACHE_HOME": str(run_dir / ".snakemake" / "cache"), "TORCH_HOME": weights}


class _Cost:
    """Counts, prints and records the processor time of all processes that the block starts.

    Of jobs that run elsewhere it is what they have recorded themselves. Here the system adds up a child's time only
    when its parent waits for it, and a kernel that is told to stop is not waited for; so the processes are looked at
    while they live.
    """

    def __init__(self, run_dir: Path, elsewhere: bool = False, every: float = 0.5) -> None:
        self.run_dir, self.elsewhere, self.every = run_dir, elsewhere, every
        self.spent: dict[tuple[int, float], float] = {}
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> None:
        self.before, self.there, self.began = self._used(), self._finished(), time.perf_counter()
        self.recorded = processor_seconds(self.run_dir)
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        spent = sum(used - self.before.get(process, 0.0) for process, used in self.spent.items())
        if self.elsewhere:
            spent += sum(own for step, own in processor_seconds(self.run_dir).items() if own != self.recorded.get(step))
        wall = time.perf_counter() - self.began
        if self._finished() == self.there:
            return  # Nothing was out of date: there is no work to be told.
        provenance.add_cost(self.run_dir, spent, wall)
        print(f"{spent:,.0f} s of processor time (user and system), {wall:,.0f} s from start to end", file=sys.stderr)

    def _loop(self) -> None:
        while not self.stop.wait(self.every):
            self.spent |= self._used()

    def _finished(self) -> dict[Path, float]:
        """Steps and report that are done, and when."""
        return {path: _modified(path) for path in [*self.run_dir.glob("done/*"), self.run_dir / "report/index.html"]}

    def _used(self) -> dict[tuple[int, float], float]:
        found = {}
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                used = process.cpu_times()
                found[process.pid, process.create_time()] = used.user + used.system
        return found


def _sweep(run_dir: Path) -> None:
    # What a killed run left; nothing is at work in the directory now.
    removed = sweep([*staleness.unfinished(run_dir), *staleness.abandoned(run_dir)])
    sweep(staleness.orphaned_sockets())
    if removed.files:
        print(f"removed {removed.files:,} left-overs of killed runs, {removed.bytes / 1e6:,.1f} MB", file=sys.stderr)


def _mend(run_dir: Path) -> None:
    if findings := examination.examine(run_dir).findings:
        print(examination.told(run_dir, findings, examination.mend(run_dir, findings)), file=sys.stderr)


def _limits(workflow_profile: str) -> list[str]:
    # A training for each of this machine's cards; without one, or on a cluster, nothing is to be shared.
    return [] if workflow_profile or not (names := cards.visible()) else ["--resources", f"gpu={len(names)}"]


class _ShownProgress:
    """Shows the newest progress line of the running notebooks in the terminal while the block runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _loop(self) -> None:
        terminal = sys.stderr.isatty()
        seen, printed = 0.0, 0.0
        while not self.stop.wait(0.5):
            newest = max(self.folder.glob("*.txt"), key=_modified, default=None)
            if newest is None or _modified(newest) <= seen:
                continue
            seen = _modified(newest)
            line = f"  {newest.stem[:2]} {newest.read_text(encoding='utf-8')}"
            if terminal:
                print(f"\r\033[K{line[:110]}", end="", file=sys.stderr, flush=True)
            elif time.monotonic() - printed > 20:
                printed = time.monotonic()
                print(line, file=sys.stderr, flush=True)
        if terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
