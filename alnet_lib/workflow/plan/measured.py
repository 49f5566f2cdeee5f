"""What a step took: seconds, processor seconds, memory; beside what the plan said."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil

from alnet_lib.core.files import write_json
from alnet_lib.core.integrity.reading import kept

if TYPE_CHECKING:
    from pathlib import Path

PLAN = "plan.json"


def record(run_dir: Path, step: str) -> None:
    """Write what this process has taken so far to <run>/took/<step>.json.

    Parameters
    ----------
    run_dir : Path
        A run directory.
    step : str
        Notebook, or `comparison/<network>-<evaluation>`.
    """
    own = psutil.Process()
    used = own.cpu_times()
    content = {
        "seconds": round(time.time() - own.create_time(), 1),
        "processor_seconds": round(used.user + used.system + used.children_user + used.children_system, 1),
        "host_memory": _peak(own),
        "device_memory": _on_card(),
    }
    write_json(_file(run_dir, step), content)


def _file(run_dir: Path, step: str) -> Path:
    return run_dir / "took" / f"{step.replace('/', '-')}.json"


def processor_seconds(run_dir: Path) -> dict[str, float]:
    """Read the processor seconds of every step that has been recorded.

    Parameters
    ----------
    run_dir : Path
        A run directory.

    Returns
    -------
    dict of str to float
        By the name of the step's file.
    """
    found = {file.stem: kept(file, _json) for file in (run_dir / "took").glob("*.json")}
    return {step: one["processor_seconds"] for step, one in found.items() if one}


def _peak(process: psutil.Process) -> int:
    if sys.platform == "win32":
        return process.memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _on_card() -> int:
    # What has not imported torch has nothing on a card.
    torch = sys.modules.get("torch")
    return int(torch.cuda.max_memory_reserved()) if torch and torch.cuda.is_initialized() else 0


def beside_the_plan(run_dir: Path) -> dict[str, Any] | None:
    """Read the plan of a run, and put beside each step what it took.

    Parameters
    ----------
    run_dir : Path
        A run directory.

    Returns
    -------
    dict or None
        Content of <run>/plan.json without folders and commands, each of its `steps` with `taken` (None where it has not
        run since that was recorded); None where nothing was planned.
    """
    plan = kept(run_dir / PLAN, _json)
    if plan is None:
        return None
    steps = []
    for step in plan["steps"]:
        file = _file(run_dir, step["step"])
        steps.append(step | {"taken": kept(file, _json) if file.is_file() else None})
    weights = [{key: one[key] for key in ("network", "start", "there")} for one in plan["weights"]]
    left = {key: value for key, value in plan.items() if key != "key"}
    return left | {"steps": steps, "weights": weights, "disk_taken": _bytes(run_dir)}


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _bytes(run_dir: Path) -> int:
    return sum(path.stat().st_size for path in run_dir.rglob("*") if path.is_file() and not path.is_symlink())
