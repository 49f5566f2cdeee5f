"""The classical pipelines choose on training smears, cope with what is missing, and repeat bit for bit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from faults.damage import damage
from sklearn.base import clone

from alnet_lib.core.integrity import index
from alnet_lib.core.integrity.reading import Damaged
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import Classical
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.experiments import classical, colour_and_size
from alnet_lib.experiments.datasets import COLOUR_BINS, described

MEAN = "mean_sensitivity"
RNG = np.random.default_rng(11)


@pytest.fixture(scope="module")
def cells():
    """300 cells of three classes in 30 smears; 6 of 20 features tell the classes, some cells have none."""
    labels = np.repeat(np.array(["lymphocyte", "monocyte", "myeloid_blast"]), 100)
    values = RNG.normal(size=(300, 20))
    values[:, :6] += 2.0 * (np.unique(labels, return_inverse=True)[1])[:, None]
    values[::50] = np.nan
    groups = np.repeat(np.arange(30), 10).astype(str)
    return values, labels, groups


@pytest.mark.parametrize("method", classical.METHODS)
def test_every_method_learns_what_can_be_told(cells, method, monkeypatch):
    forest, grid = classical.classifiers()["RF"]
    monkeypatch.setitem(classical.classifiers(), "RF", (clone(forest).set_params(n_estimators=40, n_jobs=1), grid))
    values, labels, groups = cells
    fitted = classical.search(method, values, labels, groups, selected=(8,), folds=3, seed=1)
    assert (fitted.predict(values) == labels).mean() > 0.9
    again = classical.search(method, values, labels, groups, selected=(8,), folds=3, seed=1)
    assert (again.predict(values) == fitted.predict(values)).all() and again.best_params_ == fitted.best_params_


def test_selection_keeps_the_telling_features(cells):
    values, labels, groups = cells
    fitted = classical.search("LDA", values, labels, groups, selected=(6,), folds=3, seed=1)
    kept = fitted.best_estimator_["select"].get_support()
    assert kept[:6].sum() >= 5


def test_no_smear_is_on_both_sides_of_a_fold(cells):
    values, labels, groups = cells
    fitted = classical.search("Bayes", values, labels, groups, selected=(8, 20), folds=3, seed=1)
    for train, test in fitted.cv.split(values, labels, groups):
        assert not set(groups[train]) & set(groups[test])


def test_a_rare_class_does_not_stop_the_search(cells):
    values, labels, groups = cells
    kept = np.r_[0:200, 200:202]
    fitted = classical.search("LDA", values[kept], labels[kept], groups[kept], selected=(8,), folds=3, seed=1)
    assert len(fitted.predict(values)) == 300


def test_sensitivities_of_a_row_by_hand_and_over_patients():
    """60 lymphocytes of 6 patients, 3 of 4 right in all; 2 monocytes of one patient."""
    people = pd.DataFrame({"patient_id": [*np.repeat([f"p{i}" for i in range(6)], 10), "p9", "p9"]})
    reference = np.array(["lymphocyte"] * 60 + ["monocyte"] * 2)
    predicted = np.array(["lymphocyte"] * 45 + ["monocyte"] * 17)
    rows = pd.DataFrame({"testing": [classical.records(people, reference, predicted)]}, index=["LDA"])
    found = classical.sensitivities(rows)
    assert {name: one.estimate for name, one in found.items()} == {"lymphocyte": 0.75, "monocyte": 1.0}
    assert found["lymphocyte"].n_patients == 6 and found["lymphocyte"].design_effect > 5
    assert not found["monocyte"].given and found["monocyte"].n_patients == 1
    assert classical.accuracies(rows)["LDA"].estimate == pytest.approx(47 / 62)


def test_records_survive_a_file_and_keep_what_intervals_read(tmp_path):
    cells = pd.DataFrame({"image_id": ["a"], "patient_id": ["p"], "smear_known": [False], "site": ["s"]}, index=[7])
    kept = classical.records(cells, np.array(["monocyte"]), np.array(["lymphocyte"]))
    pd.DataFrame({"testing": [kept]}).to_parquet(tmp_path / "rows.parquet")
    back = pd.DataFrame(list(pd.read_parquet(tmp_path / "rows.parquet").loc[0, "testing"]))
    assert back.to_dict("records") == [
        {"patient_id": "p", "smear_known": False, "site": "s", "reference": "monocyte", "predicted": "lymphocyte"}
    ]


@pytest.fixture
def fast(monkeypatch):
    """Two of the methods are enough."""
    monkeypatch.setattr(classical, "METHODS", ("LDA", "Bayes"))


def test_the_comparison_is_fitted_on_training_and_judged_on_testing_images(setup, features, fast, monkeypatch):
    rows = classical.compare(setup, features)
    test = setup.data.manifest["split"].eq("test")
    assert rows.index.tolist() == ["LDA", "Bayes"]
    assert rows["accuracy"].gt(80).all() and rows["testing"].map(len).eq(test.sum()).all()
    assert (
        rows["not_segmented"].eq((features["segmented"][test] == 0).sum()).all() and (rows["low"] < rows["high"]).all()
    )
    assert rows["patients"].eq(setup.data.manifest[test]["patient_id"].nunique()).all()
    saved = classical.saved(setup.folder)
    pd.testing.assert_frame_equal(saved.assign(testing=saved["testing"].map(list)), rows)
    index.begin(setup.folder)
    index.record(setup.folder / classical.ROWS)
    whole = (setup.folder / classical.ROWS).read_bytes()
    damage(setup.folder / classical.ROWS, "flipped", keep_time=True)
    with pytest.raises(Damaged, match=r"rows\.parquet is damaged"):
        classical.saved(setup.folder)
    (setup.folder / classical.ROWS).write_bytes(whole)
    assert "testing" not in classical.listed(rows).frame
    accuracy = classical.accuracies(saved)["LDA"].scaled(100)
    assert rows.loc["LDA", ["accuracy", "low", "high"]].tolist() == [accuracy.estimate, accuracy.low, accuracy.high]
    swapped = setup.data.manifest.assign(cell_type=setup.data.manifest["cell_type"].where(~test, "lymphocyte"))
    monkeypatch.setattr(classical, "METHODS", ("LDA",))
    other = classical.compare(replace(setup, data=setup.data.with_manifest(swapped)), features)
    before, after = ([one["predicted"] for one in found.loc["LDA", "testing"]] for found in (rows, other))
    assert before == after, "testing labels are not learned from"


def test_nothing_to_compare_passes_through(setup, features, fast):
    one = replace(setup, data=setup.data.with_manifest(setup.data.manifest.assign(cell_type="lymphocyte")))
    rows = classical.compare(one, features)
    assert isinstance(rows, Unavailable) and classical.listed(rows) is rows and classical.accuracies(rows) is rows
    assert classical.sensitivities(rows) is rows and isinstance(classical.saved(one.folder), Unavailable)
    assert isinstance(classical.importance(one, features), Unavailable)


def test_importance_finds_the_features_that_tell_the_groups(setup, features):
    assert classical.importance(setup, features).index[0] == "nucleus_area"


def test_apl_is_told_from_aml_by_features_of_training_patients(setup, features):
    cells = setup.data.manifest.sample(frac=1, random_state=0)
    found = classical.apl_probability(setup, features, cells)
    own = cells.loc[found.index]
    assert set(own["diagnosis"]) == {"APL", "AML"} and found.between(0, 1).all()
    assert found[own["diagnosis"].eq("APL")].median() > 0.9 > 0.1 > found[own["diagnosis"].eq("AML")].median()
    hidden = classical.apl_probability(setup, features, cells.assign(immature=cells["split"].ne("external")))
    assert set(cells.loc[hidden.index, "split"]) == {"train", "test"}
    few = cells[~(cells["diagnosis"].eq("APL") & cells["patient_id"].str.endswith(("p0", "p1")))]
    assert isinstance(classical.apl_probability(setup, features, few), Unavailable)


def test_cells_that_vote_without_a_label_are_scored_and_train_nothing(setup, features):
    """As a promyelocyte of an AML patient: trained as AML, it would pass its features off as AML's."""
    cells, columns = setup.data.manifest.copy(), ["nucleus_area", "cell_area"]
    aml = np.flatnonzero(cells["split"].eq("train") & cells["diagnosis"].eq("AML"))[::2]
    cells.loc[aml, "cell_type"] = ""
    like_apl = features.copy()
    apl = cells["diagnosis"].eq("APL").to_numpy()
    like_apl.loc[aml, columns] = features.loc[apl, columns].median().to_numpy()
    before, after = (classical.apl_probability(setup, given, cells) for given in (features, like_apl))
    others = before.index.difference(aml)
    pd.testing.assert_series_equal(before[others], after[others])
    assert set(aml) <= set(after.index) and after[aml].gt(0.5).all(), "scored all the same, by what they look like"
    nobody = cells.assign(cell_type=cells["cell_type"].where(cells["diagnosis"].ne("AML"), ""))
    assert isinstance(classical.apl_probability(setup, features, nobody), Unavailable)


