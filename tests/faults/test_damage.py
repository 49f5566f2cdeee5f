"""Every kind of artefact damaged in every way: named, or put aside and made again; never used in silence."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from command import alnet_here

from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.core.files import atomic_path, write_json, write_text
from alnet_lib.core.integrity import index
from alnet_lib.core.integrity.reading import Damaged
from alnet_lib.core.vocabulary import MANIFEST_COLUMNS, MODULE_1_CLASSES
from alnet_lib.imaging import handcrafted, pixels
from alnet_lib.networks import storage
from alnet_lib.networks.building import build
from alnet_lib.report.pages import files
from alnet_lib.training import checkpoints
from alnet_lib.workflow import jobs, recorder
from alnet_lib.workflow import reproduce as module
from alnet_lib.workflow.damage import examination
from alnet_lib.workflow.steps import AUDIT, COMPARISON, STEPS, TRAINING, marker
from faults.damage import WAYS, damage

UNIT = "comparison/vgg16-fold-1"

MADE_BY = {
    "cohort/manifest.parquet": AUDIT,
    "cohort/cohort.json": AUDIT,
    "cohort/images/a.jpg": AUDIT,
    "pixels/pixels_00.npy": AUDIT,
    "provenance.json": AUDIT,
    f"{UNIT}-depth5.parquet": COMPARISON,
    f"{UNIT}.json": COMPARISON,
    "models/module_1.safetensors": TRAINING,
    "models/module_1.json": TRAINING,
    "models/module_1-aa.checkpoint": TRAINING,
    "cross_fitting/fold-1-module_1.parquet": TRAINING,
    "predictions/cells.parquet": TRAINING,
    "items/table_05.json": TRAINING,
    "items/extra_table_x.json": TRAINING,
    "tables/extra_table_x.csv": TRAINING,
    "figures/extra_figure_x.png": TRAINING,
    "notebooks/03_alnet_training.ipynb": TRAINING,
    "done/03_alnet_training.json": TRAINING,
    "results.json": "report",
    "report/index.html": "report",
    "report/gallery.html": "report",
    "compared/table_01.csv": "report",
    "checklists/x.csv": "report",
    "costs.json": "",
    "parameters.yaml": "",
    "plan.json": "",
}
"""Every kind of artefact -> what makes it again."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of small files that every step has finished."""
    run = tmp_path_factory.mktemp("finished") / "run"
    run.mkdir()
    index.begin(run)
    before = os.environ.pop(index.STEP, None)
    for path, step in {**dict.fromkeys(map(marker, STEPS), ""), **MADE_BY}.items():
        os.environ[index.STEP] = step
        if path.endswith(".parquet"):
            with atomic_path(run / path) as temporary:
                pd.DataFrame({"a": range(50)}).to_parquet(temporary)
        elif path.endswith(".npy"):
            with atomic_path(run / path) as temporary, open(temporary, "wb") as file:
                np.save(file, np.zeros((2, 8, 8, 3), np.uint8))
        elif path.endswith((".json", ".ipynb")):
            item = {
                "id": path,
                "notebook": step,
                "values": [],
                "files": [],
                "cells": [],
                "metadata": {},
                "provenance": {},
            }
            write_json(run / path, [] if path == "costs.json" else item)
        else:
            write_text(run / path, "some content " * 10)
    del os.environ[index.STEP]
    if before is not None:
        os.environ[index.STEP] = before
    assert examination.examine(run, full=True).findings == ()
    return run


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", MADE_BY)
def test_what_is_damaged_is_named_put_aside_and_made_again_by_its_step(path, way, run):
    damage(run / path, way)
    found = examination.examine(run).findings
    assert found == (examination.Finding(path, "damaged", MADE_BY[path]),)
    again = examination.mend(run, found)
    assert not (run / path).exists() and (run / f"{path}.damaged").is_file()
    assert examination.examine(run, full=True).findings == ()
    step = MADE_BY[path]
    assert (run / "report/index.html").exists() == (step == "") and (again[-1:] == ["report"]) == (step != "")
    left = {name for name in STEPS if (run / marker(name)).exists()}
    earlier = {AUDIT: set(), TRAINING: {AUDIT, COMPARISON}, COMPARISON: set(STEPS) - {COMPARISON, "07_scorecard"}}
    assert left == earlier.get(step, set(STEPS)) and again[:-1] == [name for name in STEPS if name not in left]
    if path == f"{UNIT}-depth5.parquet":
        assert not (run / f"{UNIT}.json").exists()


