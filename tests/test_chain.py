"""The whole chain at smoke size, as a user runs it, and what can go wrong on the way."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

import alnet_lib.alnet
from alnet_lib import browse, execute, paper, pipeline
from alnet_lib.cohorts import jhu_apl
from alnet_lib.reproduce import reproduce, step_name
from alnet_lib.run import Run

ALNET = [sys.executable, "-m", "alnet_lib.cli"]


def alnet(*arguments, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*ALNET, *map(str, arguments)], capture_output=True, text=True, timeout=900, check=False, **options
    )


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A finished run of the drawn cohort under the profile smoke, in a folder with an awkward name."""
    folder = tmp_path_factory.mktemp("chain") / "run, é"
    done = alnet("reproduce", "--profile", "smoke", "--run-dir", folder)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.strip().endswith("report/index.html")
    return folder


@pytest.mark.slow
def test_every_table_and_figure_is_there_or_says_why_not(smoke):
    items = {item["id"]: item for item in json.loads((smoke / "results.json").read_text())["items"]}
    assert list(items)[: len(paper.ITEMS)] == list(paper.ITEMS)
    for id in paper.ITEMS:
        item = items[id]
        if item["status"] == "unavailable":
            assert item["reason"] and "has not run" not in item["reason"], id
        else:
            assert item["files"], id
            for file in item["files"]:
                assert (smoke / file).stat().st_size > 0, file
            if item["kind"] == "figure":
                assert {Path(file).suffix for file in item["files"]} == {".svg", ".png"} and item["alt"], id
    # The untrained networks of smoke may call no smear; that alone may be unavailable on a cohort with every class.
    assert {id for id in paper.ITEMS if items[id]["status"] == "unavailable"} <= {"table_09b"}


@pytest.mark.slow
def test_values_carry_what_the_paper_printed(smoke):
    known = paper.record()
    items = json.loads((smoke / "results.json").read_text())["items"]
    values = [value for item in items for value in item["values"]]
    printed = [value for value in values if value["key"] in known.index]
    assert len(printed) > 150
    for value in printed:
        assert value["published"] == known.loc[value["key"], "value"], value["key"]


@pytest.mark.slow
def test_provenance_is_whole_and_names_no_folder(smoke):
    about = json.loads((smoke / "results.json").read_text())["provenance"]
    assert about["profile"]["name"] == "smoke" and about["cohort"]["kind"] == "synthetic"
    assert set(about["seconds"]) == set(pipeline.RULES)
    for path in [*smoke.glob("report/*.html"), smoke / "results.json"]:
        assert str(smoke) not in path.read_text(encoding="utf-8"), path.name


