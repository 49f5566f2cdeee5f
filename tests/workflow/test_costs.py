"""What a run took is printed, kept, and in results.json."""

import json
import sys

import pytest

from alnet_lib.workflow import provenance, recorder
from alnet_lib.workflow import reproduce as module

BUSY = "import time; t = time.process_time()\nwhile time.process_time() < t + 0.5: pass"


@pytest.mark.slow
def test_a_run_records_the_processor_time_of_its_children(tmp_path, monkeypatch, capsys):
    def run(command, run_dir, grace):
        # A grandchild burns the time and is not waited for, as a kernel that is told to stop.
        inner = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {BUSY!r}]); time.sleep(2)"
        module.subprocess.run([sys.executable, "-c", inner], check=True)
        (run_dir / "done").mkdir(exist_ok=True)
        (run_dir / "done" / f"step-{len(provenance.costs(run_dir))}.json").touch()
        return 0

    monkeypatch.setattr(module, "_run", run)
    for _ in range(2):
        module.reproduce(tmp_path, cohort="synthetic", profile="smoke")
    costs = provenance.costs(tmp_path)
    assert len(costs) == 2 and all(0.4 <= one["processor_seconds"] < 5 for one in costs)
    assert "s of processor time (user and system)" in capsys.readouterr().err
    assert recorder.collect(tmp_path)["provenance"]["costs"] == costs


def test_results_that_are_there_get_the_cost_and_a_dry_run_costs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_run", lambda command, run_dir, grace: 0)
    recorder.collect(tmp_path)
    for dry_run in (True, False):
        # What was up to date costs nothing worth telling either.
        module.reproduce(tmp_path, cohort="synthetic", profile="smoke", dry_run=dry_run)
    assert provenance.costs(tmp_path) == []
    provenance.add_cost(tmp_path, 12.34, 5.0)
    kept = json.loads((tmp_path / "results.json").read_text())["provenance"]["costs"]
    assert kept == [{"processor_seconds": pytest.approx(12.3), "wall_seconds": 5.0}]


def test_jobs_that_run_elsewhere_count_by_what_they_have_recorded(tmp_path, monkeypatch):
    def run(command, run_dir, grace):
        (run_dir / "done").mkdir()
        (run_dir / "done" / "step.json").touch()
        for name, seconds in (("02_backbone_comparison", 30.0), ("comparison-vgg16-hold-out", 40.0)):
            (run_dir / "took" / f"{name}.json").write_text(json.dumps({"processor_seconds": seconds}), encoding="utf-8")
        return 0

    monkeypatch.setattr(module, "_run", run)
    (tmp_path / "took").mkdir()
    for name, seconds in (("01_data_audit", 500.0), ("02_backbone_comparison", 900.0)):
        (tmp_path / "took" / f"{name}.json").write_text(json.dumps({"processor_seconds": seconds}), encoding="utf-8")
    module.reproduce(tmp_path, cohort="synthetic", profile="smoke", workflow_profile=str(tmp_path))
    assert 70 <= provenance.costs(tmp_path)[0]["processor_seconds"] < 90