@pytest.mark.parametrize("path", MADE_BY)
def test_a_bit_that_flipped_under_the_same_time_is_found_by_verify(path, run):
    damage(run / path, "flipped", keep_time=True)
    assert [one.path for one in examination.examine(run, full=True).findings] == [path]
    done = alnet_here("verify", run)
    assert done.exit_code == 1 and path.rpartition("/")[2][:12] in done.output and "1 are damaged" in done.output
    assert (run / path).exists(), "verify alone changes nothing"
    assert alnet_here("verify", run, "--mend").exit_code == 0 and not (run / path).exists()
    assert alnet_here("verify", run).exit_code == 0


def test_what_is_missing_counts_once_its_step_has_finished(run):
    for path in ("predictions/cells.parquet", "models/module_1-aa.checkpoint", "pixels/pixels_00.npy"):
        (run / path).unlink()
    found = examination.examine(run).findings
    assert found == (examination.Finding("predictions/cells.parquet", "missing", TRAINING),)
    (run / marker(TRAINING)).unlink()
    assert examination.examine(run).findings == ()


def test_reproduce_looks_before_it_starts(run, monkeypatch, capfd):
    monkeypatch.setattr(module, "_run", lambda command, run_dir, grace: 0)
    damage(run / "predictions/cells.parquet", "truncated")
    damage(run / "parameters.yaml", "zeroed")
    assert module.reproduce(run, cohort="synthetic", profile="smoke") == 0
    told = capfd.readouterr().err
    assert "predictions/cells.parquet is damaged" in told and f"made again by: {TRAINING}" in told
    assert not (run / marker(TRAINING)).exists() and (run / marker(AUDIT)).exists()


def test_a_job_does_not_start_on_what_is_damaged(run, capfd):
    parameters = run.parent / "p.yaml"
    parameters.write_text(f"run_dir: {run}\ncohort: synthetic\nprofile: smoke\n")
    damage(run / "cohort/manifest.parquet", "flipped")
    executed = run / "notebooks" / "04_smear_roc.ipynb"
    assert jobs.main(["notebook", str(executed), "--parameters", str(parameters)]) == 1
    assert "manifest.parquet is damaged" in capfd.readouterr().err and not executed.exists()


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_item_does_not_hinder_its_notebook_from_running_again(way, run, capsys):
    damage(run / "items/extra_table_x.json", way)
    with pytest.raises(Damaged, match="extra_table_x"):
        recorder.read_items(run)
    recorder.forget(run, TRAINING)
    assert recorder.read_items(run) == [] and "extra_table_x" in capsys.readouterr().err
    assert (run / marker(TRAINING)).exists(), "it is at work"


def test_a_damaged_item_of_another_notebook_is_made_again(run):
    damage(run / "items/extra_table_x.json", "truncated")
    recorder.forget(run, AUDIT)
    assert not (run / marker(TRAINING)).exists() and not (run / "items/extra_table_x.json").exists()


def test_a_run_without_digests_is_looked_at_all_the_same(run):
    (run / index.INDEX).unlink()
    assert examination.examine(run).findings == () and not (run / index.INDEX).exists()
    damage(run / "items/table_05.json", "truncated")
    damage(run / "cohort/manifest.parquet", "zeroed")
    found = examination.examine(run).findings
    assert [(one.path, one.step) for one in found] == [
        ("cohort/manifest.parquet", AUDIT),
        ("items/table_05.json", TRAINING),
    ]


def test_verify_is_not_content_where_nothing_can_be_compared(tmp_path):
    done = alnet_here("verify", tmp_path)
    assert done.exit_code == 1 and "digests.jsonl" in done.stderr
    index.begin(tmp_path)
    (tmp_path / "cells.parquet").write_bytes(b"x")
    assert alnet_here("verify", tmp_path).exit_code == 1


def test_a_folder_in_a_files_place_is_missing_and_put_aside(tmp_path):
    index.begin(tmp_path)
    for name in ("a.json", "b.json"):
        write_text(tmp_path / name, "{}")
    (tmp_path / "a.json").unlink()
    (tmp_path / "a.json").mkdir()
    found = examination.examine(tmp_path, full=True).findings
    assert [(one.path, one.what) for one in found] == [("a.json", "missing")]
    examination.mend(tmp_path, found)
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("damaged", ["notebooks/04_smear_roc.ipynb", "items/extra_table_x.json"])
def test_the_report_names_what_is_damaged_and_the_command(damaged, run):
    (run / marker("04_smear_roc")).unlink()
    (run / damaged).write_bytes(b"")
    done = alnet_here("report", run)
    assert done.exit_code == 1 and done.exception.__class__ is SystemExit
    assert damaged in done.stderr and "alnet verify --mend" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_checkpoint_is_put_aside_and_the_training_begins_again(way, tmp_path):
    index.begin(tmp_path)
    network = torch.nn.Linear(4, 4)
    optimizer = torch.optim.Adam(network.parameters())
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    path = tmp_path / "models" / "module_1-aa.checkpoint"
    checkpoints.save(path, network, optimizer, scheduler, 7, [(7, 0.5, 0.1)])
    assert checkpoints.resume(path, network, optimizer, scheduler)[0] == 7
    damage(path, way, keep_time=True)
    assert checkpoints.resume(path, network, optimizer, scheduler) == (0, [], 0.0)
    assert [file.name for file in path.parent.iterdir()] == [f"{path.name}.damaged"]


