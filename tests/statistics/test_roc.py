"""ROC values agree with scikit-learn, with R's pROC and with hand arithmetic."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc, roc_auc_score

from alnet_lib.statistics import roc

PROC = json.loads((Path(__file__).parents[1] / "fixtures" / "proc_multiclass_roc.json").read_text())["cases"]


def example(seed: int, separation: float = 0.8):
    rng = np.random.default_rng(seed)
    reference = pd.Series(rng.choice(list("abc"), 60))
    raw = pd.DataFrame(rng.random((60, 3)), columns=list("abc"))
    for name in "abc":
        raw[name] += separation * (reference == name)
    return reference, raw.div(raw.sum(axis=1), axis=0)


@pytest.mark.parametrize("seed", range(4))
def test_auc_and_hand_till_equal_scikit_learns(seed):
    reference, shares = example(seed)
    result = roc.multiclass_roc(reference, shares)
    for name in "abc":
        assert result.classes[name].auc == pytest.approx(roc_auc_score(reference == name, shares[name]))
    expected = roc_auc_score(reference, shares.to_numpy(), multi_class="ovo", average="macro", labels=list("abc"))
    assert result.hand_till == pytest.approx(expected)
    assert result.average.auc == pytest.approx(
        roc_auc_score(reference, shares.to_numpy(), multi_class="ovr", average="macro", labels=list("abc"))
    )


@pytest.mark.parametrize("case", PROC.values(), ids=PROC)
def test_pROC_gives_the_same_areas(case):
    shares, reference = pd.DataFrame(case["shares"]), pd.Series(case["truth"])
    result = roc.multiclass_roc(reference, shares)
    assert result.hand_till == pytest.approx(case["M"], abs=1e-9)
    assert {name: c.auc for name, c in result.classes.items()} == pytest.approx(case["one_vs_rest"], abs=1e-9)


@pytest.mark.parametrize("separation", [0.0, 0.3, 1.5])
@pytest.mark.parametrize("digits", [1, 9])
def test_the_area_under_the_average_is_the_average_area(separation, digits):
    # Few digits tie scores, which slopes the curves; many leave steps.
    reference, shares = example(5, separation)
    average = roc.multiclass_roc(reference, shares.round(digits)).average
    assert auc(average.fpr, average.tpr) == pytest.approx(average.auc)


def test_order_of_smears_changes_nothing():
    reference, shares = example(6)
    order = np.random.default_rng(0).permutation(len(reference))
    one, other = roc.multiclass_roc(reference, shares), roc.multiclass_roc(reference.iloc[order], shares.iloc[order])
    assert (one.hand_till, one.threshold, one.youden) == (other.hand_till, other.threshold, other.youden)
    np.testing.assert_allclose(one.average.tpr, other.average.tpr)


def test_shares_that_are_all_tied_tell_nothing():
    shares = pd.DataFrame(1 / 3, index=range(9), columns=list("abc"))
    result = roc.multiclass_roc(pd.Series(list("abc") * 3), shares)
    assert result.hand_till == result.average.auc == 0.5
    assert result.youden == 0


def test_every_threshold_of_the_interval_is_as_good_and_none_outside_is_better():
    reference, shares = example(3, 0.5)
    low, high, youden = roc.best_threshold(reference, shares)

    def index(t: float) -> float:
        return np.mean([(shares[c] > t)[reference == c].mean() - (shares[c] > t)[reference != c].mean() for c in "abc"])

    assert [index(t) for t in np.linspace(low, high, 9, endpoint=False)] == pytest.approx([youden] * 9)
    assert max(index(t) for t in np.linspace(0, 1, 301)) <= youden + 1e-12


def test_perfect_shares_have_auc_1_and_a_whole_interval_of_thresholds():
    reference = pd.Series(list("aabbcc"))
    shares = pd.DataFrame(
        {"a": [0.9, 0.7, 0.1, 0.2, 0, 0], "b": [0.1, 0.2, 0.9, 0.8, 0.3, 0], "c": [0, 0.1, 0, 0, 0.7, 1]}
    )
    result = roc.multiclass_roc(reference, shares)
    assert result.average.auc == result.hand_till == result.youden == 1
    assert result.threshold == (0.3, 0.7), "any share between the largest wrong and the smallest correct one is best"


def test_average_curve_rises_and_ends_at_one():
    reference, shares = example(1, 0.3)
    average = roc.multiclass_roc(reference, shares).average
    assert (np.diff(average.tpr) >= -1e-12).all() and average.tpr[-1] == 1
    assert average.fpr[0] == average.tpr[0] == 0


def test_reversed_scores_turn_the_auc_round():
    reference, shares = example(2)
    assert roc.curve(reference == "a", -shares["a"]).auc == pytest.approx(
        1 - roc.curve(reference == "a", shares["a"]).auc
    )


def test_a_missing_class_is_left_out_and_one_class_is_refused():
    reference, shares = example(0)
    kept = reference != "c"
    assert set(roc.multiclass_roc(reference[kept], shares[kept]).classes) == {"a", "b"}
    with pytest.raises(ValueError, match="two classes"):
        roc.multiclass_roc(reference[reference == "a"], shares[reference == "a"])
