"""Rates by the paper's formulas, checked by hand and against what the paper itself prints."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib import evaluation

FIVE = ["LY", "MO", "RL", "APL", "BL"]
# Table 7A in percent of the true class; its first row as printed adds to 100.9.
TABLE_7A = [
    [99.9, 1, 0, 0, 0],
    [0.8, 97.6, 0, 0.8, 0.8],
    [0.2, 0.2, 97.2, 0, 2.4],
    [0, 0.4, 0, 95.3, 4.3],
    [2.5, 0.2, 1.3, 4.3, 91.7],
]
TESTING = [312, 117, 459, 1358, 1797]
TABLE_8 = {
    "sensitivity": [99.9, 97.6, 97.2, 95.3, 91.7],
    "specificity": [98.7, 99.7, 99.3, 97.1, 96.9],
    "precision": [86.8, 90.5, 94.9, 94.2, 95.9],
}


def test_module_1s_printed_rates_follow_from_its_printed_matrix_as_far_as_they_agree():
    percent = pd.DataFrame(TABLE_7A, FIVE, FIVE)
    percent.loc["LY", "MO"] = 0.1  # what is left of the row
    counts = percent.mul(TESTING, axis=0).div(100).round().astype(int)
    rates = evaluation.rates(counts).pivot_table("value", "class", "rate").loc[FIVE] * 100
    assert rates["sensitivity"].to_numpy() == pytest.approx(TABLE_8["sensitivity"], abs=0.17)
    assert rates["specificity"].to_numpy() == pytest.approx(TABLE_8["specificity"], abs=0.08)
    # The printed precision of monocytes, 90.5, is the one that does not follow: 114 of 124 are 91.9.
    others = [name for name in FIVE if name != "MO"]
    printed = pd.Series(TABLE_8["precision"], FIVE)
    assert rates.loc[others, "precision"].to_numpy() == pytest.approx(printed[others].to_numpy(), abs=0.25)
    assert rates.loc["MO", "precision"] == pytest.approx(91.9, abs=0.05)
    assert evaluation.accuracy(counts)[0] * 100 == pytest.approx(94.2, abs=0.2)


def test_the_printed_specificity_of_aml_leaves_the_unknown_smear_out():
    # Table 9B: 30 AML all right; of 27 ALL 24 right, 2 called AML, 1 unknown. Printed: 92.3 and precision 93.7.
    counts = pd.DataFrame([[30, 0, 0], [2, 24, 1]], index=["AML", "ALL"], columns=["AML", "ALL", "UNK"])

    def of_aml(table):
        return evaluation.rates(table).query("`class` == 'AML'").set_index("rate")["value"] * 100

    assert of_aml(counts)["specificity"] == pytest.approx(100 * 25 / 27)
    assert of_aml(counts.drop(columns="UNK"))["specificity"] == pytest.approx(92.3, abs=0.05)
    assert of_aml(counts)["precision"] == pytest.approx(93.7, abs=0.06)
    assert evaluation.accuracy(counts)[0] * 100 == pytest.approx(94.7, abs=0.05)


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


@pytest.mark.parametrize(("predicted", "value"), [(list("abc") * 4, 1.0), (list("bca") * 4, 0.0)])
def test_perfect_and_always_wrong_classifiers(predicted, value):
    counts = evaluation.confusion(list("abc") * 4, predicted, list("abc"))
    rates = evaluation.rates(counts).set_index("rate")["value"]
    assert (rates[["sensitivity", "precision"]] == value).all()
    assert (rates["specificity"] == (1.0 if value else 0.5)).all()
    assert evaluation.accuracy(counts)[0] == value


def test_order_of_cells_changes_no_count_and_every_cell_is_counted_once():
    rng = np.random.default_rng(4)
    true, predicted = rng.choice(list("abc"), 50), rng.choice(list("abcd"), 50)
    order = rng.permutation(50)
    counts = evaluation.confusion(true, predicted, list("abc"), ["d"])
    pd.testing.assert_frame_equal(counts, evaluation.confusion(true[order], predicted[order], list("abc"), ["d"]))
    assert counts.to_numpy().sum() == 50
    assert evaluation.percent(counts).sum(axis=1).to_numpy() == pytest.approx(100)


def test_every_interval_holds_its_value():
    counts = evaluation.confusion(list("aaabbbcc"), list("aabbbacb"), list("abc"))
    table = evaluation.rates(counts)
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    assert ((table["successes"] / table["n"]) == table["value"]).all()


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
    with pytest.warns(UserWarning, match="20 of 20"):
        both = evaluation.cluster_bootstrap(frame, lambda f: float("nan"), replicates=20, rng=np.random.default_rng(0))
    assert all(np.isnan(both))


def test_bootstrap_says_how_many_replicates_it_leaves_out():
    # The rate among patients a is undefined when a is not drawn: 1/4 of the draws of two of two.
    frame = pd.DataFrame({"patient_id": ["a", "a", "b"], "right": [1.0, 0.0, 1.0]})
    with pytest.warns(UserWarning, match="of 200 bootstrap replicates"):
        both = evaluation.cluster_bootstrap(
            frame,
            lambda f: f.loc[f["patient_id"] == "a", "right"].mean(),
            replicates=200,
            rng=np.random.default_rng(0),
        )
    assert both == (0.5, 0.5)


def test_bootstrap_interval_agrees_with_the_normal_one_for_many_independent_patients():
    right = np.repeat([1.0, 0.0], [140, 60])
    frame = pd.DataFrame({"patient_id": range(200), "right": right})
    both = evaluation.cluster_bootstrap(
        frame, lambda f: f["right"].mean(), replicates=1000, rng=np.random.default_rng(0)
    )
    half = 1.96 * np.sqrt(0.7 * 0.3 / 200)
    assert both == pytest.approx((0.7 - half, 0.7 + half), abs=0.012)


def test_bootstrap_refuses_cells_of_no_patient():
    frame = pd.DataFrame({"patient_id": ["a", None], "right": [1, 0]})
    with pytest.raises(ValueError, match="1 of 2 rows have no patient_id"):
        evaluation.cluster_bootstrap(frame, len, replicates=2, rng=np.random.default_rng(0))