@pytest.mark.slow
def test_the_report_has_no_warning_no_traceback_and_no_address_to_load(smoke):
    for path in smoke.glob("report/*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"Warning:|Traceback", text), path.name
        assert not re.search(r'(src|href)="(https?:)?//', text), path.name
        assert not re.search(r"<img(?![^>]*\balt=)", text), path.name


@pytest.mark.slow
def test_the_gallery_shows_every_testing_and_external_smear(smoke):
    text = (smoke / "report" / "gallery.html").read_text(encoding="utf-8")
    cells = pd.read_parquet(smoke / "predictions" / "cells.parquet")
    shown = cells[cells["split"].isin(["test", "external"])]
    assert text.count('<section class="smear"') == shown["smear_id"].nunique()
    assert text.count('<li class="cell"') == len(shown)
    assert text.count("data:image/jpeg;base64,") == len(shown)
    assert 'href="gallery.html"' in (smoke / "report" / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_smears_and_cells_are_shown_and_browsed(smoke):
    run = Run.open("04_smear_roc", profile="smoke", run_dir=str(smoke))
    cells = pd.read_parquet(smoke / "predictions" / "cells.parquet")
    line = cells[cells["split"].eq("test")].iloc[0]
    smear, cell = alnet_lib.alnet.show(run, line["smear_id"]), alnet_lib.alnet.show(run, line["image_id"])
    assert line["smear_id"] in smear.alt and line["image_id"] in cell.alt
    with pytest.raises(KeyError, match="no smear and no cell `nothing`"):
        alnet_lib.alnet.show(run, "nothing")
    box = browse.browser(run)
    dropdown, slider = box.children[0].children
    assert len(dropdown.options) == cells[cells["split"].eq("test")]["smear_id"].nunique()
    slider.value, dropdown.index = 0.9, len(dropdown.options) - 1
    cell, layer = browse.map_browser(run).children[0].children
    assert layer.value == (3, 1) and len(layer.options) == 13
    layer.value, cell.index = (1, 2), 1


@pytest.mark.slow
def test_a_second_run_does_nothing(smoke):
    before = {
        path: path.stat().st_mtime_ns for path in smoke.rglob("*") if path.is_file() and "progress" not in str(path)
    }
    done = alnet("reproduce", "--profile", "smoke", "--run-dir", smoke)
    assert done.returncode == 0 and "started" not in done.stderr
    after = {path: path.stat().st_mtime_ns for path in before}
    changed = {path.name for path in before if before[path] != after[path] and ".snakemake" not in path.parts}
    assert changed <= {".lock"}


@pytest.mark.slow
def test_forcing_a_step_repeats_it_with_the_same_results(smoke, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(smoke, copy)
    before = json.loads((copy / "done" / "07_scorecard.json").read_text())
    shown = alnet("reproduce", "--profile", "smoke", "--run-dir", copy, "--force", "07", "--dry-run")
    assert shown.returncode == 0 and "scorecard" in shown.stdout + shown.stderr
    done = alnet("reproduce", "--profile", "smoke", "--run-dir", copy, "--force", "07")
    assert done.returncode == 0 and "07_scorecard: started" in done.stderr and "03_" not in done.stderr
    assert json.loads((copy / "done" / "07_scorecard.json").read_text()) == before


@pytest.mark.slow
def test_diagnose_returns_a_verdict_with_what_stands_behind_it(smoke, tmp_path):
    manifest = pd.read_parquet(smoke / "cohort" / "manifest.parquet")
    smear = manifest[manifest["smear_id"].eq(manifest["smear_id"].value_counts().index[0])]
    folder = tmp_path / "smear ü"
    folder.mkdir()
    for path in smear["path"]:
        shutil.copy(smoke / "cohort" / path, folder)
    (folder / "notes.txt").write_text("not a cell")
    told = alnet("diagnose", folder, "--model", smoke)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("RESEARCH USE ONLY") and f"({len(smear)} cells" in told.stdout
    result = json.loads(alnet("diagnose", folder, "--model", smoke, "--json").stdout)
    assert result["verdict"] in {"APL", "AML", "ALL", "infection", "control", "unknown", "AL non-APL"}
    assert result["n_cells"] == len(smear) == len(result["cells"])
    assert "research use only" in json.dumps(result).lower() and "notes.txt" in json.dumps(result)


@pytest.mark.slow
def test_diagnose_says_what_is_missing(smoke, tmp_path):
    assert "is not a folder" in alnet("diagnose", tmp_path / "nowhere", "--model", smoke).stderr
    (tmp_path / "empty").mkdir()
    empty = alnet("diagnose", tmp_path / "empty", "--model", smoke)
    assert empty.returncode == 1 and "no readable image" in empty.stderr
    missing = alnet("diagnose", smoke / "cohort", "--model", tmp_path)
    assert missing.returncode == 1 and "--until 03" in missing.stderr


@pytest.mark.slow
def test_a_notebook_alone_says_which_command_makes_what_is_missing(tmp_path):
    parameters = {"profile": "smoke", "run_dir": str(tmp_path / "alone")}
    out = tmp_path / "alone.ipynb"
    with pytest.raises(Exception, match="--until 03_alnet_training") as caught:
        execute.execute(pipeline.NOTEBOOKS_DIR / "04_smear_roc.ipynb", out, parameters)
    assert "MissingArtefact" in str(caught.value)


def _notebook(folder: Path, source: str) -> None:
    cells = [nbformat.v4.new_code_cell('run_dir: str = ""', metadata={"tags": ["parameters"]})]
    cells.append(nbformat.v4.new_code_cell(source))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "02_backbone_comparison.ipynb")


@pytest.mark.slow
def test_a_failing_cell_names_notebook_cell_and_exception_and_keeps_the_notebook(tmp_path, monkeypatch, capfd):
    _notebook(tmp_path, 'raise ArithmeticError("seven is not eight")')
    monkeypatch.setattr(execute, "NOTEBOOKS_DIR", tmp_path)
    (tmp_path / "p.yaml").write_text(f"run_dir: {tmp_path}\n")
    out = tmp_path / "out" / "02_backbone_comparison.ipynb"
    assert execute.main(["--notebook", str(out), "--parameters", str(tmp_path / "p.yaml")]) == 1
    message = capfd.readouterr().err
    assert "02_backbone_comparison failed in code cell" in message and "ArithmeticError: seven is not" in message
    assert "ArithmeticError" in out.read_text(encoding="utf-8")


def test_a_misspelt_parameter_is_fatal(tmp_path):
    _notebook(tmp_path, "pass")
    with pytest.raises(execute.UnknownParameter, match="run_dri"):
        execute.execute(tmp_path / "02_backbone_comparison.ipynb", tmp_path / "out.ipynb", {"run_dri": ""})


def test_unknown_steps_profiles_cohorts_and_folders_are_refused_with_what_is_known(tmp_path):
    assert step_name("3".zfill(2)) == step_name("alnet_training") == "03_alnet_training"
    with pytest.raises(ValueError, match="steps are 01_data_audit"):
        step_name("99")
    with pytest.raises(ValueError, match="smoke"):
        reproduce(tmp_path / "run", cohort="synthetic", profile="fast")
    told = alnet("cohort", "build", "nobody", tmp_path / "out")
    assert told.returncode == 1 and "known are synthetic" in told.stderr
    told = alnet("cohort", "build", "jhu_apl", tmp_path / "out", "--data", tmp_path)
    assert told.returncode == 1 and "is not the jhu_apl data set" in told.stderr


def test_cohort_commands_build_describe_validate_and_list(tmp_path):
    out = tmp_path / "o, ü"
    built = alnet("cohort", "build", "synthetic", out, "--scale", "0.003")
    assert built.returncode == 0 and (out / "manifest.parquet").is_file()
    described = alnet("cohort", "describe", out, env={**os.environ, "COLUMNS": "200"})
    assert described.returncode == 0 and "B-Lymphoblasts" in described.stdout
    assert alnet("cohort", "validate", out).returncode == 0
    picture = next(out.rglob("*.jpg"))
    picture.write_bytes(picture.read_bytes()[:-40])
    cut = alnet("cohort", "validate", out)
    assert cut.returncode == 1 and "truncated" in cut.stdout and "--allow-truncated" in cut.stdout
    assert alnet("cohort", "validate", out, "--allow-truncated").returncode == 0
    picture.write_bytes(b"")
    broken = alnet("cohort", "validate", out)
    assert broken.returncode == 1 and "zero bytes" in broken.stdout and "1 errors" in broken.stdout
    listed = alnet("cohort", "list", env={**os.environ, "COLUMNS": "200"})
    assert listed.returncode == 0 and "jhu_apl" in listed.stdout


def test_doctor_says_what_works():
    told = alnet("doctor")
    assert told.returncode == 0
    for name in ("Python", "torch", "GPU", "Jupyter kernel", "ImageNet weights of vgg16", "Disk"):
        assert name in told.stdout


@pytest.mark.slow
@pytest.mark.jhu_apl
def test_the_chain_runs_on_a_handful_of_real_images(jhu_folder, tmp_path):
    """Some patients of each diagnosis and split, a few images of each type."""
    manifest = jhu_apl.read(jhu_folder).manifest
    source, target = jhu_folder / "Data", tmp_path / "few" / "Data"
    by = manifest.groupby(["split", "diagnosis"])["patient_id"]
    patients = [name for _, names in by for name in names.drop_duplicates().head(5)]
    few = manifest[manifest["patient_id"].isin(patients)].groupby(["patient_id", "cell_type"]).head(4)
    for path in few["path"]:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).symlink_to(source / path)
    master = pd.read_csv(source / "master.csv")
    master[master["Patient_ID"].isin(patients)].to_csv(target / "master.csv", index=False)
    run = tmp_path / "run"
    done = alnet("reproduce", "--cohort", "jhu_apl", "--profile", "smoke", "--data", target.parent, "--run-dir", run)
    assert done.returncode == 0, done.stderr[-4000:]
    items = {item["id"]: item for item in json.loads((run / "results.json").read_text())["items"]}
    assert items["table_07a"]["status"] == "reproduced"
    for id in ("table_05", "table_07b"):
        assert items[id]["status"] == "unavailable" and "lymphoblast" in items[id]["reason"].lower()
    assert "Public cohort" in (run / "report" / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_cells_without_a_smear_never_vote_and_patients_without_labels_do_nothing_else(twin, tmp_path):
    manifest = twin.manifest[["path", "cell_type", "smear_id", "patient_id", "site", "diagnosis", "split"]].copy()
    manifest.loc[manifest["split"].eq("external"), "cell_type"] = ""
    manifest["smear_known"] = manifest["cell_type"].ne("lymphocyte")
    own = tmp_path / "own"
    own.mkdir()
    (own / "images").symlink_to(twin.root / "images")
    manifest.to_csv(own / "manifest.csv", index=False)
    run = tmp_path / "run"
    done = alnet(
        "reproduce", "--cohort", "folder", "--profile", "smoke", "--data", own, "--run-dir", run, "--until", "05"
    )
    assert done.returncode == 0, done.stderr[-4000:]
    cells = pd.read_parquet(run / "predictions" / "cells.parquet")
    assert not cells.loc[cells["cell_type"].eq("lymphocyte"), "selected"].any()
    assert cells.loc[cells["split"].eq("external"), "selected"].all()
    items = {path.stem: json.loads(path.read_text()) for path in (run / "items").glob("*.json")}
    assert items["extra_table_external_cells"]["reason"] == "no labelled cell of another site"
    voted = pd.read_csv(run / items["extra_table_external_sites"]["files"][0])
    assert voted["smears"].sum() == cells.loc[cells["split"].eq("external"), "smear_id"].nunique()
    counted = pd.read_csv(run / "tables" / "table_02.csv", index_col=0).loc["Lymphocytes"]
    assert counted["images_train"] > 0 and counted["patients"] == counted["smears_train"] == 0


@pytest.mark.parametrize("notebook", pipeline.USES)
def test_a_notebook_is_stale_when_a_module_changes_that_it_imports(notebook):
    cells = json.loads((pipeline.NOTEBOOKS_DIR / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    imported = set()
    for line in ast.walk(ast.parse(code)):
        if isinstance(line, ast.ImportFrom) and line.module.split(".")[0] == "alnet_lib":
            folder = pipeline.LIBRARY.joinpath(*line.module.split(".")[1:])
            names = (
                [folder / f"{name.name}.py" for name in line.names] if folder.is_dir() else [folder.with_suffix(".py")]
            )
            imported |= {path for path in names if path.is_file()}
    used = {path for pattern in pipeline.USES[notebook] for path in pipeline.LIBRARY.glob(pattern)}
    assert imported and imported <= used
