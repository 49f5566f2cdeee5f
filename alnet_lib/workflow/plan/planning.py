"""The plan of a run: for every step its arithmetic, memory, disk and minutes, and what will not fit."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alnet_lib.cohorts import building
from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.cohorts.splitting import thinned
from alnet_lib.core.resources import cores as available
from alnet_lib.networks.starts import weights
from alnet_lib.training.checkpoints import RATE
from alnet_lib.training.memory import SHARE
from alnet_lib.workflow import steps as chain
from alnet_lib.workflow.plan import counting, work
from alnet_lib.workflow.plan.calibration import Device, Rates, rates
from alnet_lib.workflow.plan.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from alnet_lib.core.profile import Profile
    from alnet_lib.workflow.plan.work import Work

PICTURE = 28_000
"""An estimate: bytes of a drawn picture's file."""

PAGES = 25_000_000
"""An estimate: bytes of tables, figures, executed notebooks and report."""

KERNEL = 1_000_000_000
"""An estimate from one run of `smoke`: bytes of a notebook's process; once more where networks run in it."""

CONTEXT = 600_000_000
"""An estimate: bytes that CUDA and its libraries take of a card for one process."""

OTHER = {
    chain.AUDIT: (16.0, 0.03),
    chain.COMPARISON: (19.0, 0.05),
    chain.TRAINING: (12.0, 0.002),
    "04_smear_roc": (10.0, 0.001),
    chain.EXTERNAL: (12.0, 0.004),
    work.MAPS: (15.0, 0.0005),
    "07_scorecard": (5.0, 0.0),
    "comparison": (8.0, 0.0005),
    "report": (8.0, 0.003),
}
"""Estimates: step -> processor seconds besides networks, and those for each image of the cohort, on the machine of
`calibration.REFERENCE`; `comparison` is a unit that is a job of its own. The first number of a notebook is fitted to
one run of `smoke` on a busy machine; the others were not measured alone."""

REPORT = "report"

IN_32_BITS = 0.8
"""An estimate: share of the rate of a matrix product in 32 bits that convolutions reach at most."""

WORTH = 1800.0
"""Seconds of a run: the networks of a shorter one are not timed for its plan, unless that is asked for."""


@dataclass(frozen=True)
class Step:
    """What one step takes.

    Attributes
    ----------
    step : str
        Notebook, `comparison/<network>-<evaluation>`, or `report`.
    flops : float
        Floating-point operations of its networks.
    device_memory : int
        Bytes that it uses on the device of the networks; on a processor this is the host's memory.
    least_memory : int
        Bytes without which it cannot run, one image at a time.
    host_memory : int
        Bytes of the machine's memory.
    disk : int
        Bytes that it leaves.
    scratch : int
        Bytes on the disk while it runs: checkpoints, and maps that do not fit into memory.
    seconds : float
        On an undisturbed machine.
    """

    step: str
    flops: float
    device_memory: int
    least_memory: int
    host_memory: int
    disk: int
    scratch: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What a run takes.

    Attributes
    ----------
    cohort, profile : str
        Names.
    images : int
        Of the cohort.
    device : Device
        At hand.
    cores : int
        Processors that the run may use.
    steps : tuple of Step
        In the order of the work.
    seconds : float
        From start to end, steps side by side where they can be.
    scratch : int
        Bytes of disk for a while, by the steps that run side by side.
    weights : tuple of weights.Weights
        What the networks begin with.
    problems : tuple of str
        What will not fit, or not work.
    notes : tuple of str
        What a reader should know.
    """

    cohort: str
    profile: str
    images: int
    device: Device
    cores: int
    steps: tuple[Step, ...]
    seconds: float
    scratch: int
    weights: tuple[weights.Weights, ...]
    problems: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON takes it."""
        return asdict(self)


