"""Notebooks as jobs, and the rules that Snakemake runs."""

from pathlib import Path

import nbformat
import pytest
import yaml

from alnet_lib.core import resources
from alnet_lib.core.profile import Profile
from alnet_lib.workflow import jobs
from alnet_lib.workflow.reproduce import reproduce
from alnet_lib.workflow.steps import STEPS, step_name


def _notebook(folder: Path, source: str) -> None:
    cells = [nbformat.v4.new_code_cell('run_dir: str = ""', metadata={"tags": ["parameters"]})]
    cells.append(nbformat.v4.new_code_cell(source))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "02_backbone_comparison.ipynb")


@pytest.mark.slow
def test_a_failing_cell_names_notebook_cell_and_exception_and_keeps_the_notebook(tmp_path, monkeypatch, capfd):
    _notebook(tmp_path, 'raise ArithmeticError("seven is not eight")')
    monkeypatch.setattr(jobs, "NOTEBOOKS_DIR", tmp_path)
    (tmp_path / "p.yaml").write_text(f"run_dir: {tmp_path}\n")
    out = tmp_path / "out" / "02_backbone_comparison.ipynb"
    assert jobs.main(["notebook", str(out), "--parameters", str(tmp_path / "p.yaml")]) == 1
    message = capfd.readouterr().err
    assert "02_backbone_comparison failed in code cell" in message and "ArithmeticError: seven is not" in message
    assert "ArithmeticError" in out.read_text(encoding="utf-8")


def test_a_misspelt_parameter_is_fatal(tmp_path):
    _notebook(tmp_path, "pass")
    with pytest.raises(jobs.UnknownParameter, match="run_dri"):
        jobs.execute(tmp_path / "02_backbone_comparison.ipynb", tmp_path / "out.ipynb", {"run_dri": ""})


@pytest.mark.slow
def test_a_notebook_alone_says_which_command_makes_what_is_missing(tmp_path):
    parameters = {"profile": "smoke", "run_dir": str(tmp_path / "alone")}
    out = tmp_path / "alone.ipynb"
    with pytest.raises(Exception, match="--until 03_alnet_training") as caught:
        jobs.execute(resources.NOTEBOOKS_DIR / "04_smear_roc.ipynb", out, parameters)
    assert "MissingArtefact" in str(caught.value)


def test_unknown_steps_and_profiles_are_refused_with_what_is_known(tmp_path):
    assert step_name("03") == step_name("alnet_training") == "03_alnet_training"
    with pytest.raises(ValueError, match="steps are 01_data_audit"):
        step_name("99")
    with pytest.raises(ValueError, match="smoke"):
        reproduce(tmp_path / "run", cohort="synthetic", profile="fast")


@pytest.mark.slow
def test_snakemake_reads_the_workflow_and_has_a_rule_for_every_step(tmp_path, capfd):
    assert reproduce(tmp_path / "run", cohort="synthetic", profile="paper", cores=2, dry_run=True) == 0
    told = "".join(capfd.readouterr())
    for rule in [*(step.rule for step in STEPS.values()), "comparison_unit", "report"]:
        assert f"rule {rule}:" in told, rule


def test_the_cluster_profile_names_no_rule():
    file = resources.PROFILES_DIR / "slurm" / "config.yaml"
    assert "set-resources" not in yaml.safe_load(file.read_text(encoding="utf-8"))
    assert not any(step.rule in file.read_text(encoding="utf-8") for step in STEPS.values())


@pytest.mark.slow
def test_a_job_computes_with_the_profiles_threads_whatever_the_machine_says(tmp_path, monkeypatch):
    """The order of a sum depends on them: with Snakemake's own number, results differ between 1 and 2 cores."""
    for name in jobs.THREADS:
        monkeypatch.setenv(name, "7")
    _notebook(tmp_path, "import os, torch\nprint(os.environ['OMP_NUM_THREADS'], torch.get_num_threads())")
    monkeypatch.setattr(jobs, "NOTEBOOKS_DIR", tmp_path)
    out = tmp_path / "out" / "02_backbone_comparison.ipynb"
    assert jobs.run_notebook(out, {"run_dir": str(tmp_path)}) == 0
    threads = Profile.load("quick").threads
    assert f'"{threads} {threads}\\n"' in out.read_text(encoding="utf-8")
