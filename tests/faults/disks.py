"""Disks that are full or read-only, an environment that lacks what is usual, and odd names of run directories."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from alnet_lib.core import files
from alnet_lib.core.files import DiskFull
from alnet_lib.core.integrity import index
from faults import runs
from faults.tally import Tally

STEP = "04_smear_roc"
"""Step that is run again where a whole run would show no more."""

WITH_PIXELS = "01_data_audit"
"""Step that decodes the pixels, the largest file of a run, where they are not there."""

ODD = (
    "it's a \"run\"", "two\nlines", "ünïcode 細胞", "-dash", "--run-dir", "x" * 200, "# $HOME `id` {braces} %s",
    "a;b&c|d", "trailing blank ", "~", "col: x",
)  # fmt: skip


def _namespace(mount: str, command: list[str]) -> list[str]:
    """A command that sees a mount of its own, where the system lets users make one."""
    return ["unshare", "--mount", "--map-root-user", "sh", "-c", f'{mount} && exec "$@"', "sh", *command]


def _may_mount(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    probe = _namespace('mount -t tmpfs -o size=64k tmpfs "$WHERE"', ["true"])
    try:
        return subprocess.run(probe, capture_output=True, env={**os.environ, "WHERE": str(folder)}).returncode == 0
    except OSError:
        return False


class _Full:
    """While this is there, every write through the kit's own door finds the disk full after so many bytes."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __enter__(self) -> None:
        self.replace, self.append = os.replace, index._append

        def full(*_: object, **__: object) -> None:
            raise OSError(self.number, os.strerror(self.number))

        # The content is written, and lies in the buffers of the system: it fails where it is made final.
        index._append, files.os.replace = full, full

    def __exit__(self, *_: object) -> None:
        index._append, files.os.replace = self.append, self.replace


def stages(folder: Path) -> dict[str, Callable[[], object]]:
    """What a run writes, each by the function that writes it in a run."""
    import torch

    from alnet_lib.cohorts import building
    from alnet_lib.core.vocabulary import MODULE_1_CLASSES
    from alnet_lib.figures import style
    from alnet_lib.imaging import handcrafted, pixels
    from alnet_lib.networks import storage
    from alnet_lib.networks.building import build
    from alnet_lib.paper.values import Result
    from alnet_lib.report import rendering
    from alnet_lib.training import checkpoints
    from alnet_lib.workflow import provenance, recorder
    from alnet_lib.workflow.run import Run

    cohort = building.build("synthetic", folder.parent / "drawn", fraction=0.004, workers=1)
    head = cohort.files[:3], cohort.crops[:3]
    layer = torch.nn.Linear(8, 8)
    optimizer = torch.optim.Adam(layer.parameters())
    training = layer, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer)
    network = build("resnet_miniature", MODULE_1_CLASSES, 32)
    run = Run("01_data_audit", folder, "x", "", None)
    table, about = Result(pd.DataFrame({"a": [1]}), ()), {"kind": "private", "name": "x"}
    about |= dict.fromkeys(("images", "smears", "patients"), 1)
    return {
        "drawn cells": lambda: building.build("synthetic", folder / "cohort", fraction=0.004, workers=1),
        "manifest": lambda: cohort.save(folder / "cohort"),
        "pixels": lambda: pixels.pixel_array(*head, 16, cache=folder / "pixels", content_hash="x", workers=1),
        "features": lambda: handcrafted.extract(
            *head, content_hash="x", cache=folder / "features", workers=1
        ),
        "checkpoint": lambda: checkpoints.save(folder / "models" / "module_1-a.checkpoint", *training, 1, []),
        "model": lambda: storage.save_network(network, folder / "models" / "module_1.safetensors", {}),
        "table and item": lambda: run.table("extra_table_x", table, "X."),
        "figure": lambda: run.figure("extra_figure_x", style.new_figure(1, 1), "X.", of=table),
        "provenance": lambda: provenance.write_provenance(
            folder, profile={"name": "x"}, cohort=about, device="cpu", precision="float32", seed=1
        ),
        "costs": lambda: provenance.add_cost(folder, 1.0, 1.0),
        "results.json": lambda: recorder.collect(folder),
        "report": lambda: rendering.render(folder),
    }  # fmt: skip


