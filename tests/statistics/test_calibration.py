"""Calibration: what holds for any probabilities, and values known beforehand."""

import numpy as np
import pytest

from alnet_lib.statistics import calibration


def synthetic(n: int = 4000, sharpness: float = 1.0):
    """Labels drawn from the very probabilities, which are then made too certain (sharpness > 1) or too uncertain."""
    rng = np.random.default_rng(0)
    probability = rng.dirichlet(np.ones(3), n)
    labels = (probability.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return calibration.temper(probability, 1 / sharpness), labels


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
    table = calibration.reliability(probability, np.array([0, 1, 1, 1]))
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
        calibration.reliability(np.array(probability), np.array(labels, int))


def test_net_benefit_by_hand_and_its_bounds():
    # 100 patients, 20 ill; the score finds 15 of them and alarms 8 others. At t = 0.25 a false alarm costs 1/3.
    reference = np.repeat([True, False], [20, 80])
    score = np.r_[np.repeat([0.9, 0.1], [15, 5]), np.repeat([0.9, 0.1], [8, 72])]
    row = calibration.decision_curve(reference, score, [0.25]).iloc[0]
    assert row["score"] == pytest.approx(0.15 - 0.08 / 3)
    assert row["everyone"] == pytest.approx(0.2 - 0.8 / 3)
    assert row["no_one"] == 0
    thresholds = np.linspace(0, 0.95, 20)
    assert calibration.decision_curve(reference, reference.astype(float), thresholds[1:])[
        "score"
    ].to_numpy() == pytest.approx(0.2), "a perfect score earns the prevalence at every threshold"
    assert (calibration.decision_curve(reference, score, thresholds)["score"] <= 0.2).all()
    with pytest.raises(ValueError, match="threshold"):
        calibration.decision_curve(reference, score, [1.0])
    with pytest.raises(ValueError, match="probability"):
        calibration.decision_curve(reference, score * 3, [0.5])
