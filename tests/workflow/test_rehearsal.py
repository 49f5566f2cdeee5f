"""A rehearsal keeps what makes a profile what it is, cuts amounts, and says what it is."""

import hashlib
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision

from alnet_lib.cohorts import building
from alnet_lib.cohorts.splitting import thinned
from alnet_lib.core.profile import Profile
from alnet_lib.networks.starts import imagenet
from alnet_lib.report import rendering
from alnet_lib.workflow import jobs
from alnet_lib.workflow.steps import units

AMOUNTS = {
    "cohort_fraction", "iterations", "batch_size", "folds", "repeats", "range_test", "ablation_seeds", "bootstrap",
    "feature_map_cells", "max_evaluation_images", "epochs", "name",
}  # fmt: skip


def differing(one, other, at=""):
    """Names of the settings that differ."""
    if isinstance(one, dict):
        return set().union(*(differing(one[key], other[key], key) for key in one)) if one != other else set()
    return {at} if one != other else set()


@pytest.mark.parametrize("cohort", ["synthetic", "jhu_apl"])
def test_only_amounts_are_cut(cohort):
    paper, few = Profile.load("paper", cohort), Profile.load("paper-rehearsal", cohort)
    found = differing(paper.model_dump(), few.model_dump())
    assert {"name", "cohort_fraction", "iterations", "folds"} <= found | {"default"}
    assert found <= AMOUNTS | {"default"}, found - AMOUNTS
    assert few.rehearsal and not paper.rehearsal and few.module_1.batch_size == 4 and few.module_1.iterations == 2
    assert few.comparison.evaluations == ("hold-out", "hold-out-by-patient", "fold-1", "fold-2")
    assert few.networks == paper.networks and few.comparison.training("vgg16", "fold-1").iterations == 2
    assert len(units(cohort=cohort, profile="paper-rehearsal")) == 16


def test_nothing_grows():
    smoke, few = Profile.load("smoke"), Profile.load("smoke-rehearsal")
    assert few.comparison.folds == smoke.comparison.folds == 0 and few.cohort_fraction == 0.02


def test_of_real_patients_every_smear_and_cell_type_stays(twin):
    few = thinned(twin.manifest, 0.02)
    groups = ["smear_id", "cell_type", "split", "site"]
    assert set(map(tuple, few[groups].to_numpy())) == set(map(tuple, twin.manifest[groups].to_numpy()))
    assert few.groupby(groups).size().max() <= 2 and list(few.index) == list(range(len(few)))
    nameless = twin.manifest.assign(smear_id=None)
    assert len(thinned(nameless, 0.5)) >= len(nameless) / 2


def test_a_rehearsal_of_a_real_cohort_reads_few_images(twin, tmp_path, monkeypatch):
    monkeypatch.setattr(building, "read", lambda *_, **__: twin)
    monkeypatch.setattr(building, "validated", lambda cohort, **_: cohort)
    built = building.build_for(Profile.load("paper-rehearsal", "jhu_apl"), "jhu_apl", tmp_path, "folder")
    assert len(built.manifest) < len(twin.manifest) and any("a rehearsal:" in note for note in built.notes)


def test_every_page_says_that_it_is_a_rehearsal(tmp_path):
    environment = rendering.safety.environment()
    about = rendering._complete({}) | {"packages": {"torch": "x"}}
    page = {"cohort": about["cohort"], "about": about, "pages": [], "title": "t", "heading": "h", "contents": []}
    shown = [
        environment.get_template("page.html.j2").render(**page, **rendering.safety.head(), profile=name)
        for name in ("paper-rehearsal", "paper")
    ]
    assert "<strong>Rehearsal.</strong>" in shown[0] and "<title>Rehearsal:" in shown[0]
    assert "ehearsal" not in shown[1]


@pytest.mark.slow
def test_a_unit_begins_with_a_published_file_and_ends(twin, tmp_path, monkeypatch):
    whole = Profile.load("paper-rehearsal")
    asked = whole.comparison.model_copy(update={"backbones": ("squeezenet1_1",), "fine_tuned_blocks": (1, 5)})
    profile = whole.model_copy(update={"comparison": asked, "threads": 1})
    monkeypatch.setattr(Profile, "load", classmethod(lambda cls, *_, **__: profile))
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), tmp_path / "file")
    digest = hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()[:8]
    weights = (tmp_path / "file").rename(tmp_path / f"squeezenet1_1-{digest}.pth")
    monkeypatch.setenv("ALNET_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(imagenet, "source", lambda name: f"https://host/{weights.name}")
    run = tmp_path / "run"
    few = twin.manifest.groupby(["cell_type", "split"]).head(6).reset_index(drop=True)
    shutil.copytree(twin.root, run / "cohort", ignore=shutil.ignore_patterns("*.pickle", "*.lock"))
    pd.read_parquet(run / "cohort" / "manifest.parquet").merge(few[["image_id"]]).to_parquet(
        run / "cohort" / "manifest.parquet"
    )
    given = {"cohort": "synthetic", "profile": "paper-rehearsal", "data": "", "run_dir": str(run)}
    assert jobs.run_unit("squeezenet1_1/hold-out", given) == 0
    rows = [pd.read_parquet(run / "comparison" / f"squeezenet1_1-hold-out-depth{n}.parquet") for n in (1, 5)]
    assert [int(row["iterations"].iloc[0]) for row in rows] == [2, 2]
    assert np.isfinite(rows[1]["testing_accuracy"].iloc[0])
    assert (run / "took" / "comparison-squeezenet1_1-hold-out.json").is_file()
