"""A tree of processes ends with its root, however that ends, and holds the run's lock until then."""

import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from alnet_lib.workflow import children
from alnet_lib.workflow.reproduce import RunBusy, reproduce

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no process groups")

TREE = """
import os, pathlib, signal, subprocess, sys, time
from alnet_lib.workflow import children
run, pids, level, root = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
(pids / f"{level}").write_text(str(os.getpid()))
if level:
    (pids / f"{level}-follower").write_text(str(os.getppid()))
command = [sys.executable, __file__, str(run), str(pids), str(level + 1), root]
if level == 3:
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    (pids / "worker").write_text(str(worker.pid))
    time.sleep(120)
elif level == 0 and root == "reproduce":
    # A shell has what it starts in the background ignore interrupts, these tests as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from alnet_lib.workflow import reproduce
    reproduce._run(command, run, grace=0)
else:
    os.environ[children.PARENT] = str(os.getpid())
    subprocess.run(children.command(run, command), start_new_session=True)
"""
NAMES = ["0", "1", "2", "3", "1-follower", "2-follower", "3-follower", "worker"]


def _ended(pid):
    # What init has not yet collected has ended too.
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return not shown.strip() or shown.startswith("Z")


def _wait(condition, seconds):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


def _read(folder, names, seconds=60):
    assert _wait(lambda: all((folder / name).is_file() and (folder / name).read_text() for name in names), seconds)
    return {name: int((folder / name).read_text()) for name in names}


@pytest.fixture
def tree(tmp_path):
    """Start four levels of processes and a worker, as a run has them; give the process ids and the run directory."""
    started = []

    def start(root="plain"):
        run, pids, script = tmp_path / "run ü '", tmp_path / "pids", tmp_path / "tree.py"
        run.mkdir(), pids.mkdir()
        script.write_text(TREE)
        started.append(subprocess.Popen([sys.executable, script, run, pids, "0", root], start_new_session=True))
        found = _read(pids, NAMES)
        started.extend(found[name] for name in NAMES[1:])
        return started[0], found, run

    yield start
    for process in started[1:]:
        if not _ended(process):
            os.kill(process, signal.SIGKILL)
    started[0].kill()
    started[0].wait()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_root(tree, number):
    process, pids, run = tree()
    assert children.busy(run, 0)
    process.send_signal(number)
    process.wait(5)
    assert _wait(lambda: all(map(_ended, pids.values())), 5), {name: _ended(pid) for name, pid in pids.items()}
    assert not children.busy(run, 0)


@pytest.mark.slow
def test_ctrl_c_ends_all_before_the_root(tree):
    process, pids, run = tree("reproduce")
    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert all(_ended(pid) for pid in pids.values()) and not children.busy(run, 0)


UNTOLD = """
import os, pathlib, subprocess, sys
from alnet_lib.workflow import children
pids = pathlib.Path(sys.argv[1])
if len(sys.argv) > 2:
    (pids / "follower").write_text(str(os.getpid()))
    children._tell_when_parent_ends = lambda number: None
    source = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)"
    children.follow("", [sys.executable, "-c", source, str(pids / "command")])
else:
    subprocess.run([sys.executable, __file__, str(pids), "follow"], start_new_session=True)
"""


def test_a_follower_that_is_not_told_of_its_parents_end_looks(tmp_path):
    (tmp_path / "untold.py").write_text(UNTOLD)
    parent = subprocess.Popen([sys.executable, tmp_path / "untold.py", tmp_path])
    pids = _read(tmp_path, ["follower", "command"])
    try:
        # So it has been waiting for longer than it takes to look once.
        time.sleep(2 * children.LOOKING)
        assert not any(map(_ended, pids.values()))
        parent.kill()
        parent.wait()
        assert _wait(lambda: all(map(_ended, pids.values())), 30)
    finally:
        for pid in pids.values():
            if not _ended(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a follower that is killed cannot tell")
@pytest.mark.parametrize("name", ["1", "1-follower", "2-follower"])
def test_nothing_outlives_a_process_in_between(tree, name):
    _, pids, _ = tree()
    os.kill(pids[name], signal.SIGKILL)
    below = [pids[key] for key in NAMES if key[0] in "23" or key == name]
    assert _wait(lambda: all(map(_ended, below)), 5)


def test_a_process_that_was_alone_before_it_looked_does_not_start(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    command = children.command(tmp_path, [sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')"])
    for parent, code in ((gone.pid, 1), (os.getpid(), 0)):
        assert subprocess.run(command, env={**os.environ, children.PARENT: str(parent)}, check=False).returncode == code
        assert (tmp_path / "ran").exists() == (code == 0)


def test_exit_codes_and_signals_are_handed_on(tmp_path):
    for source, code in (("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", 137)):
        command = children.command("", [sys.executable, "-c", source])
        assert subprocess.run(command, check=False).returncode == code


def test_a_command_in_a_shell_line_is_what_it_was(tmp_path):
    given = ['it\'s "q" $HOME `x`', "{braces}", "new\nline", "é", "#1; exit 3"]
    source = "import json, sys; json.dump(sys.argv[1:], open('seen', 'w'))"
    line = children.shell_line(".", [sys.executable, "-c", source, *given])
    # Snakemake fills in what stands in braces.
    subprocess.run(line.format(), shell=True, cwd=tmp_path, check=True)
    assert json.loads((tmp_path / "seen").read_text()) == given


def test_a_second_start_is_refused_while_an_orphan_lives(tmp_path, monkeypatch):
    run = tmp_path / "run"
    run.mkdir()
    orphan = subprocess.Popen(children.command(run, [sys.executable, "-c", "import time; time.sleep(60)"]))
    try:
        assert _wait(lambda: children.busy(run, 0), 10)
        monkeypatch.setattr(children.busy, "__defaults__", (0.2,))
        with pytest.raises(RunBusy, match="earlier `alnet reproduce` are still at work"):
            reproduce(run, cohort="synthetic", profile="smoke", dry_run=True)
        assert not (run / "parameters.yaml").exists()
    finally:
        orphan.terminate()
        orphan.wait(5)
    assert not children.busy(run, 5)


WORK = """
import os, pathlib, joblib
pids = pathlib.Path(run_dir)
(pids / "worker-pid").write_text(str(max(joblib.Parallel(n_jobs=2)(joblib.delayed(os.getpid)() for _ in range(2)))))
(pids / "kernel-pid").write_text(str(os.getpid()))
import time; time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["job", "kernel"])
def test_kernel_and_workers_end_with_the_job_and_the_job_fails_with_the_kernel(tmp_path, killed):
    cells = [nbformat.v4.new_code_cell('run_dir: str = ""', metadata={"tags": ["parameters"]})]
    cells.append(nbformat.v4.new_code_cell(WORK))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), tmp_path / "n.ipynb")
    source = (
        "import pathlib, sys; from alnet_lib.workflow import jobs; folder = pathlib.Path(sys.argv[1]);"
        "jobs.execute(folder / 'n.ipynb', folder / 'out.ipynb', {'run_dir': str(folder)})"
    )
    job = subprocess.Popen([sys.executable, "-c", source, str(tmp_path)], stderr=subprocess.PIPE)
    try:
        pids = _read(tmp_path, ["worker-pid", "kernel-pid"])
        os.kill(job.pid if killed == "job" else pids["kernel-pid"], signal.SIGKILL)
        assert _wait(lambda: all(map(_ended, pids.values())), 5)
        assert job.wait(20) != 0 and not children.busy(tmp_path)
    finally:
        job.kill()
        job.communicate()
