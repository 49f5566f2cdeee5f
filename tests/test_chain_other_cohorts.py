"""All notebooks on real patients, and on a user's own manifest."""

import json

import pandas as pd
import pytest
from in_process import chain

from alnet_lib.cohorts.adapters.source import SOURCES
from alnet_lib.report import rendering
from alnet_lib.workflow.steps import STEPS

pytestmark = pytest.mark.slow


@pytest.mark.jhu_apl
def test_every_notebook_runs_on_a_handful_of_real_images(jhu_folder, tmp_path):
    """Some patients of each diagnosis and split, a few images of each type."""
    manifest = SOURCES["jhu_apl"].read(jhu_folder, seed=2021).manifest
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
    assert chain(run, "jhu_apl", target.parent) == []
    rendering.render(run)
    items = {item["id"]: item for item in json.loads((run / "results.json").read_text())["items"]}
    assert items["table_07a"]["status"] == "reproduced"
    for id in ("table_05", "table_07b"):
        assert items[id]["status"] == "unavailable" and "lymphoblast" in items[id]["reason"].lower()
    assert "Public cohort" in (run / "report" / "index.html").read_text(encoding="utf-8")


def test_cells_without_a_smear_never_vote_and_patients_without_labels_do_nothing_else(twin, tmp_path):
    manifest = twin.manifest[["path", "cell_type", "smear_id", "patient_id", "site", "diagnosis", "split"]].copy()
    manifest.loc[manifest["split"].eq("external"), "cell_type"] = ""
    manifest["smear_known"] = manifest["cell_type"].ne("lymphocyte")
    own = tmp_path / "own"
    own.mkdir()
    (own / "images").symlink_to(twin.root / "images")
    manifest.to_csv(own / "manifest.csv", index=False)
    run = tmp_path / "run"
    assert chain(run, "folder", own, [name for name in STEPS if name < "05" and name[:2] != "02"]) == []
    cells = pd.read_parquet(run / "predictions" / "cells.parquet")
    assert not cells.loc[cells["cell_type"].eq("lymphocyte"), "eligible"].any()
    assert cells.loc[cells["split"].eq("external"), "eligible"].all()
    items = {path.stem: json.loads(path.read_text()) for path in (run / "items").glob("*.json")}
    assert items["table_09a"]["status"] == "reproduced"
    counted = pd.read_csv(run / "tables" / "table_02.csv", index_col=0).loc["Lymphocytes"]
    assert counted["images_train"] > 0 and counted["patients"] == counted["smears_train"] == 0
