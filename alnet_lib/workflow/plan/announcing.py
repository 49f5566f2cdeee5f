"""The plan of a run on its first lines: made once, then read. Imports nothing heavy unless it must be made."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

from alnet_lib.core.code import code_hash
from alnet_lib.core.files import plain, sha256, write_json
from alnet_lib.core.integrity.reading import kept
from alnet_lib.core.profile import Profile
from alnet_lib.workflow.plan.measured import PLAN

if TYPE_CHECKING:
    from pathlib import Path


def content(
    run_dir: Path, *, cohort: str, profile: str, data: str = "", cores: int | None = None, again: bool = False
) -> dict[str, Any]:
    """Give the plan of a run, made now or before for the same run on the same machine.

    Parameters
    ----------
    run_dir : Path
        Of the run; where it is there the plan is kept in it.
    cohort, profile : str
        Names.
    data : str
        Folder or folders of the original download.
    cores : int, optional
        Processors; default all.
    again : bool
        Make it and measure the device although that was done before.

    Returns
    -------
    dict
        Of `planning.Plan.as_dict`, with its `key`.

    Raises
    ------
    alnet_lib.core.profile.ProfileError, alnet_lib.cohorts.manifest.CohortError
        A profile or a cohort that cannot be read.
    """
    settings = Profile.load(profile, cohort)
    machine = f"{os.cpu_count()} {cores} {bool(shutil.which('nvidia-smi'))} {os.environ.get('CUDA_VISIBLE_DEVICES')}"
    code = code_hash("alnet_lib.workflow.plan.planning")
    key = sha256(cohort, settings.model_dump_json(), data, machine, code)[:16]
    file = run_dir / PLAN
    known = kept(file, lambda path: json.loads(path.read_text(encoding="utf-8"))) if file.is_file() else None
    # What was not at hand may be there now.
    if known and known.get("key") == key and not again and all(one["there"] for one in known["weights"]):
        return known
    from alnet_lib.workflow.plan import planning

    made = planning.plan(cohort, settings, data=data, run_dir=run_dir, cores=cores, again=again)
    found = plain(made.as_dict()) | {"key": key}
    if run_dir.is_dir() and found != known:
        write_json(file, found)
    return found


def announce(run_dir: Path, **about: Any) -> None:
    """Print the plan of a run to stderr; a run goes on where none can be made.

    Parameters
    ----------
    run_dir : Path
        Of the run.
    **about : object
        Arguments of `content`.
    """
    from alnet_lib.workflow.plan import wording

    try:
        told = wording.text(content(run_dir, **about))
    except Exception as error:  # An estimate must not stop a run; what is wrong with its data, its first step says.
        told = f"No plan could be made ({type(error).__name__}: {error})."
    print(told, file=sys.stderr, flush=True)
