"""AUCs and their differences over patients, against scikit-learn, R's pROC and hand arithmetic."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from alnet_lib.statistics.auc import auc, auc_difference

PROC = json.loads((Path(__file__).parents[1] / "fixtures" / "proc_multiclass_roc.json").read_text())["cases"]


def patients(n):
    return pd.DataFrame({"patient_id": range(n)})


@pytest.mark.parametrize("case", PROC.values(), ids=PROC)
def test_pROC_gives_the_same_delong_test(case):
    """Two correlated AUCs, one row a patient: areas, p value and interval of the difference."""
    reference = pd.Series(case["truth"]) == "abnormal_promyelocyte"
    first, second = pd.DataFrame(case["shares"])["abnormal_promyelocyte"], case["share_2"]
    found, p = auc_difference(reference, first, second, patients(len(reference)))
    areas = [auc(reference, score, patients(len(reference))).estimate for score in (first, second)]
    assert areas == pytest.approx(case["delong"]["aucs"], abs=1e-9)
    assert p == pytest.approx(case["delong"]["p"], abs=1e-6)
    assert (found.low, found.high) == pytest.approx(case["delong"]["difference"], abs=1e-6)


def test_the_auc_is_scikit_learns_and_its_variance_delongs():
    """By DeLong's definition: the variances of both groups' placement values, each over its size."""
    rng = np.random.default_rng(5)
    truth = np.arange(40) < 15
    score = rng.normal(truth * 1.2, 1)
    found = auc(truth, score, patients(40))
    assert found.estimate == pytest.approx(roc_auc_score(truth, score))
    above = np.array([[stats.rankdata([c, d])[0] - 1 for d in score[~truth]] for c in score[truth]])
    variance = above.mean(1).var(ddof=1) / 15 + above.mean(0).var(ddof=1) / 25
    a = found.estimate
    logit = np.log(a / (1 - a)) + np.array([-1, 1]) * 1.959964 * np.sqrt(variance) / (a * (1 - a))
    assert (found.low, found.high) == pytest.approx(tuple(1 / (1 + np.exp(-logit))), abs=1e-6)


def test_repeated_smears_of_a_patient_add_no_certainty():
    """Obuchowski: every patient listed three times gives nearly the interval of listing each once."""
    rng = np.random.default_rng(6)
    truth = np.arange(30) < 12
    score = rng.normal(truth * 1.0, 1)
    once = auc(truth, score, patients(30))
    rows = pd.DataFrame({"patient_id": np.repeat(range(30), 3)})
    thrice = auc(np.repeat(truth, 3), np.repeat(score, 3), rows)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=1e-9)
    independent = auc(np.repeat(truth, 3), np.repeat(score, 3), patients(90))
    assert thrice.high - thrice.low > 1.5 * (independent.high - independent.low)


def test_a_perfect_auc_has_an_interval():
    """3 cases and 9 controls without overlap: 0.025 ** (1 / 3) = 0.2924 to 1, and mirrored for the reversed score."""
    truth = np.arange(12) < 3
    found, reverse = auc(truth, truth.astype(float), patients(12)), auc(truth, 1.0 - truth, patients(12))
    assert (found.low, found.high) == pytest.approx((0.2924, 1.0), abs=1e-4)
    assert (reverse.low, reverse.high) == pytest.approx((0.0, 0.7076), abs=1e-4)


def test_ties_have_no_certainty():
    """A constant score has an AUC of one half and no variance; its interval must not lie elsewhere."""
    truth = np.arange(20) < 8
    found = auc(truth, np.zeros(20), patients(20))
    assert found.estimate == 0.5 and not found.given
    assert found.columns()["interval"] == "none: the score is the same for all patients of a side"
    tied = auc(truth, np.where(truth, 1, np.arange(20) % 2), patients(20))
    assert tied.estimate == 0.75 and tied.low < 0.75 < tied.high


def test_one_case_has_no_interval_and_bad_input_is_refused():
    truth = np.arange(6) < 1
    assert not auc(truth, np.arange(6), patients(6)).given
    with pytest.raises(ValueError, match="cases and controls"):
        auc(np.ones(6, bool), np.arange(6), patients(6))
    with pytest.raises(ValueError, match="1 of 6 rows have no score"):
        auc(truth, [np.nan, 1, 2, 3, 4, 5], patients(6))
    with pytest.raises(ValueError, match="have no patient"):
        auc(truth, np.arange(6), pd.DataFrame({"patient_id": [None, *range(5)]}))


def test_a_score_differs_from_itself_by_nothing_and_from_noise_by_something():
    """A difference without variance has no interval and no p value: it is not a certain zero."""
    rng = np.random.default_rng(0)
    truth = np.arange(60) < 25
    good, noise = rng.normal(2.0 * truth, 1.0), rng.normal(size=60)
    same, p = auc_difference(truth, good, good, patients(60))
    assert same.estimate == 0 and not same.given and np.isnan(p)
    found, p = auc_difference(truth, good, noise, patients(60))
    assert 0 < found.low < found.estimate < found.high and p < 0.001
