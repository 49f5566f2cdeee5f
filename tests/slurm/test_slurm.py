"""A run on SLURM gives what a run on this machine gives, also when one of its jobs is killed: `make slurm`.

Two virtual nodes on this machine (cluster.sh). The run is `smoke`, the comparison's units as jobs of their own, through
profiles/slurm as it stands. It takes minutes and root, so it is not among the tests of `make test`.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.skipif("ALNET_SLURM" not in os.environ, reason="`make slurm` runs this")

HERE = Path(__file__).parent
KIT = HERE.parents[1]
TIMES = ("s", "min")
"""Units of values that are never alike."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The environment in which `alnet reproduce` is started."""
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([HERE / "cluster.sh", "start", folder], check=True)
    yield dict(os.environ)
    subprocess.run([HERE / "cluster.sh", "stop", folder], check=True)


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    """The kit with `units: true` under smoke."""
    folder = tmp_path_factory.mktemp("kit")
    for name in ("alnet_lib", "notebooks", "profiles", "workflow"):
        shutil.copytree(KIT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(KIT / "pyproject.toml", folder)
    smoke = folder / "profiles" / "smoke.yaml"
    settings = yaml.safe_load(smoke.read_text(encoding="utf-8"))
    settings["comparison"]["units"] = True
    smoke.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return folder


def started(kit, run, log, environment, *more):
    """Start `alnet reproduce` of smoke."""
    command = [sys.executable, "-m", "alnet_lib.cli", "reproduce", "--profile", "smoke", "--run-dir", str(run), *more]
    environment = environment | {"PYTHONPATH": str(kit), "PYTHONDONTWRITEBYTECODE": "1"}
    with open(log, "w") as file:
        return subprocess.Popen(command, cwd=kit, env=environment, stdout=file, stderr=subprocess.STDOUT)


def jobs(environment):
    """Every job: number -> state, node, seconds or minutes, and what it is for."""
    asked = ["squeue", "--noheader", "--states=all", "--format=%A|%T|%N|%M|%k"]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True)
    rows = [line.split("|") for line in done.stdout.splitlines()]
    return {int(number): tuple(told) for number, *told in rows}


def values(run):
    """Every number of a run by item and key, times left out."""
    items = json.loads((run / "results.json").read_text(encoding="utf-8"))["items"]
    return {
        (item["id"], value["key"]): {name: value[name] for name in value if name != "recomputed"}
        | {"s": item["status"]}
        for item in items
        for value in item["values"]
        if value["unit"] not in TIMES
    }


def test_a_run_on_slurm_with_a_killed_job_equals_a_local_one(cluster, kit, tmp_path):
    run, log = tmp_path / "run", tmp_path / "slurm.log"
    process = started(kit, run, log, cluster, "--workflow-profile", "profiles/slurm")
    killed, seen, most, began = 0, {}, 0, time.monotonic()
    while process.poll() is None:
        seen |= jobs(cluster)  # SLURM forgets them after a while.
        units = [one for one, (state, *_, what) in seen.items() if state == "RUNNING" and "comparison_unit" in what]
        most = max(most, len(units))
        if not killed and (old := [one for one in units if seen[one][2] >= "0:15"]):
            killed = old[0]  # A unit takes half a minute: it is at its work.
            subprocess.run(["scancel", "--signal=KILL", "--full", str(killed)], env=cluster, check=True)
            print(f"killed job {killed}, a unit of the comparison")
        time.sleep(2)
    seen |= jobs(cluster)
    print(f"{time.monotonic() - began:.0f} s on the cluster", *sorted(seen.items()), sep="\n")
    told = log.read_text(encoding="utf-8")
    print(told)
    assert process.returncode == 0, told[-4000:]
    again = [one for one in seen if one > killed and seen[one][-1] == seen[killed][-1]]
    assert killed and seen[killed][0] != "COMPLETED", "a job was killed"
    assert [seen[one][0] for one in again] == ["COMPLETED"], "and sent once more, and ended"
    assert {node for _, node, *_ in seen.values()} == {"alnet1", "alnet2"}
    assert most == 2, "units ran side by side on both nodes"
    local = Path(os.environ.get("ALNET_LOCAL_RUN") or tmp_path / "local")
    if not local.is_dir():
        began = time.monotonic()
        assert started(kit, local, tmp_path / "local.log", os.environ).wait() == 0
        print(f"{time.monotonic() - began:.0f} s on this machine alone")
    here, there = values(local), values(run)
    print(f"{len(there):,} values of {len({id for id, _ in there})} items")
    differing = sorted(key for key in here.keys() | there.keys() if here.get(key) != there.get(key))
    assert not differing, differing[:10]