def test_colour_and_size_are_judged_like_any_method(setup, features):
    found = colour_and_size.baseline(setup, features)
    keys = [f"floor.{task}.{measure}" for task in ("module_1", "six_groups") for measure in ("accuracy", MEAN)]
    assert [value.key for value in found.values] == keys and found.frame["value"].gt(90).all()
    assert all(value.n_patients == 10 for value in found.values)
    accuracies = [value for value in found.values if value.key.endswith("accuracy")]
    assert all(value.ci_low < value.reproduced for value in accuracies)
    cells = described(setup.data, features)
    row = classical.judge(colour_and_size.ColourAndSize(), cells, colour_and_size.TASKS["module 1"])
    assert row["accuracy"] == found.frame["value"].iloc[0]
    assert set(row) == set(
        classical.judge(classical.Handcrafted("LDA", setup.profile.classical, 1), cells, colour_and_size.MODULE_1)
    )
    assert cells[COLOUR_BINS[:16]].sum(axis=1).to_numpy() == pytest.approx(1)


def test_a_support_vector_machine_of_many_cells_is_linear_and_says_so(cells, monkeypatch):
    values, labels, groups = cells
    monkeypatch.setattr(classical, "MOST_KERNEL", 100)
    method = classical.Handcrafted("SVM", Classical(selected=(8,), folds=3), seed=1)
    method.fitted = classical.search("SVM", values, labels, groups, selected=(8,), folds=3, seed=1)
    assert (method.fitted.predict(values) == labels).mean() > 0.9
    assert method.settings.endswith("k 8, linear kernel (more than 100 training cells)")
    method.fitted = classical.search("SVM", values[::4], labels[::4], groups[::4], selected=(8,), folds=3, seed=1)
    assert "linear" not in method.settings


