"""`alnet doctor`: what will work on this machine and what won't."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from alnet_lib.core.resources import cores

DAYS = 7 * 86_400.0
"""Seconds beyond which nobody waits for a run."""


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes
    ----------
    name : str
        What was looked at.
    ok : bool
        Whether it will work.
    what : str
        What was found.
    needed : bool
        Whether nothing runs without it.
    """

    name: str
    ok: bool
    what: str
    needed: bool = False


def examine(where: Path | None = None) -> list[Check]:
    """Look at Python, torch, GPU, kernel, weights, starts and disk.

    Parameters
    ----------
    where : Path, optional
        Folder that runs are written to; default the working directory.

    Returns
    -------
    list of Check
        In the order in which they are shown.
    """
    where = where or Path.cwd()
    return [_python(), _torch(), _gpu(), _kernel(), *_weights(), _cells(), _disk(where), *_paper(where)]


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Check("Python", sys.version_info >= (3, 11), f"{version} (3.11 or newer is needed)", needed=True)


def _torch() -> Check:
    try:
        import torch
        import torchvision

        # A CPU-only torch beside the index's torchvision imports but lacks this operator.
        _ = torch.ops.torchvision.nms
        return Check("torch", True, f"{torch.__version__}, torchvision {torchvision.__version__}", needed=True)
    except Exception as error:
        return Check("torch", False, f"{type(error).__name__}: {error}", needed=True)


def _gpu() -> Check:
    import torch

    if not torch.cuda.is_available():
        return Check("GPU", False, f"none seen: networks compute on {cores()} processors")
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    several = f"{torch.cuda.device_count()} x " if torch.cuda.device_count() > 1 else ""
    return Check("GPU", True, f"{several}{torch.cuda.get_device_name(0)}, {memory:.0f} GiB")


def _paper(where: Path) -> list[Check]:
    """The plan of the profile `paper` in short; networks that were never timed here are not timed now."""
    from alnet_lib.core.profile import Profile
    from alnet_lib.workflow.plan import planning, wording

    name = "Profile `paper`"
    try:
        made = planning.plan("synthetic", Profile.load("paper"), run_dir=where, measure=False)
    except Exception as error:
        return [Check(name, False, f"cannot be planned: {type(error).__name__}: {error}")]
    disk = (sum(step.disk for step in made.steps) + made.scratch) / 1e9
    most = max(step.least_memory for step in made.steps) / 1e9
    expected = f"about {wording.duration(made.seconds)}, {disk:,.0f} GB of disk, {most:.1f} GB of memory at least"
    feasible = made.seconds < DAYS
    checks = [Check(name, feasible, expected if feasible else f"{expected}: will not end in a useful time here")]
    return checks + [Check(name, False, f"will not work: {problem}") for problem in made.problems]


def _kernel() -> Check:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
        return Check(
            "Jupyter kernel",
            True,
            f"python3, ipykernel {importlib.metadata.version('ipykernel')}: {spec.display_name}",
            True,
        )
    except (NoSuchKernel, importlib.metadata.PackageNotFoundError) as error:
        return Check("Jupyter kernel", False, f"{error}: run `make test` to install the environment", needed=True)


def _weights() -> list[Check]:
    from alnet_lib.networks.architectures import ARCHITECTURES
    from alnet_lib.networks.starts import imagenet

    checks = []
    for name in (name for name, known in ARCHITECTURES.items() if not known.miniature_of):
        try:
            path = imagenet.find(name)
            what = f"found, {path.name}" if path else "not at hand: `paper` downloads them, smoke and quick need none"
            checks.append(Check(f"ImageNet weights of {name}", path is not None, what))
        except imagenet.WeightsError as error:
            checks.append(Check(f"ImageNet weights of {name}", False, str(error)))
    return checks


def _cells() -> Check:
    from alnet_lib.core.profile import Profile, ProfileError
    from alnet_lib.networks.starts import start

    try:
        profile = Profile.load("quick")
    except ProfileError as error:
        return Check("Start `cells`", False, str(error))
    trained = (profile.module_1, profile.module_2, profile.ablations)
    names = [*profile.comparison.backbones, *(settings.backbone for settings in trained if settings)]
    asked = [name for name in dict.fromkeys(names) if profile.start_of(name) == start.CELLS]
    try:
        for name in asked:
            start.describe(start.CELLS, name)
    except start.StartError as error:
        return Check("Start `cells`", False, f"{error}: quick cannot train")
    there = f"there for {', '.join(start.brought()) or 'no network'}"
    return Check("Start `cells`", True, f"{there}; quick asks for it for {', '.join(asked) or 'no network'}")


def _disk(where: Path) -> Check:
    free = shutil.disk_usage(where).free / 2**30
    return Check("Disk", free > 5, f"{free:.0f} GiB free (quick takes under 1 GiB)")