@pytest.mark.parametrize("way", WAYS)
def test_damaged_pixels_are_decoded_again(way, tmp_path, monkeypatch):
    index.begin(tmp_path)
    monkeypatch.setattr(pixels, "picture", lambda *given, **options: np.full((8, 8, 3), 200, np.uint8))
    monkeypatch.setattr(pixels, "resize", lambda picture, *given, **options: picture)
    given = {"cache": tmp_path / "pixels", "content_hash": "x", "workers": 1}
    sound = np.array(pixels.pixel_array(["a", "b"], [(), ()], 8, **given))
    (file,) = (tmp_path / "pixels").glob("[!.]*")
    damage(file, way)
    assert np.array_equal(pixels.pixel_array(["a", "b"], [(), ()], 8, **given), sound)
    assert sorted(path.name for path in file.parent.glob("[!.]*")) == [file.name, f"{file.name}.damaged"]


@pytest.mark.parametrize("way", WAYS)
def test_damaged_features_are_extracted_again(way, tmp_path, monkeypatch):
    index.begin(tmp_path)
    monkeypatch.setattr(handcrafted, "_described", lambda files, *_: pd.DataFrame({"a": range(len(files))}))
    given = {"content_hash": "x", "cache": tmp_path / "features", "workers": 1}
    sound = handcrafted.extract(["a", "b"], [(), ()], **given)
    (file,) = (tmp_path / "features").glob("[!.]*")
    damage(file, way, keep_time=True)
    pd.testing.assert_frame_equal(handcrafted.extract(["a", "b"], [(), ()], **given), sound)
    assert (tmp_path / "features" / f"{file.name}.damaged").is_file()


@pytest.mark.parametrize("file", ["manifest.parquet", "cohort.json"])
def test_a_damaged_cohort_is_named_by_whatever_reads_it(file, tmp_path):
    index.begin(tmp_path)
    rows = pd.DataFrame({name: ["x"] for name in MANIFEST_COLUMNS})
    Cohort("x", "private", tmp_path, rows).save(tmp_path)
    Cohort.load(tmp_path)
    damage(tmp_path / file, "flipped", keep_time=True)
    with pytest.raises(Damaged, match=file):
        Cohort.load(tmp_path)
    for command in ("describe", "validate"):
        done = alnet_here("cohort", command, tmp_path)
        assert done.exit_code == 1 and file in done.stderr and isinstance(done.exception, SystemExit)


def test_a_cohort_without_digests_that_cannot_be_read_ends_in_one_line(tmp_path):
    (tmp_path / "manifest.parquet").write_bytes(b"x")
    (tmp_path / "cohort.json").write_text("{")
    done = alnet_here("cohort", "describe", tmp_path)
    assert done.exit_code == 1 and "manifest.parquet is damaged" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["module_1.safetensors", "module_1.json"])
def test_a_bit_that_flipped_in_a_model_is_found_by_what_reads_it(name, tmp_path):
    index.begin(tmp_path)
    network = build("resnet_miniature", MODULE_1_CLASSES, 32)
    weights = tmp_path / "models" / "module_1.safetensors"
    storage.save_network(network, weights, {"threshold": 0.5})
    storage.load_network(weights)
    about = weights.with_suffix(".json")
    if name.endswith("json"):
        stat = about.stat()
        about.write_text(about.read_text().replace('"threshold": 0.5', '"threshold": 0.7'))
        os.utime(about, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    else:
        damage(weights, "flipped", keep_time=True)
    with pytest.raises(storage.DamagedModel, match=name):
        storage.load_network(weights)


@pytest.mark.parametrize("path", ["tables/table_01.csv", "figures/figure_01.png"])
def test_the_report_copies_nothing_that_is_damaged(path, tmp_path):
    index.begin(tmp_path)
    write_text(tmp_path / path, "some content")
    damage(tmp_path / path, "flipped", keep_time=True)
    with pytest.raises(Damaged, match=path.rpartition("/")[2]):
        files.copied(tmp_path, tmp_path / "report", [path])
    assert not list((tmp_path / "report").rglob("*.csv"))


def test_an_item_that_another_notebook_removes_meanwhile_has_gone(run, monkeypatch):
    real = recorder.reading
    monkeypatch.setattr(recorder, "reading", lambda file: file.unlink(missing_ok=True) or real(file))
    recorder.forget(run, TRAINING)
    assert recorder.read_items(run) == []
