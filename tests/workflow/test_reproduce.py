"""What is refused before a run begins, how its settings travel, and what is swept away."""

import os
import subprocess
import sys
import tempfile

import pytest
import yaml

from alnet_lib.core import files, resources
from alnet_lib.core.arguments import cohort_folders
from alnet_lib.workflow import reproduce as module
from alnet_lib.workflow import staleness
from alnet_lib.workflow.reproduce import reproduce
from alnet_lib.workflow.steps import AUDIT, COMPARISON, EXTERNAL, TRAINING, marker

HOSTILE = [
    "col: x", "ends:", "hash #1", "new\nline", "it's", 'say "x"', "$HOME `x` $(x)", "{braces}", "[1, 2]", "- dash",
    "&a *b", "é ü 血", "'; touch pwned; '", "null", "0x10", "~", " spaces ", "!tag", "%TAG", "@at", "tab\t", 
    "back\\slash", "not utf-8 \udcff",
]  # fmt: skip


@pytest.fixture
def started(monkeypatch):
    """Leave out Snakemake; give the command lines that would have been run."""
    lines = []
    monkeypatch.setattr(module, "_run", lambda command, run_dir, grace: lines.append(command) or 0)
    return lines


def _as_the_snakefile_reads_it(run_dir):
    head = resources.SNAKEFILE.read_text(encoding="utf-8").partition("rule all:")[0]
    before, found = os.getcwd(), {}
    parent = os.environ.pop(module.children.PARENT, None)
    os.chdir(run_dir)
    try:
        exec(head, found)
    finally:
        os.chdir(before)
        os.environ.pop(module.children.PARENT)
        if parent is not None:
            os.environ[module.children.PARENT] = parent
    return found["INPUT"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_folder_of_any_name_reaches_the_workflow_as_it_is(name, tmp_path, started):
    data, run = tmp_path / name, tmp_path / f"run {name}"
    data.mkdir()
    assert reproduce(run, cohort="jhu_apl", profile="smoke", data=str(data)) == 0
    given = _as_the_snakefile_reads_it(run)
    assert given == {"cohort": "jhu_apl", "profile": "smoke", "data": str(data)}
    assert str(data) not in " ".join(map(str, started[0])) and "--config" not in started[0]
    assert yaml.safe_load((run / "parameters.yaml").read_text(encoding="utf-8"))["run_dir"] == str(run)
    folders = cohort_folders("jhu_apl", given["data"])
    before = staleness.data_fingerprint("jhu_apl", given["data"])
    (data / "a.jpg").write_bytes(b"x")
    assert list(folders.values()) == [str(data)] and staleness.data_fingerprint("jhu_apl", given["data"]) != before


@pytest.mark.slow
def test_snakemake_works_in_folders_of_odd_names(tmp_path, capfd):
    run, data = tmp_path / "r'u\"n $HOME {x} #1: é\nline", tmp_path / "data/col: x #1 'q'\n"
    data.mkdir(parents=True)
    assert reproduce(run, cohort="jhu_apl", profile="smoke", data=str(data), cores=1, dry_run=True) == 0
    assert "rule data_audit:" in "".join(capfd.readouterr())


@pytest.mark.parametrize("given", [{"cohort": "nobody"}, {"cohort": ""}, {"profile": "x'; y; '"}, {"until": "99"}])
def test_what_is_unknown_is_refused_before_anything_is_made(given, tmp_path, started):
    with pytest.raises(ValueError, match=r"known are|unknown step"):
        reproduce(tmp_path / "run", **{"cohort": "synthetic", "profile": "smoke"} | given)
    assert not (tmp_path / "run").exists() and not started


def _file(path, size=10, age=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def test_sockets_of_killed_jobs_are_swept(tmp_path, monkeypatch, started):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = _file(tmp_path / "tmp" / f"alnet-{gone.pid}-abcdefgh" / "kernel-1")
    kept = [_file(tmp_path / "tmp" / name / "a") for name in (f"alnet-{os.getpid()}-abcdefgh", "alnet-mine-x", "other")]
    assert reproduce(tmp_path / "run", cohort="synthetic", profile="smoke") == 0
    assert not left.parent.exists() and all(path.exists() for path in kept)


def test_left_overs_of_killed_writes_are_swept_and_counted(tmp_path, started, capfd):
    source = (
        "import os, sys; from alnet_lib.core.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as path:\n    path.write_bytes(bytes(3_000_000)); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", source, tmp_path / "comparison" / f"{'ü' * 100}.parquet"], check=False)
    (left,) = (tmp_path / "comparison").iterdir()
    assert left.suffix == ".parquet"
    _file(tmp_path / "comparison" / "scratch" / "vgg16-fold-1" / "maps-1" / "maps", 1_000_000)
    kept = _file(tmp_path / "cohort" / "images" / ".hidden-abcdefgh.jpg")
    with files.atomic_path(tmp_path / "by-hand.csv") as written:
        assert reproduce(tmp_path, cohort="synthetic", profile="smoke", dry_run=True) == 0 and left.exists()
        capfd.readouterr()
        assert reproduce(tmp_path, cohort="synthetic", profile="smoke") == 0
        assert written.exists(), "of a process that is alive"
    assert not left.exists() and kept.exists() and list((tmp_path / "comparison" / "scratch").iterdir()) == []
    assert capfd.readouterr().err.startswith("removed 2 left-overs of killed runs, 4.0 MB\n")
    assert reproduce(tmp_path, cohort="synthetic", profile="smoke") == 0
    assert "left-overs" not in capfd.readouterr().err


def test_checkpoints_that_no_training_takes_up_are_abandoned_and_the_others_are_kept(tmp_path):
    models, comparison = tmp_path / "models", tmp_path / "comparison"
    waiting = [
        _file(models / "module_1-aa.checkpoint", age=10),
        _file(models / "fold-1" / "module_1-aa.checkpoint", age=10),
        _file(comparison / "vgg16-fold-1-depth2.bb.checkpoint", age=10),
        _file(comparison / "vgg16-fold-1-depth3.bb.checkpoint", age=90),
    ]
    left = [
        _file(models / "module_1-cc.checkpoint", age=20),
        _file(models / "module_2-aa.checkpoint", age=20),
        _file(comparison / "vgg16-fold-2-depth2.bb.checkpoint", age=20),
    ]
    _file(models / "module_1.safetensors", age=30)
    _file(models / "module_2.safetensors", age=15)
    _file(comparison / "vgg16-fold-2-depth2.parquet", age=15)
    assert sorted(staleness.abandoned(tmp_path)) == sorted(left)
    _file(tmp_path / marker(TRAINING))
    _file(tmp_path / marker(AUDIT))
    assert sorted(staleness.abandoned(tmp_path)) == sorted(left), "step 05 has still to train"
    _file(tmp_path / marker(EXTERNAL))
    assert set(staleness.abandoned(tmp_path)) == {*left, *waiting[:2]}
    _file(tmp_path / marker(COMPARISON), age=50)
    assert set(staleness.abandoned(tmp_path)) == {*left, *waiting[:2], waiting[3]}


def test_snakemake_has_a_cache_in_the_run_where_the_users_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert module._cache(tmp_path) == {}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    told = module._cache(tmp_path)
    assert told["XDG_CACHE_HOME"].startswith(str(tmp_path / ".snakemake"))
    assert told["TORCH_HOME"] == str(tmp_path / "file" / "cache" / "torch")
