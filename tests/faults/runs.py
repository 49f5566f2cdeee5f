"""Runs of the whole chain: starting one, ending one, and telling whether two came to the same."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from alnet_lib.workflow.children import SOCKETS
from faults.tally import Tally

PROFILE = "../tests/faults/tiny"
"""Relative to the folder of the profiles, so that no page of a run names a folder of this machine."""

TIMES = re.compile("seconds|minutes")
"""Names of what no two runs have alike."""

SECONDS = 1800
"""A chain of seconds that takes longer hangs; the machine may be busy."""


def command(run: Path, *options: str, profile: str = PROFILE) -> list[str]:
    """Command line of `alnet reproduce`; the run directory may begin with a dash."""
    program = [sys.executable, "-m", "alnet_lib.cli", "reproduce", f"--profile={profile}", f"--run-dir={run}"]
    return [*program, *options]


def start(run: Path, *options: str, log: Path | None = None, profile: str = PROFILE, **more) -> subprocess.Popen:
    """Start `alnet reproduce` in a session of its own; what it says goes to the log."""
    given = command(run, *options, profile=profile)
    with open(log or os.devnull, "ab") as said:
        return subprocess.Popen(given, stdout=said, stderr=said, start_new_session=True, **more)


def finished(run: Path, *options: str, **more) -> subprocess.CompletedProcess:
    """Run `alnet reproduce` to its end."""
    profile = more.pop("profile", PROFILE)
    return subprocess.run(
        command(run, *options, profile=profile), capture_output=True, text=True, timeout=SECONDS, check=False, **more
    )


def base(work: Path) -> Path:
    """The undisturbed run under the profile `tiny`; made once."""
    run = work / "base"
    done = finished(run)
    if done.returncode:
        raise RuntimeError(f"the undisturbed run failed: {done.stderr[-3000:]}")
    return run


def values(run: Path) -> dict[str, tuple]:
    """Every value of results.json but times, and the status of every item."""
    found: dict[str, tuple] = {}
    for item in json.loads((run / "results.json").read_text(encoding="utf-8"))["items"]:
        found[item["id"]] = (item["status"], item["reason"], tuple(item["files"]))
        for value in item["values"]:
            if not TIMES.search(value["key"]):
                found[f"{item['id']}/{value['key']}"] = tuple(value.values())
    return found


def differences(run: Path, other: Path) -> list[str]:
    """What two finished runs differ in: values, and every CSV but columns of times."""
    import pandas as pd

    first, second = values(run), values(other)
    told = [name for name in first.keys() | second.keys() if first.get(name) != second.get(name)]
    names = {path.relative_to(each).as_posix() for each in (run, other) for path in each.glob("tables/*.csv")}
    for name in sorted(names):
        if not (run / name).is_file() or not (other / name).is_file():
            told.append(f"{name} is not in both")
            continue
        one, two = (pd.read_csv(each / name, dtype=str, keep_default_na=False) for each in (run, other))
        times = [column for column in one if TIMES.search(str(column))]
        timed = one.apply(lambda row: any(TIMES.search(cell) for cell in row), axis=1)
        one, two = (frame.drop(columns=times, errors="ignore") for frame in (one, two))
        if one.shape != two.shape or not one[~timed].equals(two[~timed]):
            told.append(f"{name} differs")
    return sorted(told)


def leftovers(run: Path) -> list[str]:
    """What killed writes left in a finished run, and folders of kernels whose job has gone."""
    from alnet_lib.workflow import staleness

    found = [path.relative_to(run).as_posix() for path in run.rglob("*") if path.name.startswith(".unfinished-")]
    found += [path.relative_to(run).as_posix() for path in run.rglob("*.checkpoint")]
    found += [path.relative_to(run).as_posix() for path in run.glob("comparison/scratch/*")]
    sockets = Path(tempfile.gettempdir()).glob(f"{SOCKETS}*-*") if sys.platform != "win32" else ()
    orphaned = {path.name for path in staleness.orphaned_sockets()}
    return found + [path.name for path in sockets if path.name in orphaned]


def cores(work: Path, *, few: bool = False) -> list[Tally]:
    """The same numbers with 1, 2 and 4 cores, twice."""
    reference, line = base(work), Tally("a run with 1, 2 and 4 cores, twice, against the undisturbed one")
    for number in [4] if few else [1, 2, 4] * 2:
        run = work / f"cores-{line.tried}"
        done = finished(run, f"--cores={number}")
        failure = done.stderr[-800:] if done.returncode else "; ".join(differences(reference, run)[:10])
        line.add(f"{number} cores", failure)
    return [line]