def test_module_1_stands_beside_colour_and_size_on_the_same_unseen_patients(setup, features):
    manifest = setup.data.manifest
    right = pd.get_dummies(MODULE_1.reference(manifest)).reindex(columns=MODULE_1.classes, fill_value=0).astype(float)
    cells = manifest.assign(**dict(zip(MODULE_1.columns, right.to_numpy().T, strict=True)))
    training = cells[cells["split"].eq("train")]
    crossed = training.assign(fold=1 + training["patient_id"].str.endswith("p1"))
    # One patient's lymphocytes are taken for monocytes by module 1: 4 of the training cells a smear.
    wrong = crossed["patient_id"].eq("lymphocyte-p1").to_numpy()
    crossed.loc[wrong, MODULE_1.columns] = np.eye(5)[MODULE_1.classes.index("monocyte")]
    found = colour_and_size.beside_module_1(setup, features, cells, crossed)
    rows = found.frame.set_index("cells of")
    assert rows.index.tolist() == ["training patients, cross-fitted", "testing patients", "external patients"]
    assert rows["cells"].tolist() == [80, 40, 20] and rows.loc["testing patients", "module 1"] == 100
    assert rows.loc["training patients, cross-fitted", "module 1"] == pytest.approx(100 * (1 - wrong.mean()))
    assert rows["difference"].to_numpy() == pytest.approx(rows["module 1"] - rows["colour and size"])
    assert [value.key for value in found.values][2::3] == [
        f"beside.{s}.difference" for s in ("train", "test", "external")
    ]
    assert found.facts["whose"] == "training patients, cross-fitted" and "over 15 patients" in found.facts["ci"]
    alone = colour_and_size.beside_module_1(setup, features, cells, Unavailable("none"))
    assert alone.frame["cells of"].tolist() == ["testing patients", "external patients"]
    assert isinstance(colour_and_size.beside_module_1(setup, features, manifest, crossed), Unavailable)
    none = Unavailable("no module 1")
    assert colour_and_size.beside_module_1(setup, features, none, none) is none


def test_the_baseline_of_a_fold_has_not_seen_its_patients(setup, features, monkeypatch):
    cells = setup.data.manifest.assign(**dict.fromkeys(MODULE_1.columns, 0.2))
    training = cells[cells["split"].eq("train")]
    odd = training["patient_id"].str.endswith("p1")
    judged, fit = [], colour_and_size.ColourAndSize.fit

    def noted(self, fitted_on, classes):
        judged.append(set(fitted_on["patient_id"]))
        fit(self, fitted_on, classes)

    monkeypatch.setattr(colour_and_size.ColourAndSize, "fit", noted)
    colour_and_size.beside_module_1(setup, features, cells, training.assign(fold=1 + odd))
    everyone = set(training["patient_id"])
    assert judged[:2] == [everyone - set(training["patient_id"][~odd]), everyone - set(training["patient_id"][odd])]
    assert judged[2:] == [everyone], "one fit for testing and external patients"