def plan(
    cohort: str,
    profile: Profile,
    *,
    data: str = "",
    run_dir: Path,
    cores: int | None = None,
    again: bool = False,
    measure: bool = True,
) -> Plan:
    """Plan a run; nothing is drawn, trained or downloaded.

    Parameters
    ----------
    cohort : str
        Name.
    profile : Profile
        Of the run.
    data : str
        Folder or folders of a real cohort's original download.
    run_dir : Path
        Where it will lie; a cohort that was built there is read there.
    cores : int, optional
        Processors; default all.
    again : bool
        Measure the device although that was done before.
    measure : bool
        Time networks that were never timed on this device, where the run is worth it; else their rate is assumed.

    Raises
    ------
    alnet_lib.cohorts.manifest.CohortError
        The cohort cannot be read.
    """
    manifest = _manifest(cohort, profile, data, run_dir)
    device = Device.at_hand(profile)
    todo = work.of_run(profile, manifest)
    batches = {(one.network, one.size): one.batch for one in todo if one.iterations}
    asked = {(one.network, one.size): batches.get((one.network, one.size), 64) for one in todo}
    cores = cores or available()

    def steps(speed: Rates) -> tuple[Step, ...]:
        return tuple(
            _step(name, [one for one in todo if one.step == name], profile, device, speed, manifest, cohort, cores)
            for name in [*_order(profile), REPORT]
        )

    found = steps(speed := rates(device, [], again=again))
    if measure and (again or _together(found, profile, device, cores) > WORTH):
        found = steps(speed := rates(device, [(*pair, batch) for pair, batch in asked.items()]))
    looked = tuple(weights.of_run(profile))
    at_once = device.cards or max(cores // min(profile.threads, cores), 1)
    passing = sum(sorted(step.scratch for step in found)[-at_once:])
    return Plan(
        cohort, profile.name, len(manifest), device, cores, found, _together(found, profile, device, cores), passing,
        looked, tuple(_problems(found, looked, device, passing, run_dir)),
        tuple(_notes(found, looked, device, speed, todo)),
    )  # fmt: skip


def _manifest(cohort: str, profile: Profile, data: str, run_dir: Path) -> pd.DataFrame:
    if cohort == "synthetic":
        with tempfile.TemporaryDirectory() as folder:
            built = building.build(
                cohort, Path(folder), fraction=profile.cohort_fraction, seed=profile.seed, split=profile.split,
                manifest_only=True,
            )  # fmt: skip
        return built.manifest
    built_here = run_dir / "cohort" / "manifest.parquet"
    if built_here.is_file():
        return Cohort.load(built_here.parent).manifest
    manifest = building.read(cohort, data).manifest
    return thinned(manifest, profile.cohort_fraction) if profile.rehearsal else manifest


def _order(profile: Profile) -> list[str]:
    asked = profile.comparison
    units = [f"comparison/{name}-{under}" for name in asked.backbones for under in asked.evaluations if asked.units]
    names = list(chain.STEPS)
    return [*names[:1], *units, *names[1:]]


def _step(
    name: str, todo: Sequence[Work], profile: Profile, device: Device, speed: Rates, manifest: pd.DataFrame,
    cohort: str, cores: int,
) -> Step:  # fmt: skip
    images, flops, seconds = len(manifest), 0.0, 0.0
    least, most, beside, scratch, stays = 0, 0, 0, 0, 0
    for one in todo:
        counts = counting.count(one.network, one.size)
        flops += one.training_flops(counts) + one.prediction_flops(counts) + one.explanation_flops(counts)
        training, besides = network_seconds(one, counts, speed)
        seconds += training + besides
        needs = Memory.of(one, counts, device)
        least, most = max(least, needs.least), max(most, needs.most(device.memory))
        on_host, in_file = _elsewhere(needs, profile, device)
        passing = in_file + (needs.checkpoints if training > _until_checkpoint(needs, profile) else 0)
        if needs.moments and needs.most(device.memory) >= device.memory:
            on_host += needs.checkpoints // 2  # Adam's numbers and a copy of what trains.
        beside, scratch, stays = max(beside, on_host), max(scratch, passing), stays + needs.model
    fixed, per_image = OTHER["comparison" if name.startswith("comparison/") else name]
    drawn = per_image * images / (cores if name == chain.AUDIT else 1)
    seconds += (fixed + drawn) * max(speed.processor, 0.1)
    if name == chain.AUDIT:
        stays += images * profile.image_size**2 * 3 + (images * PICTURE if cohort == "synthetic" else 0)
    elif name == chain.COMPARISON and profile.transfer and not _same_pictures(profile):
        stays += images * profile.transfer.image_size**2 * 3
    elif name == REPORT:
        stays += PAGES
    host = KERNEL * (2 if todo else 1)
    host += most if device.kind == "cpu" else beside + max((_weights_of(one) for one in todo), default=0)
    used = CONTEXT if device.kind == "cuda" and todo else 0
    return Step(name, flops, most + used, least + used, host, stays, scratch, round(seconds, 1))


def network_seconds(one: Work, counts: counting.Counts, speed: Rates) -> tuple[float, float]:
    """Seconds that a network computes.

    Parameters
    ----------
    one : Work
        A training, predictions, or both.
    counts : Counts
        Of its network.
    speed : Rates
        Of the device.

    Returns
    -------
    tuple of float
        Of the training; of predictions, maps and explanations.
    """
    forward, back = (speed.of(one.network, one.size, training=training) for training in (False, True))
    training = one.training_flops(counts) / back
    training += one.iterations * sum(counts.parameters[one.frozen(counts) :]) / speed.adam
    explained = one.explanation_flops(counts) / min(back, IN_32_BITS * speed.matmul_float32)
    return training, one.prediction_flops(counts) / forward + explained


def _same_pictures(profile: Profile) -> bool:
    asked = profile.transfer
    return asked is not None and (asked.image_size, asked.crop) == (profile.image_size, profile.crop)


def _weights_of(one: Work) -> int:
    return 4 * sum(counting.count(one.network, one.size).parameters)


def _elsewhere(needs: Memory, profile: Profile, device: Device) -> tuple[int, int]:
    """Bytes of maps in the host's memory and in a file, by the rules of `training.feature_cache`."""
    if needs.after <= min(1e9 * profile.comparison.feature_cache_gb, SHARE * (device.memory - needs.fixed)):
        return 0, 0
    on_host = device.kind == "cuda" and needs.after <= SHARE * device.host_memory
    return (needs.maps, 0) if on_host else (0, needs.maps)


def _until_checkpoint(needs: Memory, profile: Profile) -> float:
    """Seconds of a training before its first checkpoint."""
    return max(60 * profile.checkpoint_minutes, needs.checkpoints / 2 / RATE) if profile.checkpoint_minutes else 0.0


def _together(found: Iterable[Step], profile: Profile, device: Device, cores: int) -> float:
    """Seconds from start to end: a step begins when those that it needs have ended and there is room for it."""
    seconds = {step.step: step.seconds for step in found}
    units = [name for name in seconds if name.startswith("comparison/")]
    ended: dict[str, float] = {}
    running: list[tuple[float, str]] = []
    waiting, now = [name for name in seconds if name != REPORT], 0.0
    while waiting or running:
        for name in list(waiting):
            if all(other in ended for other in _needed(name, units)) and _fits(name, running, profile, device, cores):
                waiting.remove(name)
                running.append((now + seconds[name], name))
        now, name = min(running)
        running.remove((now, name))
        ended[name] = now
    return now + seconds[REPORT]


def _needed(name: str, units: list[str]) -> list[str]:
    if name in units:
        return [chain.AUDIT]
    return [*chain.STEPS[name].needs, *(units if name == chain.COMPARISON else [])]


def _fits(name: str, running: list[tuple[float, str]], profile: Profile, device: Device, cores: int) -> bool:
    together = [name, *(other for _, other in running)]
    on_card = [other for other in together if other not in chain.STEPS or chain.STEPS[other].gpu]
    used = sum(_threads(other, profile, cores) for other in together)
    return used <= cores and not (device.kind == "cuda" and len(on_card) > device.cards)


def _threads(name: str, profile: Profile, cores: int) -> int:
    parallel = name not in chain.STEPS or chain.STEPS[name].parallel
    return min(profile.threads, cores) if parallel else 1


def _problems(
    found: Iterable[Step], looked: Iterable[weights.Weights], device: Device, passing: int, run_dir: Path
) -> Iterable[str]:
    where = f"the card {device.name}" if device.kind == "cuda" else "this machine"
    found = list(found)
    for name, steps in by_network(found).items():
        least, beside = (max(getattr(step, key) for step in steps) for key in ("least_memory", "host_memory"))
        if least > device.memory:
            yield f"{name} needs {_gb(least)} GB of memory, of which {where} has {_gb(device.memory)} free."
        if device.kind == "cuda" and beside > device.host_memory:
            yield f"{name} needs {_gb(beside)} GB of the machine's memory, {_gb(device.host_memory)} are free."
    if (disk := sum(step.disk for step in found) + passing) > (free := _free(run_dir)):
        yield f"The run needs {_gb(disk)} GB of disk, {_gb(passing)} of it for a while; {_gb(free)} GB are free."
    if lost := [f"{one.network} ({one.start})" for one in looked if not one.there and not one.command]:
        yield f"Weights are missing: {', '.join(lost)}."


def by_network(found: Iterable[Step]) -> dict[str, list[Step]]:
    """Put the units of the comparison of one network together; every other step is alone."""
    together: dict[str, list[Step]] = {}
    for step in found:
        name = step.step.partition("-")[0] if step.step.startswith("comparison/") else step.step
        together.setdefault(name, []).append(step)
    return together


def _free(run_dir: Path) -> int:
    there = next(folder for folder in (run_dir, *run_dir.parents) if folder.is_dir())
    return shutil.disk_usage(there).free


def _notes(
    found: Iterable[Step], looked: Iterable[weights.Weights], device: Device, speed: Rates, todo: Iterable[Work]
) -> Iterable[str]:
    if speed.disturbed:
        yield "Other programs were at work while this machine was measured: it may be faster. `--again` measures anew."
    if any(one.command for one in looked):
        yield "Weights that are not at hand are downloaded before a run begins."
    tight = [
        name
        for name, steps in by_network(found).items()
        if any(step.least_memory <= device.memory < step.device_memory + 1 for step in steps)
    ]
    if tight:
        where = "the card" if device.kind == "cuda" else "memory"
        yield f"More than {where} holds; a part lies elsewhere, or batches are smaller: {', '.join(tight)}."
    guessed = sorted({one.network for one in todo if f"{one.network} {one.size}" not in speed.training})
    if guessed:
        yield f"Not measured here, so their minutes rest on the rate of a matrix product: {', '.join(guessed)}."


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f}"
