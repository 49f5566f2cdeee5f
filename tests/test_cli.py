"""The command line, in this process: what it prints, and what it refuses."""

import pytest
from typer.testing import CliRunner

from alnet_lib.cli import app


@pytest.fixture
def alnet(monkeypatch):
    """Call the command with arguments."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("alnet_lib.cli.printing.console.width", 200, raising=False)
    return lambda *arguments: CliRunner().invoke(app, [str(part) for part in arguments])


def test_unknown_cohorts_and_folders_are_refused_with_what_is_known(alnet, tmp_path):
    result = alnet("cohort", "build", "nobody", tmp_path / "out")
    assert result.exit_code == 1 and "known are synthetic" in result.stderr
    result = alnet("cohort", "build", "jhu_apl", tmp_path / "out", "--data", tmp_path)
    assert result.exit_code == 1 and "is not the jhu_apl data set" in result.stderr


@pytest.mark.slow
def test_cohort_commands_build_describe_and_validate(alnet, few_drawn, tmp_path):
    few_drawn(5)
    out = tmp_path / "o, ü"
    built = alnet("cohort", "build", "synthetic", out, "--fraction", "0.003")
    assert built.exit_code == 0 and (out / "manifest.parquet").is_file()
    described = alnet("cohort", "describe", out)
    assert described.exit_code == 0 and "B-Lymphoblasts" in described.stdout
    assert alnet("cohort", "validate", out).exit_code == 0
    picture = next(out.rglob("*.jpg"))
    picture.write_bytes(picture.read_bytes()[:-40])
    cut = alnet("cohort", "validate", out)
    assert cut.exit_code == 1 and "truncated" in cut.stdout and "--allow-truncated" in cut.stdout
    assert alnet("cohort", "validate", out, "--allow-truncated").exit_code == 0
    picture.write_bytes(b"")
    broken = alnet("cohort", "validate", out)
    assert broken.exit_code == 1 and "zero bytes" in broken.stdout and "1 errors" in broken.stdout


def test_cohorts_are_listed_and_one_is_described(alnet):
    listed = alnet("cohort", "list")
    assert listed.exit_code == 0 and "jhu_apl" in listed.stdout
    one = alnet("cohort", "list", "jhu")
    assert one.exit_code == 0 and "jhu_apl" in one.stdout
    assert alnet("cohort", "list", "nobody").exit_code == 1


def test_doctor_says_what_works(alnet):
    result = alnet("doctor")
    assert result.exit_code == 0
    for name in ("Python", "torch", "GPU", "Jupyter kernel", "ImageNet weights of vgg16", "Disk"):
        assert name in result.stdout


def test_diagnose_and_report_say_what_is_missing(alnet, tmp_path):
    (tmp_path / "empty").mkdir()
    missing = alnet("diagnose", tmp_path / "empty", "--model", tmp_path)
    assert missing.exit_code == 1 and missing.stderr
    result = alnet("report", tmp_path / "nowhere")
    assert result.exit_code == 1 and "is not a run directory" in result.stderr


@pytest.mark.parametrize("empty", [("", "--model", "run"), ("smear", "--model", " ")])
def test_diagnose_takes_no_current_folder_for_a_name_that_is_empty(alnet, empty):
    refused = alnet("diagnose", *empty)
    assert refused.exit_code == 2 and "name is empty" in refused.stderr


def test_reproduce_refuses_an_unknown_profile(alnet, tmp_path):
    result = alnet("reproduce", "--profile", "fast", "--run-dir", tmp_path / "run")
    assert result.exit_code == 1 and "smoke" in result.stderr
