"""Recalibration and net benefit: values by hand, Bayes's rule, and the interval's parts."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from alnet_lib.statistics import decision, intervals

# 100 patients, 20 ill; the score finds 15 of them and alarms 8 others.
REFERENCE = np.repeat([True, False], [20, 80])
SCORE = np.r_[np.repeat([0.9, 0.1], [15, 5]), np.repeat([0.9, 0.1], [8, 72])]
ROWS = pd.DataFrame({"patient_id": [f"p{i}" for i in range(100)]})


def test_net_benefit_by_hand_and_its_bounds():
    # At t = 0.25 a false alarm costs 1/3.
    row = decision.decision_curve(REFERENCE, SCORE, [0.25]).iloc[0]
    assert row["score"] == pytest.approx(0.15 - 0.08 / 3)
    assert row["everyone"] == pytest.approx(0.2 - 0.8 / 3)
    assert row["no_one"] == 0
    thresholds = np.linspace(0, 0.95, 20)
    perfect = decision.decision_curve(REFERENCE, REFERENCE.astype(float), thresholds[1:])["score"]
    assert perfect.to_numpy() == pytest.approx(0.2), "a perfect score earns the prevalence at every threshold"
    assert (decision.decision_curve(REFERENCE, SCORE, thresholds)["score"] <= 0.2).all()
    with pytest.raises(ValueError, match="threshold"):
        decision.decision_curve(REFERENCE, SCORE, [1.0])
    with pytest.raises(ValueError, match="probability"):
        decision.decision_curve(REFERENCE, SCORE * 3, [0.5])


def test_net_benefit_at_another_prevalence_by_hand():
    # Sensitivity 0.75, false alarms 0.1; at 5% and t = 0.25: 0.75 * 0.05 - 0.1 * 0.95 / 3.
    row = decision.decision_curve(REFERENCE, SCORE, [0.25], 0.05).iloc[0]
    assert row["score"] == pytest.approx(0.0375 - 0.095 / 3)
    assert row["everyone"] == pytest.approx(0.05 - 0.95 / 3)
    same = decision.decision_curve(REFERENCE, SCORE, [0.1, 0.5], 0.2)
    pd.testing.assert_frame_equal(same, decision.decision_curve(REFERENCE, SCORE, [0.1, 0.5]))
    with pytest.raises(ValueError, match="cases and others"):
        decision.decision_curve(np.ones(3, bool), np.ones(3), [0.5], 0.05)


def test_the_interval_of_net_benefit_is_over_patients():
    own = decision.net_benefit(REFERENCE, SCORE, 0.25, ROWS)
    same = decision.net_benefit(REFERENCE, SCORE, 0.25, ROWS, 0.2)
    assert (own.estimate, own.low, own.high) == pytest.approx((same.estimate, same.low, same.high))
    assert own.estimate == pytest.approx(0.15 - 0.08 / 3) and own.method == "variance recovery over patients"
    ward = decision.net_benefit(REFERENCE, SCORE, 0.25, ROWS, 0.05)
    found = intervals.proportion(np.repeat([1, 0], [15, 5]), ROWS[:20])
    alarm = intervals.proportion(np.repeat([1, 0], [8, 72]), ROWS[20:])
    down = np.hypot(0.05 * (0.75 - found.low), 0.95 / 3 * (alarm.high - 0.1))
    assert ward.estimate == pytest.approx(0.0375 - 0.095 / 3)
    assert ward.low == pytest.approx(ward.estimate - down) and ward.high > ward.estimate
    perfect = decision.net_benefit(REFERENCE, REFERENCE.astype(float), 0.25, ROWS, 0.05)
    assert perfect.low < perfect.estimate == perfect.high == 0.05, "20 of 20 found is not certainty"


@pytest.mark.parametrize("prevalence", [None, 0.05])
def test_net_benefit_has_no_interval_below_five_cases_or_five_others(prevalence):
    few = decision.net_benefit(REFERENCE[16:], SCORE[16:], 0.25, ROWS[16:], prevalence)
    assert not few.given and few.why == "patients who are cases: 4" and np.isfinite(few.estimate)
    assert decision.net_benefit(REFERENCE[15:], SCORE[15:], 0.25, ROWS[15:], prevalence).given
    others = decision.net_benefit(REFERENCE[:24], SCORE[:24], 0.25, ROWS[:24], prevalence)
    assert not others.given and others.why == "patients who are not cases: 4"


@pytest.mark.parametrize("prevalence", [None, 0.05])
def test_the_interval_of_net_benefit_stays_within_its_bounds(prevalence):
    q = prevalence or 0.5
    reference, rows = np.repeat([True, False], 6), ROWS[:12]
    for score in (reference * 1.0, 1.0 - reference):
        found = decision.net_benefit(reference, score, 0.5, rows, prevalence)
        assert -(1 - q) <= found.low < found.high <= q, "a perfect score earns q, the opposite one loses 1 - q"
    for alike, estimate in ((np.ones(6, bool), 1.0), (np.zeros(6, bool), -1.0)):
        found = decision.net_benefit(alike, np.ones(6), 0.5, ROWS[:6])
        assert found.estimate == estimate and not found.given


def test_a_recalibration_undoes_a_known_distortion_and_keeps_the_prevalence():
    rng = np.random.default_rng(0)
    cells = np.full(5000, 40)
    share = rng.binomial(40, rng.uniform(0.1, 0.9, 5000)) / 40
    x = logit((share * 40 + 0.5) / 41)
    y = rng.random(5000) < 1 / (1 + np.exp(-(2 * x - 1)))
    made = decision.fit_recalibration(y, share, cells)
    assert (made.slope, made.intercept) == pytest.approx((2, -1), abs=0.15)
    plain = LogisticRegression(C=np.inf, tol=1e-10).fit(x[:, None], y)
    assert made.slope == pytest.approx(plain.coef_[0, 0], rel=5e-3)
    assert made.probability(share, cells).mean() == pytest.approx(y.mean())


def test_another_prevalence_shifts_the_odds_by_bayes():
    made = decision.fit_recalibration([1, 1, 0, 0, 0, 0, 0, 0], [0.9, 0.2, 0, 0.3, 0.1, 0, 0, 0], [10] * 8)
    one = float(made.probability(0.5, 10))
    ward = float(made.probability(0.5, 10, 0.01))
    assert made.prevalence == 0.25
    # Odds of 1 to 3 become odds of 1 to 99: divided by 33.
    assert ward / (1 - ward) == pytest.approx(one / (1 - one) / 33)


def test_a_recalibration_is_finite_where_the_share_separates_the_groups():
    made = decision.fit_recalibration([True] * 4 + [False] * 8, [1.0] * 4 + [0.0] * 8, [20] * 12)
    assert np.isfinite([made.slope, made.intercept]).all() and made.slope > 0
    assert made.probability([1.0] * 4 + [0.0] * 8, [20] * 12).mean() == pytest.approx(1 / 3)
    assert decision.fit_recalibration([True, False, False], [0.5] * 3, [8] * 3).probability(0.5, 8) == pytest.approx(
        1 / 3
    )
    with pytest.raises(ValueError, match="without"):
        decision.fit_recalibration([True, True], [0.5, 0.6], [8, 8])


@pytest.mark.parametrize(
    ("reference", "share", "n_cells"),
    [([1, 0, 1], [0, 1, 0.75], [3, 2, 4]), ([0, 1, 0, 1, 1], [1, 0, 0.75, 1, 0.75], [1, 3, 4, 1, 4])],
)
def test_a_recalibration_of_few_smears_settles(reference, share, n_cells):
    """Newton's full steps go to and fro about these solutions for ever."""
    found = decision.fit_recalibration(np.array(reference, bool), share, n_cells)
    assert np.isfinite([found.intercept, found.slope]).all()
    mean = found.probability(np.array(share), np.array(n_cells), found.prevalence).mean()
    assert mean == pytest.approx(np.mean(reference), abs=1e-6)
