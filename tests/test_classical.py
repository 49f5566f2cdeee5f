"""The classical pipelines choose on training smears, cope with what is missing, and repeat bit for bit."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib import classical

RNG = np.random.default_rng(11)


@pytest.fixture(scope="module")
def cells():
    """300 cells of three classes in 30 smears; 6 of 40 features tell the classes, some cells have none."""
    labels = np.repeat(np.array(["lymphocyte", "monocyte", "myeloid_blast"]), 100)
    values = RNG.normal(size=(300, 40))
    values[:, :6] += 2.0 * (np.unique(labels, return_inverse=True)[1])[:, None]
    values[::50] = np.nan
    groups = np.repeat(np.arange(30), 10).astype(str)
    return values, labels, groups


@pytest.mark.parametrize("method", list(classical.METHODS))
def test_every_method_learns_what_can_be_told(cells, method):
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


def test_sensitivities_of_a_row_by_hand():
    row = pd.Series({"true": ["lymphocyte"] * 4 + ["monocyte"] * 2, "predicted": ["lymphocyte"] * 3 + ["monocyte"] * 3})
    found = classical.sensitivities(row)
    assert found["value"].to_dict() == {"lymphocyte": 75.0, "monocyte": 100.0}