def _full(folder: Path, write: Callable[[], object], number: int) -> str:
    before = {path for path in folder.rglob("*") if path.is_file()}
    try:
        with _Full(number):
            write()
        return "nothing was said"
    except (DiskFull, ValueError) as error:
        told = str(error)
    if "no room on the disk" not in told or "start again" not in told:
        return f"says only {told}"
    more = [path.name for path in folder.rglob("*") if path.is_file() and path not in before]
    if left := [name for name in more if name != ".lock"]:
        return f"left {left}"
    write()
    return ""


def _again(base: Path, run: Path, environment: dict[str, str | None], step: str = STEP) -> str:
    """Repeat a step of a copied run in a changed environment."""
    if not run.is_dir():
        shutil.copytree(base, run)
    changed = {key: value for key, value in (os.environ | environment).items() if value is not None}
    done = runs.finished(run, f"--until={step[:2]}", f"--force={step[:2]}", env=changed)
    if done.returncode or f"{step}: done" not in done.stderr:
        return f"{done.returncode}: {done.stderr[-1200:]}"
    return "; ".join(runs.differences(base, run)[:10])


def _mounted(base: Path, run: Path, mount: str, *, fails: str, step: str = STEP) -> str:
    """Repeat a step of a copied run with a mount over it; then without it."""
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(base, run)
    command = runs.command(run, f"--until={step[:2]}", f"--force={step[:2]}")
    given = {**os.environ, "WHERE": str(run), "BASE": str(base)}
    done = subprocess.run(
        _namespace(mount, command), capture_output=True, text=True, env=given, check=False, timeout=runs.SECONDS
    )
    said = done.stdout + done.stderr
    if not done.returncode or fails not in said.lower() or "Traceback" in said:
        return f"{done.returncode}: {said[-1500:]}"
    return _again(base, run, {}, step)


def campaign(work: Path, seed: int, *, few: bool = False) -> list[Tally]:
    """Full and read-only disks, no HOME, no TMPDIR, no cache, odd names of run directories."""
    folder = work / "disk"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    full = Tally("a full disk, or a quota that is used up, at each kind of file that a run writes")
    (folder / "planted").mkdir()
    index.begin(folder / "planted")
    for name, write in stages(folder / "planted").items():
        number = int(np.random.default_rng([seed, full.tried]).choice([errno.ENOSPC, errno.EDQUOT]))
        full.attempt(name, lambda write=write, number=number: _full(folder / "planted", write, number))
    lines = [full]
    base = runs.base(work)
    without = Tally("a step without HOME, TMPDIR or cache")
    nowhere = str(folder / "nowhere" / "at all")
    for name, environment in {
        "no HOME": {"HOME": None}, "a HOME that is not there": {"HOME": nowhere},
        "a TMPDIR that is not there": {"TMPDIR": nowhere},
        "no cache": {"XDG_CACHE_HOME": nowhere, "MPLCONFIGDIR": nowhere, "TORCH_HOME": nowhere, "HOME": "/proc"},
    }.items():  # fmt: skip
        without.attempt(name, lambda environment=environment: _again(base, folder / "environment", environment))
    odd = Tally("a step in a run directory with an odd name")
    for name in ODD[:2] if few else ODD:
        odd.attempt(repr(name), lambda name=name: _again(base, folder / name, {}))
        shutil.rmtree(folder / name, ignore_errors=True)
    lines += [without, odd]
    if sys.platform == "linux" and _may_mount(folder / "mount"):
        really = Tally("a step on a disk that is really full, or read-only: said, and well when there is room")
        room = 'size=$(($(du -sk "$BASE" | cut -f1) + 4000))k'
        small = f'mount -t tmpfs -o {room} tmpfs "$WHERE" && cp -a "$BASE/." "$WHERE"'
        # Everything that is left is filled, so that it does not matter how much a step needs.
        full_up = '{ cat /dev/zero > "$WHERE/filling" 2>/dev/null; true; }'
        without_pixels = f'{small} && rm -r "$WHERE/pixels" && {full_up} && truncate -s -400K "$WHERE/filling"'
        for name, mount, fails, step in (
            ("full", f"{small} && {full_up}", "no room", STEP),
            ("all but full", f'{small} && {full_up} && truncate -s -40K "$WHERE/filling"', "no room", STEP),
            ("without room for pixels", without_pixels, "no room", WITH_PIXELS),
            ("read-only", 'mount --bind "$WHERE" "$WHERE" && mount -o remount,bind,ro "$WHERE"', "read-only", STEP),
        ):
            where = folder / f"mounted {name}"
            really.attempt(name, lambda m=mount, f=fails, w=where, s=step: _mounted(base, w, m, fails=f, step=s))
        lines.append(really)
    return lines
