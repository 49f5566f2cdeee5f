"""The backbone comparison: folds by smear, units that continue where they stopped, Table 3's layout."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from alnet_lib import comparison, training
from alnet_lib.profile import Profile


@pytest.fixture
def run(tmp_path):
    """As much of a run as a unit needs: smoke's settings with a small network at two depths and two folds."""
    profile = Profile.load("smoke")
    changed = {"backbones": ("squeezenet1_1",), "depths": (1, 5), "folds": 2, "iterations": {"default": 6}}
    profile = profile.model_copy(
        update={"comparison": profile.comparison.model_copy(update=changed), "checkpoint_every": 2}
    )
    return SimpleNamespace(
        dir=tmp_path, profile=profile, device="cpu", generator=profile.generator, progress=lambda *_: None,
        cohort=lambda: SimpleNamespace(content_hash="of this test"),
    )  # fmt: skip


@pytest.fixture
def parts(images, monkeypatch):
    """Two thirds of the images to train on, the others for validation and testing."""
    index = np.arange(len(images))
    given = (images.take(index[index % 3 > 0]), images.take(index[index % 6 == 0]), images.take(index[index % 6 == 3]))
    monkeypatch.setattr(comparison, "split", lambda *_: given)
    return given


def _numbers(rows):
    times = ["training_minutes", "classification_seconds"]
    return rows.drop(columns=times).map(lambda v: v.tolist() if isinstance(v, np.ndarray) else v)


def test_folds_keep_smears_whole_and_share_each_class_evenly():
    rng = np.random.default_rng(0)
    smears = pd.DataFrame({"smear_id": [f"s{i:02d}" for i in range(43)], "cell_type": ["a"] * 23 + ["b"] * 20})
    manifest = smears.loc[rng.integers(0, 43, 600)].reset_index(drop=True)
    fold = comparison.smear_folds(manifest, 5, np.random.default_rng(1))
    assert manifest.groupby("smear_id").apply(lambda own: fold[own.index].nunique()).eq(1).all()
    dealt = manifest.assign(fold=fold).drop_duplicates("smear_id")
    per = pd.crosstab(dealt["cell_type"], dealt["fold"])
    assert set(per.columns) == set(range(5)) and (per.max(axis=1) - per.min(axis=1)).le(1).all()


def test_depths_are_judged_by_validation_under_hold_out_and_by_testing_under_folds(run, parts):
    hold = comparison.train_unit(run, "squeezenet1_1").set_index("depth")
    fold = comparison.train_unit(run, "squeezenet1_1", "fold-1").set_index("depth")
    assert hold["validation_accuracy"].between(0, 1).all()
    assert hold["testing_accuracy"].notna().to_dict() == {5: True, 1: False}
    assert fold["testing_accuracy"].between(0, 1).all() and fold["test_images"].eq(len(parts[2])).all()
    assert comparison.missing(run) == ["SqueezeNet 1.1, fold-2, 1", "SqueezeNet 1.1, fold-2, Whole"]


def test_a_unit_that_was_cut_short_ends_with_the_numbers_of_an_undisturbed_one(run, parts, tmp_path, monkeypatch):
    undisturbed = comparison.train_unit(run, "squeezenet1_1")

    def cut(done, _):
        if done == 5:
            raise KeyboardInterrupt

    for broken in (lambda *_: cut, lambda line, _: cut if "Whole" not in line else None):
        again = SimpleNamespace(**{**vars(run), "dir": tmp_path / "cut", "progress": broken})
        with pytest.raises(KeyboardInterrupt):
            comparison.train_unit(again, "squeezenet1_1")
    resumed = []
    fit = training.fit
    monkeypatch.setattr(training, "fit", lambda *a, **k: resumed.append(fit(*a, **k)) or resumed[-1])
    again.progress = lambda *_: None
    rows = comparison.train_unit(again, "squeezenet1_1")
    assert [fitted.resumed_at for fitted in resumed] == [4], "the whole network was finished, depth 1 stopped after 4"
    pd.testing.assert_frame_equal(_numbers(rows), _numbers(undisturbed))


def test_a_finished_training_is_not_repeated(run, parts, monkeypatch):
    first = comparison.train_unit(run, "squeezenet1_1")
    monkeypatch.setattr(training, "fit", None)
    second = comparison.train_unit(run, "squeezenet1_1")
    pd.testing.assert_frame_equal(_numbers(second), _numbers(first))


def test_a_changed_setting_trains_anew(run, parts):
    comparison.train_unit(run, "squeezenet1_1")
    run.profile = run.profile.model_copy(
        update={"comparison": run.profile.comparison.model_copy(update={"lr_max": 3e-4})}
    )
    assert comparison.train_unit(run, "squeezenet1_1")["key"].nunique() == 2
    files = sorted((run.dir / "comparison").glob("*.parquet"))
    keys = {pd.read_parquet(file)["key"].iloc[0] for file in files}
    assert len(files) == 2 and keys == set(comparison.train_unit(run, "squeezenet1_1")["key"])


def test_table_3_has_the_papers_rows_and_its_statistics_are_right():
    found = [
        {
            "backbone": "vgg16", "evaluation": evaluation, "depth": depth, "test_images": 200,
            "validation_accuracy": 0.5 + depth / 100, "testing_accuracy": testing + depth / 100,
            "training_minutes": 2.0, "classification_seconds": 3.0,
        }
        for evaluation, testing in (("hold-out", 0.4), ("fold-1", 0.3), ("fold-2", 0.5))
        for depth in (1, 2, 3, 4, 5)
    ]  # fmt: skip
    table, values = comparison.table_3(pd.DataFrame(found))
    hold, mean, sd = (table.loc[(part, "vgg16")] for part in ("hold_out", "five_folds", "five_folds_sd"))
    assert hold.tolist() == pytest.approx([51, 52, 53, 54, 55, 45, 2, 3])
    assert mean[["last_1", "whole"]].tolist() == pytest.approx([41, 45]) and mean["training_minutes"] == 4
    assert sd["last_3"] == pytest.approx(100 * np.std([0.33, 0.53], ddof=1))
    told = {value.key: value for value in values}
    assert told["table_03.five_folds.vgg16.last_1"].reproduced == pytest.approx(41)
    testing = told["table_03.hold_out.vgg16.testing"]
    assert testing.ci_low == pytest.approx(38.3, abs=0.1) and testing.ci_high == pytest.approx(51.9, abs=0.1)
