"""Calibration: what holds for any probabilities, and values known beforehand."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import logit
from scipy.stats import t
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


def clustered(n_patients: int = 40, each: int = 25):
    """Cells of patients that differ: each has an error rate of its own."""
    rng = np.random.default_rng(5)
    of_patient = np.repeat(rng.normal(0, 0.8, n_patients), each)
    p = rng.uniform(0.52, 0.98, n_patients * each)
    correct = rng.random(len(p)) < 1 / (1 + np.exp(-(0.7 * logit(p) + of_patient)))
    return np.column_stack([p, 1 - p]), (~correct).astype(int), patients(len(p), of_one=each)


def test_intervals_of_slope_and_intercept_are_the_cluster_robust_sandwich_by_hand():
    probability, labels, rows = clustered()
    slope, intercept = calibration.slope_and_intercept_intervals(probability, labels, rows)
    assert (slope.estimate, intercept.estimate) == pytest.approx(calibration.slope_and_intercept(probability, labels))
    x, y, k = logit(probability[:, 0]), 1.0 - labels, 40
    design = np.column_stack([np.ones(len(x)), x])
    p = 1 / (1 + np.exp(-design @ calibration.logistic(design, y)))
    scores = np.array([(design * (y - p)[:, None])[rows["patient_id"].eq(f"p{i}")].sum(axis=0) for i in range(k)])
    bread = np.linalg.inv(design.T @ (design * (p * (1 - p))[:, None]))
    few = k / (k - 1) * (len(x) - 1) / (len(x) - 2)
    half = t.ppf(0.975, k - 1) * np.sqrt(few * (bread @ scores.T @ scores @ bread)[1, 1])
    assert (slope.low, slope.high) == pytest.approx((slope.estimate - half, slope.estimate + half), rel=1e-4)
    alone = calibration.slope_and_intercept_intervals(probability, labels, patients(len(x)))[1]
    assert intercept.high - intercept.low > 1.5 * (alone.high - alone.low), "cells of a patient are alike"
    assert slope.method == intercept.method == "cluster-robust variance over patients" and slope.n_patients == k


def test_slope_and_intercept_have_no_interval_where_few_patients_hold_all_wrong_cells():
    rng = np.random.default_rng(2)
    p = rng.uniform(0.55, 0.95, 300)
    # Twelve patients of 25 cells; every wrong cell is of one of the first four, or of the first five.
    for wrong_in, given in ((4, False), (5, True)):
        labels = ((np.arange(300) < 25 * wrong_in) & (np.arange(300) % 5 == 0)).astype(int)
        found = calibration.slope_and_intercept_intervals(np.column_stack([p, 1 - p]), labels, patients(300, of_one=25))
        assert [one.given for one in found] == [given] * 2 and np.isfinite([one.estimate for one in found]).all()
        assert given or found[0].why == "patients with wrong cells, or with correct ones: 4"
    never = calibration.slope_and_intercept_intervals(np.tile([0.9, 0.1], (6, 1)), np.zeros(6, int), patients(6))
    assert not any(one.given for one in never) and np.isnan(never[0].estimate)


def test_slope_has_an_interval_although_one_patient_alone_keeps_the_cells_from_separating():
    # Without p0 correct cells are surer than all wrong ones, so its leave-one-out slope is infinite.
    confidence = np.r_[[0.95, 0.6], np.tile([0.9, 0.7], 6)]
    labels = np.r_[[1, 0], np.tile([0, 1], 6)]
    probability = np.column_stack([confidence, 1 - confidence])
    slope, _ = calibration.slope_and_intercept_intervals(probability, labels, patients(14, of_one=2))
    assert slope.given and slope.low < slope.estimate < slope.high
    without = calibration.slope_and_intercept(probability[2:], labels[2:])[0]
    assert np.isnan(without)


def test_the_interval_of_the_temperature_is_symmetric_in_its_logarithm():
    probability, labels = synthetic(n=400, sharpness=2.0)
    found = calibration.temperature_interval(probability, labels, patients(400, of_one=40))
    assert found.estimate == calibration.fit_temperature(probability, labels)
    assert found.low > 0 and found.high / found.estimate == pytest.approx(found.estimate / found.low)
    assert found.method == "jackknife over patients, log" and found.n_patients == 10
    logs = [
        np.log(
            calibration.fit_temperature(
                *(np.delete(one, np.arange(40 * i, 40 * i + 40), 0) for one in (probability, labels))
            )
        )
        for i in range(10)
    ]
    half = t.ppf(0.975, 9) * np.std(logs) * np.sqrt(9)
    assert np.log(found.high / found.estimate) == pytest.approx(half)
    few = calibration.temperature_interval(probability, labels, patients(400, of_one=100))
    assert not few.given and few.estimate == found.estimate
    sure = np.tile([0.6, 0.4], (60, 1))
    end = calibration.temperature_interval(sure, np.zeros(60, int), patients(60))
    assert not end.given and "end of the range" in end.why, "every cell is correct: colder is always better"


def test_firths_penalty_adds_half_a_case_to_every_cell_of_a_two_by_two_table():
    design = np.column_stack([np.ones(20), np.repeat([0, 1], 10)])
    y = np.r_[np.ones(3), np.zeros(7), np.ones(10)]
    low, step = calibration.logistic(design, y, firth=True)
    assert low == pytest.approx(np.log(3.5 / 7.5)) and low + step == pytest.approx(np.log(10.5 / 0.5))
