"""Rates by the paper's formulas, checked by hand and against what the paper itself prints."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.statistics import classification


def cells(reference, predicted, patients=None):
    patients = range(len(reference)) if patients is None else patients
    return pd.DataFrame({"reference": list(reference), "predicted": list(predicted), "patient_id": list(patients)})


def correct(counts):
    return sum(counts.loc[name, name] for name in counts.index) / counts.to_numpy().sum()


FIVE = ["LY", "MO", "RL", "APL", "BL"]
# Table 7A in percent of the reference class; its first row as printed adds to 100.9.
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
    rates = classification.rates(counts).pivot_table("value", "class", "rate").loc[FIVE] * 100
    assert rates["sensitivity"].to_numpy() == pytest.approx(TABLE_8["sensitivity"], abs=0.17)
    assert rates["specificity"].to_numpy() == pytest.approx(TABLE_8["specificity"], abs=0.08)
    # The printed precision of monocytes, 90.5, is the one that does not follow: 114 of 124 are 91.9.
    others = [name for name in FIVE if name != "MO"]
    printed = pd.Series(TABLE_8["precision"], FIVE)
    assert rates.loc[others, "precision"].to_numpy() == pytest.approx(printed[others].to_numpy(), abs=0.25)
    assert rates.loc["MO", "precision"] == pytest.approx(91.9, abs=0.05)
    assert correct(counts) * 100 == pytest.approx(94.2, abs=0.2)


def test_the_printed_specificity_of_aml_leaves_the_unknown_smear_out():
    # Table 9B: 30 AML all correct; of 27 ALL 24 correct, 2 predicted AML, 1 unknown. Printed: 92.3 and precision 93.7.
    counts = pd.DataFrame([[30, 0, 0], [2, 24, 1]], index=["AML", "ALL"], columns=["AML", "ALL", "UNK"])

    def of_aml(table):
        return classification.rates(table).query("`class` == 'AML'").set_index("rate")["value"] * 100

    assert of_aml(counts)["specificity"] == pytest.approx(100 * 25 / 27)
    assert of_aml(counts.drop(columns="UNK"))["specificity"] == pytest.approx(92.3, abs=0.05)
    assert of_aml(counts)["precision"] == pytest.approx(93.7, abs=0.06)
    assert correct(counts) * 100 == pytest.approx(94.7, abs=0.05)


def test_counts_percent_and_rates_by_hand():
    counts = classification.confusion(list("aaabbc"), list("aabbbb"), ["a", "b", "c"])
    assert counts.to_numpy().tolist() == [[2, 1, 0], [0, 2, 0], [0, 1, 0]]
    rates = classification.rates(counts).set_index(["class", "rate"])["value"]
    assert rates["a", "sensitivity"] == pytest.approx(2 / 3)
    assert rates["b", "specificity"] == pytest.approx(2 / 4)
    assert rates["b", "precision"] == pytest.approx(2 / 4)
    assert rates["c", "sensitivity"] == 0
    assert np.isnan(rates["c", "precision"]), "nothing was predicted c, so its precision is undefined, not 0"
    assert correct(counts) == pytest.approx(4 / 6)


def test_module_2s_printed_rates_follow_from_its_printed_matrix():
    # Tables 6 and 7B: 774 myeloid blasts (99.4% correct), 1,023 B-lymphoblasts (82% correct).
    counts = pd.DataFrame([[769, 5], [184, 839]], index=["M", "B"], columns=["M", "B"])
    rates = classification.rates(counts).set_index(["class", "rate"])["value"] * 100
    assert rates["M", "sensitivity"] == pytest.approx(99.4, abs=0.05)
    assert rates["M", "specificity"] == pytest.approx(82.0, abs=0.05)
    assert rates["M", "precision"] == pytest.approx(80.7, abs=0.05)
    assert rates["B", "precision"] == pytest.approx(99.4, abs=0.05)
    assert correct(counts) * 100 == pytest.approx(89.5, abs=0.05)


def test_a_class_without_cells_has_undefined_sensitivity_and_percent():
    counts = classification.confusion(["a", "a"], ["a", "b"], ["a", "b"])
    assert classification.percent(counts).loc["b"].isna().all()
    rates = classification.rates(counts).set_index(["class", "rate"])
    assert np.isnan(rates.loc[("b", "sensitivity"), "value"])
    assert np.isnan(classification.accuracy(cells([], [])).estimate)


def test_unknown_counts_against_sensitivity_and_for_specificity():
    counts = classification.confusion(["a", "a", "b"], ["a", "?", "?"], ["a", "b"], ["?"])
    rates = classification.rates(counts).set_index(["class", "rate"])["value"]
    assert rates["a", "sensitivity"] == 0.5
    assert rates["b", "sensitivity"] == 0
    assert rates["b", "specificity"] == 1
    assert correct(counts) == pytest.approx(1 / 3)


def test_a_cell_of_a_new_class_changes_no_other_classes_sensitivity():
    before = classification.rates(classification.confusion(list("aab"), list("abb"), list("abc"))).set_index(
        ["class", "rate"]
    )
    after = classification.rates(classification.confusion(list("aabc"), list("abbc"), list("abc"))).set_index(
        ["class", "rate"]
    )
    for name in "ab":
        for rate in ("sensitivity", "precision"):
            assert before.loc[(name, rate), "value"] == after.loc[(name, rate), "value"]


@pytest.mark.parametrize(("predicted", "value"), [(list("abc") * 4, 1.0), (list("bca") * 4, 0.0)])
def test_perfect_and_always_wrong_classifiers(predicted, value):
    counts = classification.confusion(list("abc") * 4, predicted, list("abc"))
    rates = classification.rates(counts).set_index("rate")["value"]
    assert (rates[["sensitivity", "precision"]] == value).all()
    assert (rates["specificity"] == (1.0 if value else 0.5)).all()
    assert correct(counts) == value


def test_order_of_cells_changes_no_count_and_every_cell_is_counted_once():
    rng = np.random.default_rng(4)
    reference, predicted = rng.choice(list("abc"), 50), rng.choice(list("abcd"), 50)
    order = rng.permutation(50)
    counts = classification.confusion(reference, predicted, list("abc"), ["d"])
    pd.testing.assert_frame_equal(
        counts, classification.confusion(reference[order], predicted[order], list("abc"), ["d"])
    )
    assert counts.to_numpy().sum() == 50
    assert classification.percent(counts).sum(axis=1).to_numpy() == pytest.approx(100)


def test_rates_over_patients_are_those_of_the_matrix_and_hold_their_value():
    """Every class and rate, a rejected prediction among them; a rate without a denominator has no interval."""
    rng = np.random.default_rng(5)
    frame = cells(rng.choice(list("abc"), 90), rng.choice(list("abc?"), 90), np.repeat(range(9), 10))
    frame.loc[frame["predicted"].eq("c"), "predicted"] = "?"
    counts = classification.confusion(frame["reference"], frame["predicted"], list("abc"), ["?"])
    expected = classification.rates(counts).set_index(["class", "rate"])
    found = classification.rate_intervals(frame, list("abc"))
    assert set(found) == set(expected.index)
    for key, line in expected.iterrows():
        assert found[key].estimate == pytest.approx(line["value"], nan_ok=True), key
        assert found[key].n_patients <= 9
        if np.isnan(line["value"]):
            assert not found[key].given
        else:
            assert found[key].low <= line["value"] <= found[key].high
            assert line["successes"] / line["n"] == line["value"]


def test_accuracy_and_mean_sensitivity_by_hand():
    """Class a: 3 of 4, class b: 1 of 2; six patients."""
    frame = cells("aaaabb", "aaabba")
    assert classification.accuracy(frame).estimate == pytest.approx(4 / 6)
    found = classification.mean_sensitivity(frame)
    assert found.estimate == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert not found.given and found.columns()["interval"] == "none: a class has 2 patients"
    found = classification.mean_sensitivity(cells("a" * 12 + "b" * 6, "a" * 9 + "b" * 7 + "aa"))
    assert found.low < found.estimate < found.high
    perfect = classification.mean_sensitivity(cells("a" * 12 + "b" * 6, "a" * 12 + "b" * 6))
    assert (perfect.low, perfect.high) == pytest.approx((0.025 ** (1 / 6), 1.0)), "the smaller class has six patients"


def test_the_interval_of_an_accuracy_is_over_patients_not_cells():
    """200 cells of 8 patients whose cells are alike: far wider than Wilson over cells (0.61 to 0.74)."""
    patients = np.repeat(range(8), 25)
    frame = cells(np.full(200, "a"), np.where(patients < 5.4, "a", "b"), patients)
    found = classification.accuracy(frame)
    assert found.high - found.low > 0.5 and found.n_patients == 8


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="blaster"):
        classification.confusion(["a"], ["blaster"], ["a"])
