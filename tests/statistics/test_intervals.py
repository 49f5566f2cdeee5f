"""Intervals with the patient as the unit, against statsmodels, scikit-learn, pROC's formula and hand arithmetic."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from alnet_lib.statistics import intervals, roc


def test_independent_cells_give_clopper_and_pearson():
    """One cell a patient: the effective number is about the number of patients."""
    correct = np.arange(60) < 48
    found = intervals.proportion(correct, np.arange(60))
    low, high = proportion_confint(48, 60, method="beta")
    assert found.estimate == 0.8 and found.n_patients == found.n == 60
    assert found.low == pytest.approx(low, abs=0.004) and found.high == pytest.approx(high, abs=0.004)
    assert found.design_effect == pytest.approx(60 / 59)


def test_alike_cells_of_a_patient_count_as_one():
    """Ten patients with 30 equal cells each are ten observations: the design effect is about 30."""
    patients = np.repeat(np.arange(10), 30)
    found = intervals.proportion(patients < 7, patients)
    assert found.design_effect == pytest.approx(30 * 10 / 9)
    effective = 0.7 * 0.3 / (0.7 * 0.3 * 10 / 9 / 10) * (stats.t.ppf(0.975, 299) / stats.t.ppf(0.975, 9)) ** 2
    expected = intervals.clopper_pearson(0.7 * effective, effective)
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.high - found.low > 0.5


def test_the_interval_does_not_depend_on_the_order_or_names_of_patients():
    """Neither do the numbers change when every cell is listed twice."""
    rng = np.random.default_rng(3)
    patients, correct = rng.integers(0, 15, 200), rng.random(200) < 0.8
    first, order = intervals.proportion(correct, patients), rng.permutation(200)
    again = intervals.proportion(correct[order], np.array([f"p{i}" for i in patients])[order])
    assert (again.low, again.high) == pytest.approx((first.low, first.high))


@pytest.mark.parametrize(("outcome", "low", "high"), [(True, 0.5904, 1.0), (False, 0.0, 0.4096)])
def test_at_the_boundary_each_patient_is_one_trial(outcome, low, high):
    """7 of 7 patients: 0.025 ** (1 / 7) = 0.5904, not 1."""
    patients = np.repeat(np.arange(7), 40)
    found = intervals.proportion(np.full(280, outcome), patients)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_there_is_no_interval_below_five_patients_and_none_without_a_patient():
    """The estimate stays; a cell without a patient is an error."""
    found = intervals.proportion([True, False, True, True], ["a", "b", "c", "d"])
    assert found.estimate == 0.75 and np.isnan([found.low, found.high]).all() and found.method == ""
    with pytest.raises(ValueError, match="1 of 2 observations have no patient"):
        intervals.proportion([True, False], ["a", None])


def test_the_auc_is_scikit_learns_and_its_variance_delongs():
    """The half width on the logit scale is that of DeLong's variance of the same AUC."""
    rng = np.random.default_rng(5)
    truth = np.arange(40) < 15
    score = rng.normal(truth * 1.2, 1)
    found = intervals.auc(truth, score)
    assert found.estimate == pytest.approx(roc_auc_score(truth, score))
    constant = roc.delong(truth, score, np.zeros(40))
    se = (constant.high - constant.low) / 2 / stats.norm.ppf(0.975)
    a = found.estimate
    logit = np.log(a / (1 - a)) + np.array([-1, 1]) * stats.norm.ppf(0.975) * se / (a * (1 - a))
    assert (found.low, found.high) == pytest.approx(tuple(1 / (1 + np.exp(-logit))))


def test_a_perfect_auc_has_an_interval():
    """3 cases and 9 controls without overlap: 0.025 ** (1 / 3) = 0.2924 to 1, and mirrored for the reversed score."""
    truth = np.arange(12) < 3
    found, reverse = intervals.auc(truth, truth.astype(float)), intervals.auc(truth, 1.0 - truth)
    assert (found.low, found.high) == pytest.approx((0.2924, 1.0), abs=1e-4)
    assert (reverse.low, reverse.high) == pytest.approx((0.0, 0.7076), abs=1e-4)
    assert np.isnan(intervals.auc([True, False, False, False, False], np.arange(5)).low)


def test_the_mean_of_one_value_a_patient_is_students():
    """With one value a patient it is the textbook interval; NaN is left out."""
    values = np.array([1.0, 2.0, 4.0, 3.0, 6.0, 5.0, np.nan])
    found = intervals.mean(values, list("abcdefg"))
    low, high = stats.t.interval(0.95, 5, loc=3.5, scale=stats.sem(values[:6]))
    assert (found.estimate, found.n_patients) == (3.5, 6)
    assert (found.low, found.high) == pytest.approx((low, high))
