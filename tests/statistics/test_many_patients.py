"""What is computed for all patients at once is what leaving out one patient at a time gives."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.statistics import auc, calibration, classification, intervals, roc


def smears(seed, *, digits):
    """Shares and references of 120 smears of 40 patients; few digits tie the shares."""
    rng = np.random.default_rng(seed)
    shares = pd.DataFrame(rng.random((120, 4)), columns=list("abcd")).round(digits)
    reference = pd.Series(rng.choice(list("abc"), 120))
    for name in "abc":
        shares[name] += 0.3 * (reference == name)
    return reference, shares, rng.integers(0, 40, 120)


@pytest.mark.parametrize("digits", [1, 9])
@pytest.mark.parametrize("statistic", ["average_auc", "hand_till"])
def test_areas_without_each_patient(digits, statistic):
    reference, shares, patient = smears(1, digits=digits)
    k = patient.max() + 1
    found = getattr(roc, f"{statistic}_without")(reference, shares, patient, k)
    one_by_one = [getattr(roc, statistic)(reference[patient != p], shares[patient != p]) for p in range(k)]
    np.testing.assert_allclose(found, one_by_one, rtol=1e-13)


@pytest.mark.parametrize("digits", [1, 9])
def test_placements_are_those_of_all_pairs(digits):
    rng = np.random.default_rng(2)
    case, score = rng.random(80) < 0.4, rng.random(80).round(digits)
    every = (np.sign(score[case][:, None] - score[~case][None, :]) + 1) / 2
    below, above = roc.placements(case, score)
    assert np.array_equal(below, every.sum(1)) and np.array_equal(above, every.sum(0))


@pytest.mark.parametrize("digits", [1, 2, 9])
def test_the_best_threshold_is_that_of_trying_every_one(digits):
    reference, shares, _ = smears(3, digits=digits)
    low, high, youden = roc.best_threshold(reference, shares)
    values = np.unique(np.concatenate([[0.0], shares[["a", "b", "c"]].to_numpy().ravel(), [1.0]]))
    tried = []
    for t in (values[:-1] + values[1:]) / 2:
        rates = [
            (shares[name][reference == name] > t).mean() - (shares[name][reference != name] > t).mean()
            for name in "abc"
        ]
        tried.append(np.mean(rates))
    assert youden == pytest.approx(max(tried), abs=1e-12)
    inside = (values[:-1] >= low) & (values[1:] <= high)
    np.testing.assert_allclose(np.array(tried)[inside], youden, atol=1e-12)


def cells(n=600, patients=30, seed=4):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    scores = 2 * rng.standard_normal((n, 3))
    scores[np.arange(n), labels] += 2
    power = np.exp(scores)
    patient = [f"p{i}" for i in rng.integers(0, patients, n)]
    return power / power.sum(1, keepdims=True), labels, pd.DataFrame({"patient_id": patient})


def one_by_one(statistic, patient, *arrays):
    return [statistic(*(array[patient != p] for array in arrays)) for p in range(patient.max() + 1)]


@pytest.mark.parametrize(
    ("statistic", "without"),
    [
        (calibration.expected_calibration_error, calibration.calibration_errors_without),
        (calibration.brier, calibration.briers_without),
    ],
)
def test_calibration_without_each_patient(statistic, without):
    probability, labels, rows = cells()
    patient, names = pd.factorize(rows["patient_id"])
    found = without(probability, labels, patient, len(names))
    np.testing.assert_allclose(found, one_by_one(statistic, patient, probability, labels), rtol=1e-12)


def test_the_temperature_of_many_patients_has_the_interval_of_fitting_it_anew(monkeypatch):
    probability, labels, rows = cells(1500, 100)
    exact = calibration.temperature_interval(probability, labels, rows)
    monkeypatch.setattr(calibration, "MOST_FITTED", 0)
    quick = calibration.temperature_interval(probability, labels, rows)
    assert quick.estimate == exact.estimate and quick.method == exact.method
    assert (quick.low, quick.high) == pytest.approx((exact.low, exact.high), rel=1e-3)


def test_mean_sensitivity_has_the_interval_of_leaving_out_one_patient_at_a_time():
    probability, labels, rows = cells()
    judged = rows.assign(
        reference=np.array(list("abc"))[labels], predicted=np.array(list("abc"))[probability.argmax(1)]
    )
    found = classification.mean_sensitivity(judged)
    correct = judged.assign(correct=judged["reference"].eq(judged["predicted"]).astype(float))
    slow = intervals.jackknife(
        correct, lambda left: float(left.groupby("reference")["correct"].mean().mean()), groups=judged["reference"]
    )
    assert (found.low, found.high) == pytest.approx((slow.low, slow.high), rel=1e-12)
    assert (found.estimate, found.n_patients, found.method) == (slow.estimate, slow.n_patients, slow.method)


def test_an_auc_of_many_smears_needs_no_matrix_of_all_pairs():
    rng = np.random.default_rng(5)
    case = rng.random(60_000) < 0.5
    rows = pd.DataFrame({"patient_id": np.arange(60_000) // 2})
    # All pairs would take 7 GB.
    assert auc.auc(case, rng.random(60_000) + 0.1 * case, rows).estimate == pytest.approx(0.595, abs=0.01)
