"""Where a run's numbers come from: commit, versions, device, profile, cohort, times."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

from alnet_lib.core.files import plain, write_json
from alnet_lib.core.integrity.reading import kept, reading

PACKAGES = (
    "torch", "torchvision", "pretrainedmodels", "numpy", "pandas", "scikit-learn", "scipy", "statsmodels", "pillow",
    "opencv-python-headless", "matplotlib", "seaborn", "papermill", "nbconvert", "snakemake",
)  # fmt: skip


def provenance(
    *,
    profile: dict[str, Any],
    cohort: dict[str, Any],
    device: str,
    precision: str,
    seed: int,
    starts: list[dict[str, str]] | None = None,
    cuda: dict[str, bool] | None = None,
) -> dict[str, Any]:
    """Tell where a run's numbers come from.

    Parameters
    ----------
    profile : dict
        Every setting.
    cohort : dict
        Name, kind, counts and hash.
    device, precision : str
        Of the trainings.
    seed : int
        Of every generator.
    starts : list of dict, optional
        Of `starts.start.origins_of`.
    cuda : dict of str to bool, optional
        Of `training.device.use_tensor_cores`.

    Returns
    -------
    dict
        The arguments, with commit, versions, platform and the time; no name of a host, a user or a folder.
    """
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "git_commit": git_commit(),
        "alnet_lib": importlib.metadata.version("alnet-lib"),
        "packages": versions,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device,
        "precision": precision,
        "cuda": cuda or {},
        "seed": seed,
        "profile": profile,
        "cohort": cohort,
        "starts": starts or [],
        "begun": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def git_commit() -> str | None:
    """Name the commit of the checkout that this library lies in.

    Returns
    -------
    str or None
        With `-dirty` when tracked files differ from it; None outside a checkout.
    """
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude", "*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def write_provenance(run_dir: Path, **about: Any) -> None:
    """Write <run>/provenance.json.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    **about : object
        Arguments of `provenance`.
    """
    write_json(run_dir / "provenance.json", plain(provenance(**about)))


def notebook_seconds(run_dir: Path) -> dict[str, float]:
    """Read how long papermill took for each executed notebook.

    Parameters
    ----------
    run_dir : Path
        A run directory.

    Returns
    -------
    dict of str to float
        Notebook to seconds.
    """
    seconds = {}
    for path in sorted((run_dir / "notebooks").glob("*.ipynb")):
        with reading(path):
            about = _json(path)["metadata"].get("papermill", {})
        if about.get("duration"):
            seconds[path.stem] = round(about["duration"], 1)
    return seconds


def costs(run_dir: Path) -> list[dict[str, float]]:
    """Read what each `alnet reproduce` of a run took so far.

    Parameters
    ----------
    run_dir : Path
        A run directory.

    Returns
    -------
    list of dict
        `processor_seconds` (user and system, of all its processes) and `wall_seconds`, in the order of the work; empty
        where nothing was recorded.
    """
    return kept(run_dir / "costs.json", _json) or []


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def add_cost(run_dir: Path, processor_seconds: float, wall_seconds: float) -> None:
    """Record what one `alnet reproduce` took, in <run>/costs.json and in results.json where there is one.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    processor_seconds : float
        User and system time of all its processes.
    wall_seconds : float
        From its start to its end.
    """
    own = {"processor_seconds": round(processor_seconds, 1), "wall_seconds": round(wall_seconds, 1)}
    every = [*costs(run_dir), own]
    write_json(run_dir / "costs.json", every)
    results = run_dir / "results.json"
    if content := kept(results, _json):
        content["provenance"]["costs"] = every
        write_json(results, content)
