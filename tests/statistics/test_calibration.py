"""Calibration: what holds for any probabilities, and values known beforehand."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from alnet_lib.statistics import calibration


def synthetic(n: int = 4000, sharpness: float = 1.0):
    """Labels drawn from the very probabilities, which are then made too certain (sharpness > 1) or too uncertain."""
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(3), n)
    labels = (probability.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return calibration.temper(probability, 1 / sharpness), labels


def patients(n: int, of_one: int = 1) -> pd.DataFrame:
    return pd.DataFrame({"patient_id": [f"p{i // of_one}" for i in range(n)]})


def two_classes(sharpness: float, n: int = 20000):
    rng = np.random.default_rng(1)
    p = rng.uniform(0.02, 0.98, n)
    labels = (rng.random(n) < p).astype(int)
    return calibration.temper(np.column_stack([1 - p, p]), 1 / sharpness), labels


def test_the_probabilities_behind_the_labels_are_calibrated_and_sharpened_ones_are_not():
    assert calibration.expected_calibration_error(*synthetic()) < 0.03
    assert calibration.expected_calibration_error(*synthetic(sharpness=3.0)) > 0.1


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_a_known_sharpening(sharpness):
    probability, labels = synthetic(sharpness=sharpness)
    temperature = calibration.fit_temperature(probability, labels)
    assert temperature == pytest.approx(sharpness, rel=0.08)
    assert calibration.expected_calibration_error(calibration.temper(probability, temperature), labels) < 0.03


def test_tempering_keeps_order_sums_and_unknown_classes():
    probability = np.array([[0.7, 0.3, 0.0], [0.2, 0.8, 0.0], [1.0, 0.0, 0.0]])
    for temperature in (0.2, 1.0, 5.0):
        after = calibration.temper(probability, temperature)
        assert (after.argmax(axis=1) == probability.argmax(axis=1)).all()
        assert after.sum(axis=1) == pytest.approx(1)
        assert (after[:, 2] == 0).all()
    np.testing.assert_allclose(calibration.temper(probability, 1.0), probability)


def test_reliability_by_hand():
    probability = np.array([[0.95, 0.05], [0.95, 0.05], [0.35, 0.65], [0.0, 1.0]])
    table = calibration.reliability(probability, np.array([0, 1, 1, 1]), patients(4))
    assert table["n"].tolist() == [1, 3]
    assert table["accuracy"].tolist() == pytest.approx([1, 2 / 3])
    assert table["confidence"].tolist() == pytest.approx([0.65, 2.9 / 3])
    expected = 0.25 * 0.35 + 0.75 * (2.9 / 3 - 2 / 3)
    assert calibration.expected_calibration_error(probability, np.array([0, 1, 1, 1])) == pytest.approx(expected)


def test_a_certain_and_correct_classifier_has_no_error_and_a_certain_and_wrong_one_the_largest():
    sure = np.eye(2)[[0, 1, 0]]
    assert calibration.expected_calibration_error(sure, np.array([0, 1, 0])) == 0
    assert calibration.expected_calibration_error(sure, np.array([1, 0, 1])) == 1


@pytest.mark.parametrize(
    ("probability", "labels", "message"),
    [
        ([[0.5, 0.2]], [0], "sum to 1"),
        ([[np.nan, 1.0]], [0], "finite"),
        ([[0.5, 0.5]], [2], "labels"),
        ([[0.5, 0.5]], [0, 1], "shape"),
        (np.empty((0, 2)), [], "shape"),
    ],
)
def test_bad_probabilities_are_refused(probability, labels, message):
    with pytest.raises(ValueError, match=message):
        calibration.reliability(np.array(probability), np.array(labels, int), patients(len(labels)))


def test_the_intervals_of_the_bins_are_over_patients_and_none_is_given_below_five():
    probability, labels = np.tile([0.7, 0.3], (40, 1)), np.repeat([0, 1], 20)
    many = calibration.reliability(probability, labels, patients(40)).iloc[0]
    few = calibration.reliability(probability, labels, patients(40, of_one=5)).iloc[0]
    none = calibration.reliability(probability, labels, patients(40, of_one=10)).iloc[0]
    assert (many["patients"], few["patients"], none["patients"]) == (40, 8, 4)
    assert few["low"] < many["low"] and few["high"] > many["high"]
    assert np.isnan(none["low"]) and none["interval"] == "none: fewer than 5 patients"


def test_brier_score_by_hand_and_as_scikit_learn_has_it():
    probability = np.array([[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]])
    assert calibration.brier(probability, np.array([0, 1])) == pytest.approx(
        (0.09 + 0.04 + 0.01 + 0.25 + 0.5625 + 0.0625) / 2
    )
    assert calibration.brier(np.full((6, 3), 1 / 3), np.arange(6) % 3) == pytest.approx(1 - 1 / 3)
    probability, labels = two_classes(2.0)
    assert calibration.brier(probability, labels) == pytest.approx(2 * brier_score_loss(labels, probability[:, 1]))


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_slope_is_one_over_a_known_sharpening(sharpness):
    slope, intercept = calibration.slope_and_intercept(*two_classes(sharpness))
    assert slope == pytest.approx(1 / sharpness, rel=0.06)
    if sharpness == 1:
        assert intercept == pytest.approx(0, abs=0.06)
    else:
        assert np.sign(intercept) == (1 if sharpness < 1 else -1)


def test_slope_and_intercept_are_those_of_statsmodels_and_scikit_learn():
    probability, labels = synthetic(n=1500, sharpness=2.0)
    confidence, correct = probability.max(axis=1), probability.argmax(axis=1) == labels
    x = logit(np.minimum(confidence, calibration.CERTAIN))
    slope, intercept = calibration.slope_and_intercept(probability, labels)
    large = sm.GLM(correct.astype(float), np.ones(len(x)), family=sm.families.Binomial(), offset=x).fit()
    both = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x[:, None], correct)
    assert intercept == pytest.approx(large.params[0], abs=1e-6)
    assert slope == pytest.approx(both.coef_[0, 0], rel=1e-4)


def test_slope_and_intercept_are_not_defined_where_they_would_be_infinite():
    sure = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    assert np.isnan(calibration.slope_and_intercept(sure, np.zeros(4, int))).all()
    slope, intercept = calibration.slope_and_intercept(sure, np.array([0, 0, 1, 1]))
    assert np.isnan(slope) and np.isfinite(intercept)
    assert np.isfinite(calibration.slope_and_intercept(np.eye(2)[[0, 0, 1]], np.array([0, 1, 1]))[1])


def test_firths_penalty_adds_half_a_case_to_every_cell_of_a_two_by_two_table():
    design = np.column_stack([np.ones(20), np.repeat([0, 1], 10)])
    y = np.r_[np.ones(3), np.zeros(7), np.ones(10)]
    low, step = calibration.logistic(design, y, firth=True)
    assert low == pytest.approx(np.log(3.5 / 7.5)) and low + step == pytest.approx(np.log(10.5 / 0.5))
