"""The backbone comparison: its splits, and units that continue where they stopped."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import HOLD_OUT, HOLD_OUT_BY_PATIENT
from alnet_lib.experiments import backbone_comparison
from alnet_lib.training import fitting


def silent(*_):
    return lambda *_: None


def _numbers(rows):
    times = ["training_minutes", "classification_seconds"]
    return rows.drop(columns=times).map(lambda v: v.tolist() if isinstance(v, np.ndarray) else v)


def test_folds_keep_smears_whole_and_share_each_class_evenly():
    rng = np.random.default_rng(0)
    smears = pd.DataFrame({"smear_id": [f"s{i:02d}" for i in range(43)], "cell_type": ["a"] * 23 + ["b"] * 20})
    manifest = smears.loc[rng.integers(0, 43, 600)].reset_index(drop=True)
    fold = backbone_comparison.smear_folds(manifest, 5, np.random.default_rng(1))
    assert manifest.groupby("smear_id").apply(lambda own: fold[own.index].nunique()).eq(1).all()
    dealt = manifest.assign(fold=fold).drop_duplicates("smear_id")
    per = pd.crosstab(dealt["cell_type"], dealt["fold"])
    assert set(per.columns) == set(range(5)) and (per.max(axis=1) - per.min(axis=1)).le(1).all()


def test_folds_share_no_smear_and_cover_training_and_testing_split(setup, with_comparison):
    setup, manifest = with_comparison(setup, folds=3), setup.data.manifest
    tested = []
    for evaluation in ("fold-1", "fold-2", "fold-3"):
        fit_on, validation, test = backbone_comparison.split(setup, evaluation)
        smears = [set(manifest["smear_id"].iloc[part.rows]) for part in (fit_on, test)]
        assert smears[0] and smears[1] and not smears[0] & smears[1] and not len(validation)
        assert set(fit_on.rows) | set(test.rows) == set(np.flatnonzero(manifest["split"].ne("external")))
        tested.append(test.rows)
    assert sorted(np.concatenate(tested)) == np.flatnonzero(manifest["split"].ne("external")).tolist()


def test_hold_out_validation_is_no_part_of_what_is_fitted_or_tested(setup):
    fit_on, validation, test = backbone_comparison.split(setup)
    manifest = setup.data.manifest
    assert not set(fit_on.rows) & set(validation.rows) and len(validation)
    assert set(fit_on.rows) | set(validation.rows) == set(np.flatnonzero(manifest["split"].eq("train")))
    assert set(test.rows) == set(np.flatnonzero(manifest["split"].eq("test")))
    assert set(fit_on.labels) == set(validation.labels) == set(test.labels)


def test_at_most_so_many_images_are_evaluated(setup, with_comparison):
    limited = with_comparison(setup, max_evaluation_images=7)
    _, validation, test = backbone_comparison.split(limited)
    assert len(validation) == 7 and len(test) == len(backbone_comparison.split(setup)[2])
    assert set(validation.rows) <= set(backbone_comparison.split(setup)[1].rows)
    fit_on, _, held = backbone_comparison.split(limited, "fold-1")
    assert len(held) == 7 and len(fit_on) == len(backbone_comparison.split(setup, "fold-1")[0])


def test_fine_tuned_blocks_are_chosen_by_validation_under_hold_out_and_by_testing_under_folds(setup):
    hold = backbone_comparison.train_unit(setup, "squeezenet1_1").set_index("fine_tuned_blocks")
    fold = backbone_comparison.train_unit(setup, "squeezenet1_1", "fold-1").set_index("fine_tuned_blocks")
    assert hold["validation_accuracy"].between(0, 1).all()
    assert hold["testing_accuracy"].notna().to_dict() == {5: True, 1: False}
    tested = len(backbone_comparison.split(setup, "fold-1")[2])
    assert fold["testing_accuracy"].between(0, 1).all() and fold["testing"].map(len).eq(tested).all()
    lacking = [f"SqueezeNet 1.1, {HOLD_OUT_BY_PATIENT}, Whole"]
    lacking += ["SqueezeNet 1.1, fold-2, 1", "SqueezeNet 1.1, fold-2, Whole"]
    assert backbone_comparison.missing(setup) == lacking
    assert len(backbone_comparison.collect(setup.folder, setup.profile.comparison)) == 4


def test_all_units_are_trained_here_unless_they_are_jobs_of_their_own(setup, with_comparison):
    setup = with_comparison(setup, fine_tuned_blocks=(5,), iterations={"default": 1}, folds=0)
    assert not len(backbone_comparison.train_all(with_comparison(setup, units=True)))
    assert set(backbone_comparison.train_all(setup)["evaluation"]) == {HOLD_OUT, HOLD_OUT_BY_PATIENT}
    assert backbone_comparison.missing(setup) == []
    plain = with_comparison(setup, validation_by_patient=False)
    assert backbone_comparison.train_all(plain)["evaluation"].tolist() == [HOLD_OUT]


def test_validation_by_patient_shares_no_patient_trains_whole_networks_only_and_tests_nothing(setup, with_comparison):
    setup, manifest = with_comparison(setup, iterations={"default": 1}, folds=0), setup.data.manifest
    fit_on, validation, _ = backbone_comparison.split(setup, HOLD_OUT_BY_PATIENT)
    fitted, held = (set(manifest["patient_id"].iloc[part.rows]) for part in (fit_on, validation))
    assert fitted and held and not fitted & held
    by_image = (set(manifest["patient_id"].iloc[part.rows]) for part in backbone_comparison.split(setup)[:2])
    assert set.intersection(*by_image), "as printed, images of a patient are on both sides"
    rows = backbone_comparison.train_unit(setup, "squeezenet1_1", HOLD_OUT_BY_PATIENT)
    assert rows["fine_tuned_blocks"].tolist() == [5] and rows["testing_accuracy"].isna().all()
    judged = pd.DataFrame(list(rows.loc[0, "validation"]))
    assert rows.loc[0, "validation_accuracy"] == judged["predicted"].eq(judged["reference"]).mean()
    assert set(judged["patient_id"]) == held and {"smear_id", "site"} <= set(judged)
    assert backbone_comparison.missing(setup) == ["SqueezeNet 1.1, hold-out, 1", "SqueezeNet 1.1, hold-out, Whole"]
    none = backbone_comparison.train_unit(
        with_comparison(setup, fine_tuned_blocks=(1,)), "squeezenet1_1", HOLD_OUT_BY_PATIENT
    )
    assert not len(none) and "key" in none, "a unit without a whole network leaves an empty list"


def test_a_file_of_another_format_is_trained_again(setup, with_comparison, monkeypatch):
    setup = with_comparison(setup, iterations={"default": 1}, fine_tuned_blocks=(5,))
    new = backbone_comparison.train_unit(setup, "squeezenet1_1")["key"]
    monkeypatch.setattr(backbone_comparison, "ROW_FORMAT", 1)
    assert backbone_comparison.train_unit(setup, "squeezenet1_1")["key"].ne(new).all()


@pytest.mark.slow
def test_a_unit_that_was_cut_short_ends_with_the_numbers_of_an_undisturbed_one(setup, tmp_path, monkeypatch):
    undisturbed = backbone_comparison.train_unit(setup, "squeezenet1_1")

    def cut(done, _):
        if done == 5:
            raise KeyboardInterrupt

    for broken in (lambda *_: cut, lambda line, _: cut if "Whole" not in line else None):
        with pytest.raises(KeyboardInterrupt):
            cut_short = replace(setup, folder=tmp_path / "cut", progress=broken)
            backbone_comparison.train_unit(cut_short, "squeezenet1_1")
    resumed = []
    fit = fitting.fit
    monkeypatch.setattr(fitting, "fit", lambda *a, **k: resumed.append(fit(*a, **k)) or resumed[-1])
    again = replace(setup, folder=tmp_path / "cut", progress=silent)
    rows = backbone_comparison.train_unit(again, "squeezenet1_1")
    assert [fitted.resumed_at for fitted in resumed] == [4], "the whole network was finished, one block stopped after 4"
    pd.testing.assert_frame_equal(_numbers(rows), _numbers(undisturbed))
    monkeypatch.setattr(fitting, "fit", None)
    pd.testing.assert_frame_equal(_numbers(backbone_comparison.train_unit(again, "squeezenet1_1")), _numbers(rows))


def test_a_changed_setting_trains_again(setup, with_comparison):
    setup = with_comparison(setup, iterations={"default": 1})
    old = backbone_comparison.train_unit(setup, "squeezenet1_1")
    new = backbone_comparison.train_unit(with_comparison(setup, lr_max=3e-4), "squeezenet1_1")
    files = sorted((setup.folder / "comparison").glob("*.parquet"))
    keys = {pd.read_parquet(file)["key"].iloc[0] for file in files}
    assert len(files) == 2 and keys == set(new["key"]) and not keys & set(old["key"])


def test_the_range_test_runs_where_the_profile_asks_for_it(setup, with_comparison):
    found = backbone_comparison.learning_rates(setup, "squeezenet1_1")
    assert "nan" not in found.facts["proposed"]
    assert len(found.frame) <= 3 and [value.key for value in found.values] == ["range_test.low", "range_test.high"]
    assert isinstance(
        backbone_comparison.learning_rates(with_comparison(setup, range_test=0), "squeezenet1_1"), Unavailable
    )


def test_one_class_is_not_compared(setup):
    one = replace(setup, data=setup.data.with_manifest(setup.data.manifest.assign(cell_type="lymphocyte")))
    assert not backbone_comparison.train_all(one) and not backbone_comparison.train_unit(one, "squeezenet1_1")
    assert backbone_comparison.missing(one) == []
