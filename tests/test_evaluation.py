"""Rates by the paper's formulas, checked by hand and against what the paper itself prints."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib import evaluation

FIVE = ["LY", "MO", "RL", "APL", "BL"]


def test_counts_percent_and_rates_by_hand():
    counts = evaluation.confusion(list("aaabbc"), list("aabbbb"), ["a", "b", "c"])
    assert counts.to_numpy().tolist() == [[2, 1, 0], [0, 2, 0], [0, 1, 0]]
    rates = evaluation.rates(counts).set_index(["class", "rate"])["value"]
    assert rates["a", "sensitivity"] == pytest.approx(2 / 3)
    assert rates["b", "specificity"] == pytest.approx(2 / 4)
    assert rates["b", "precision"] == pytest.approx(2 / 4)
    assert rates["c", "sensitivity"] == 0
    assert np.isnan(rates["c", "precision"]), "nothing was called c, so its precision is undefined, not 0"
    assert evaluation.accuracy(counts)[0] == pytest.approx(4 / 6)


def test_module_2s_printed_rates_follow_from_its_printed_matrix():
    # Tables 6 and 7B: 774 myeloid blasts (99.4% right), 1,023 B-lymphoblasts (82% right).
    counts = pd.DataFrame([[769, 5], [184, 839]], index=["M", "B"], columns=["M", "B"])
    rates = evaluation.rates(counts).set_index(["class", "rate"])["value"] * 100
    assert rates["M", "sensitivity"] == pytest.approx(99.4, abs=0.05)
    assert rates["M", "specificity"] == pytest.approx(82.0, abs=0.05)
    assert rates["M", "precision"] == pytest.approx(80.7, abs=0.05)
    assert rates["B", "precision"] == pytest.approx(99.4, abs=0.05)
    assert evaluation.accuracy(counts)[0] * 100 == pytest.approx(89.5, abs=0.05)


def test_a_class_without_cells_has_undefined_sensitivity_and_percent():
    counts = evaluation.confusion(["a", "a"], ["a", "b"], ["a", "b"])
    assert evaluation.percent(counts).loc["b"].isna().all()
    rates = evaluation.rates(counts).set_index(["class", "rate"])
    assert np.isnan(rates.loc[("b", "sensitivity"), "value"])
    assert evaluation.accuracy(evaluation.confusion([], [], ["a"]))[3] == 0


def test_unknown_counts_against_sensitivity_and_for_specificity():
    counts = evaluation.confusion(["a", "a", "b"], ["a", "?", "?"], ["a", "b"], ["?"])
    rates = evaluation.rates(counts).set_index(["class", "rate"])["value"]
    assert rates["a", "sensitivity"] == 0.5
    assert rates["b", "sensitivity"] == 0
    assert rates["b", "specificity"] == 1
    assert evaluation.accuracy(counts)[0] == pytest.approx(1 / 3)


def test_a_cell_of_a_new_class_changes_no_other_classes_sensitivity():
    before = evaluation.rates(evaluation.confusion(list("aab"), list("abb"), list("abc"))).set_index(["class", "rate"])
    after = evaluation.rates(evaluation.confusion(list("aabc"), list("abbc"), list("abc"))).set_index(["class", "rate"])
    for name in "ab":
        for rate in ("sensitivity", "precision"):
            assert before.loc[(name, rate), "value"] == after.loc[(name, rate), "value"]


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="blaster"):
        evaluation.confusion(["a"], ["blaster"], ["a"])


def test_wilson_interval_of_known_values():
    # Newcombe, Stat. Med. 17:857 (1998), table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611.
    assert evaluation.interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert evaluation.interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert all(np.isnan(evaluation.interval(0, 0)))


def test_bootstrap_draws_patients_not_cells():
    # One patient owns most cells: drawing cells would give a far too narrow interval.
    frame = pd.DataFrame({"patient_id": ["a"] * 90 + ["b"] * 5 + ["c"] * 5, "right": [1] * 90 + [0] * 10})
    low, high = evaluation.cluster_bootstrap(
        frame, lambda f: f["right"].mean(), replicates=300, rng=np.random.default_rng(0)
    )
    assert low == 0 and high == 1


def test_bootstrap_of_a_statistic_that_is_never_defined():
    frame = pd.DataFrame({"patient_id": [1, 2], "x": [0, 0]})
    both = evaluation.cluster_bootstrap(frame, lambda f: float("nan"), replicates=20, rng=np.random.default_rng(0))
    assert all(np.isnan(both))
