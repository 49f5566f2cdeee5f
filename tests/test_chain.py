"""The whole chain at smoke size, as a user runs it, and what can go wrong on the way."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from command import alnet, alnet_here

import alnet_lib as al
from alnet_lib import paper
from alnet_lib.networks import activations
from alnet_lib.report import explorer
from alnet_lib.report.pages import folder
from alnet_lib.workflow.run import Run
from alnet_lib.workflow.steps import STEPS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """A finished run of the synthetic cohort under the profile smoke, in a folder with an awkward name."""
    folder = tmp_path_factory.mktemp("chain") / "run, é"
    done = alnet("reproduce", "--profile", "smoke", "--run-dir", folder)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.strip().endswith("report/index.html")
    return folder


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


def test_values_carry_what_the_paper_printed(smoke):
    known = paper.record()
    items = json.loads((smoke / "results.json").read_text())["items"]
    values = [value for item in items for value in item["values"]]
    printed = [value for value in values if value["key"] in known.index]
    assert len(printed) > 150
    for value in printed:
        assert value["published"] == known.loc[value["key"], "value"], value["key"]


def test_provenance_is_whole_and_names_no_folder(smoke):
    about = json.loads((smoke / "results.json").read_text())["provenance"]
    assert about["profile"]["name"] == "smoke" and about["cohort"]["kind"] == "synthetic"
    assert set(about["seconds"]) == set(STEPS)
    for path in [*smoke.glob("report/*.html"), smoke / "results.json"]:
        # The parent has no letter that a page would write otherwise.
        assert str(smoke.parent) not in path.read_text(encoding="utf-8"), path.name


def test_the_report_has_no_warning_no_traceback_and_no_address_to_load(smoke):
    for path in smoke.glob("report/*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"Warning:|Traceback", text), path.name
        assert not re.search(r'src="(https?:)?//', text), path.name
        followed = set(re.findall(r'<a href="((?:https?:)?//[^"]*)"', text))
        assert followed <= ({folder.PAPER, folder.LICENCE} if path.name == "index.html" else set()), path.name
        assert len(re.findall(r'href="(?:https?:)?//', text)) == len(re.findall(r'<a href="(?:https?:)?//', text))
        assert not re.search(r"<img(?![^>]*\balt=)", text), path.name


def test_the_gallery_shows_every_testing_and_external_smear(smoke):
    text = (smoke / "report" / "gallery.html").read_text(encoding="utf-8")
    cells = pd.read_parquet(smoke / "predictions" / "cells.parquet")
    shown = cells[cells["split"].isin(["test", "external"]) & cells["eligible"]]
    assert text.count('<section class="smear"') == shown["smear_id"].nunique()
    assert text.count('<li class="cell"') == len(shown)
    assert text.count('<img src="gallery/sheet-') == len(shown) and 'id="map"' in text
    assert 'href="gallery.html"' in (smoke / "report" / "index.html").read_text(encoding="utf-8")


def test_smears_and_cells_are_shown_and_browsed(smoke):
    run = Run.open("04_smear_roc", profile="smoke", run_dir=str(smoke))
    cells = pd.read_parquet(smoke / "predictions" / "cells.parquet")
    line = cells[cells["split"].eq("test")].iloc[0]
    smear, cell = explorer.show(run, line["smear_id"]), explorer.show(run, line["image_id"])
    assert line["smear_id"] in smear.alt and line["image_id"] in cell.alt
    with pytest.raises(KeyError, match="no smear and no cell `nothing`"):
        explorer.show(run, "nothing")
    opened = al.open(smoke)
    assert len(opened.smears()) == cells[cells["split"].eq("test")]["smear_id"].nunique()
    assert line["smear_id"] in opened.show(line["smear_id"]).alt
    assert len(activations.layers(opened.network("module_1"))) == 13
    assert "64 feature maps of block 3, layer 1" in opened.maps(line["image_id"]).alt


def test_a_second_run_does_nothing(smoke):
    before = {
        path: path.stat().st_mtime_ns for path in smoke.rglob("*") if path.is_file() and "progress" not in str(path)
    }
    done = alnet("reproduce", "--profile", "smoke", "--run-dir", smoke)
    assert done.returncode == 0 and "started" not in done.stderr
    after = {path: path.stat().st_mtime_ns for path in before}
    changed = {path.name for path in before if before[path] != after[path] and ".snakemake" not in path.parts}
    # Snakemake touches its outputs when a rule has ended; the index of digests then learns their new time.
    assert changed <= {".lock", "digests.jsonl"}


def test_forcing_a_step_repeats_it_with_the_same_results(smoke, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(smoke, copy)
    before = json.loads((copy / "done" / "07_scorecard.json").read_text())
    shown = alnet("reproduce", "--profile", "smoke", "--run-dir", copy, "--force", "07", "--dry-run")
    assert shown.returncode == 0 and "scorecard" in shown.stdout + shown.stderr
    done = alnet("reproduce", "--profile", "smoke", "--run-dir", copy, "--force", "07")
    assert done.returncode == 0, done.stderr[-4000:]
    assert re.findall(r"^(\w+): started$", done.stderr, re.MULTILINE) == ["07_scorecard"]
    assert json.loads((copy / "done" / "07_scorecard.json").read_text()) == before


def test_diagnose_returns_a_verdict_with_what_stands_behind_it(smoke, tmp_path):
    manifest = pd.read_parquet(smoke / "cohort" / "manifest.parquet")
    smear = manifest[manifest["smear_id"].eq(manifest["smear_id"].value_counts().index[0])]
    folder = tmp_path / "smear ü"
    folder.mkdir()
    for path in smear["path"]:
        shutil.copy(smoke / "cohort" / path, folder)
    (folder / "notes.txt").write_text("not a cell")
    refused = alnet_here("diagnose", folder, "--model", smoke, "--few")
    assert refused.exit_code == 1 and "never seen a real cell" in refused.stderr
    told = ("--few", "--synthetic-model-anyway")
    shown = alnet("diagnose", folder, "--model", smoke, *told)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("RESEARCH USE ONLY") and f"({len(smear)} cells" in shown.stdout
    assert "never seen a real cell" in shown.stdout and "notes.txt: not an image" in shown.stdout
    result = json.loads(alnet_here("diagnose", folder, "--model", smoke, "--json", *told).stdout)
    assert result["verdict"] in {"APL", "AML", "ALL", "infection", "control", "unknown", "AL non-APL"}
    assert result["n_cells"] == len(smear) == len(result["cells"])
    assert "research use only" in json.dumps(result).lower() and "notes.txt" in json.dumps(result)
    assert result["model"]["trained_on"]["kind"] == "synthetic" and result["left_out"] == 1


def test_diagnose_says_what_is_missing(smoke, tmp_path):
    assert "is not a folder" in alnet_here("diagnose", tmp_path / "nowhere", "--model", smoke).stderr
    (tmp_path / "empty").mkdir()
    empty = alnet_here("diagnose", tmp_path / "empty", "--model", smoke)
    assert empty.exit_code == 1 and "no readable image" in empty.stderr
    missing = alnet_here("diagnose", smoke / "cohort", "--model", tmp_path)
    assert missing.exit_code == 1 and "--until 03" in missing.stderr
