"""ROC values agree with scikit-learn and with hand arithmetic."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from alnet_lib import roc


def example(seed: int, separation: float = 0.8):
    rng = np.random.default_rng(seed)
    truth = pd.Series(rng.choice(list("abc"), 60))
    raw = pd.DataFrame(rng.random((60, 3)), columns=list("abc"))
    for name in "abc":
        raw[name] += separation * (truth == name)
    return truth, raw.div(raw.sum(axis=1), axis=0)


@pytest.mark.parametrize("seed", range(4))
def test_auc_and_hand_till_equal_scikit_learns(seed):
    truth, shares = example(seed)
    result = roc.multiclass_roc(truth, shares)
    for name in "abc":
        assert result.classes[name].auc == pytest.approx(roc_auc_score(truth == name, shares[name]))
    expected = roc_auc_score(truth, shares.to_numpy(), multi_class="ovo", average="macro", labels=list("abc"))
    assert result.hand_till == pytest.approx(expected)
    assert result.average.auc == pytest.approx(
        roc_auc_score(truth, shares.to_numpy(), multi_class="ovr", average="macro", labels=list("abc"))
    )


def test_perfect_shares_have_auc_1_and_a_whole_interval_of_thresholds():
    truth = pd.Series(list("aabbcc"))
    shares = pd.DataFrame(
        {"a": [0.9, 0.7, 0.1, 0.2, 0, 0], "b": [0.1, 0.2, 0.9, 0.8, 0.3, 0], "c": [0, 0.1, 0, 0, 0.7, 1]}
    )
    result = roc.multiclass_roc(truth, shares)
    assert result.average.auc == result.hand_till == result.youden == 1
    assert result.threshold == (0.3, 0.7), "any share between the largest wrong and the smallest right one is best"


def test_average_curve_rises_and_ends_at_one():
    truth, shares = example(1, 0.3)
    average = roc.multiclass_roc(truth, shares).average
    assert (np.diff(average.tpr) >= -1e-12).all() and average.tpr[-1] == 1
    assert average.fpr[0] == average.tpr[0] == 0


def test_reversed_scores_turn_the_auc_round():
    truth, shares = example(2)
    assert roc.curve(truth == "a", -shares["a"]).auc == pytest.approx(1 - roc.curve(truth == "a", shares["a"]).auc)


def test_a_missing_class_is_left_out_and_one_class_is_refused():
    truth, shares = example(0)
    kept = truth != "c"
    assert set(roc.multiclass_roc(truth[kept], shares[kept]).classes) == {"a", "b"}
    with pytest.raises(ValueError, match="two classes"):
        roc.multiclass_roc(truth[truth == "a"], shares[truth == "a"])


def test_auc_interval_holds_the_auc_and_is_sure_of_perfect_separation():
    frame = pd.DataFrame({"patient": range(40), "case": [True] * 15 + [False] * 25})
    frame["score"] = np.random.default_rng(0).normal(frame["case"], 1.0)
    low, high = roc.auc_interval(
        frame, "case", "score", cluster="patient", replicates=200, rng=np.random.default_rng(1)
    )
    assert low < roc_auc_score(frame["case"], frame["score"]) < high
    frame["score"] = frame["case"].astype(float)
    assert roc.auc_interval(frame, "case", "score", cluster="patient", replicates=50, rng=np.random.default_rng(1)) == (
        1.0,
        1.0,
    )
