"""One resampler: whole patients, within strata, the draws that each interval is made of."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.statistics import bootstrap, roc


def test_a_replicate_holds_whole_clusters_and_as_many_as_there_are():
    clusters = np.array(list("bacabca"))
    for rows in bootstrap.resamples(clusters, 30, np.random.default_rng(0)):
        times = {name: np.bincount(rows, minlength=7)[clusters == name] for name in "abc"}
        assert all(len(set(count)) == 1 for count in times.values()), "a cluster was torn"
        assert sum(count[0] for count in times.values()) == 3


def test_draws_are_those_of_plain_integers_over_sorted_clusters():
    clusters, strata = np.array(list("xyxzyw")), np.array([1, 1, 1, 0, 1, 0])
    rng, drawn = np.random.default_rng(4), list(bootstrap.resamples(clusters, 5, np.random.default_rng(4), strata))
    parts = [[[5], [3]], [[0, 2], [1, 4]]]
    for rows in drawn:
        expected = [row for part in parts for i in rng.integers(0, 2, 2) for row in part[i]]
        assert rows.tolist() == expected


def test_every_stratum_keeps_its_number_of_clusters():
    strata = np.repeat([True, False], [3, 9])
    for rows in bootstrap.resamples(np.arange(12), 20, np.random.default_rng(1), strata):
        assert strata[rows].sum() == 3 and len(rows) == 12


@pytest.mark.parametrize("clusters", [[], ["a", None]])
def test_rows_without_a_cluster_are_refused(clusters):
    with pytest.raises(ValueError, match="have no cluster"):
        bootstrap.resamples(pd.Series(clusters, dtype=object), 2, np.random.default_rng(0))


def test_intervals_are_the_percentiles_over_the_replicates():
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"patient_id": rng.integers(0, 20, 90), "score": rng.random(90)})
    frame["case"] = frame["patient_id"] < 8
    rows = list(bootstrap.resamples(frame["patient_id"], 100, np.random.default_rng(3), frame["case"]))
    aucs = [roc.curve(part["case"], part["score"]).auc for part in (frame.iloc[r] for r in rows)]
    found = roc.auc_interval(frame, "case", "score", cluster="patient_id", replicates=100, rng=np.random.default_rng(3))
    assert found == pytest.approx(np.percentile(aucs, [2.5, 97.5]))


def test_bootstrap_draws_patients_not_cells():
    # One patient owns most cells: drawing cells would give a far too narrow interval.
    frame = pd.DataFrame({"patient_id": ["a"] * 90 + ["b"] * 5 + ["c"] * 5, "correct": [1] * 90 + [0] * 10})
    low, high = bootstrap.cluster_bootstrap(
        frame, lambda f: f["correct"].mean(), replicates=300, rng=np.random.default_rng(0)
    )
    assert low == 0 and high == 1


def test_bootstrap_of_a_statistic_that_is_never_defined():
    frame = pd.DataFrame({"patient_id": [1, 2], "x": [0, 0]})
    with pytest.warns(UserWarning, match="20 of 20"):
        both = bootstrap.cluster_bootstrap(frame, lambda f: float("nan"), replicates=20, rng=np.random.default_rng(0))
    assert all(np.isnan(both))


def test_bootstrap_says_how_many_replicates_it_leaves_out():
    # The rate among patients a is undefined when a is not drawn: 1/4 of the draws of two of two.
    frame = pd.DataFrame({"patient_id": ["a", "a", "b"], "correct": [1.0, 0.0, 1.0]})
    with pytest.warns(UserWarning, match="of 200 bootstrap replicates"):
        both = bootstrap.cluster_bootstrap(
            frame,
            lambda f: f.loc[f["patient_id"] == "a", "correct"].mean(),
            replicates=200,
            rng=np.random.default_rng(0),
        )
    assert both == (0.5, 0.5)


def test_bootstrap_interval_agrees_with_the_normal_one_for_many_independent_patients():
    correct = np.repeat([1.0, 0.0], [140, 60])
    frame = pd.DataFrame({"patient_id": range(200), "correct": correct})
    both = bootstrap.cluster_bootstrap(
        frame, lambda f: f["correct"].mean(), replicates=1000, rng=np.random.default_rng(0)
    )
    half = 1.96 * np.sqrt(0.7 * 0.3 / 200)
    assert both == pytest.approx((0.7 - half, 0.7 + half), abs=0.012)


def test_bootstrap_refuses_cells_of_no_patient():
    frame = pd.DataFrame({"patient_id": ["a", None], "correct": [1, 0]})
    with pytest.raises(ValueError, match="1 of 2 rows have no patient_id"):
        bootstrap.cluster_bootstrap(frame, len, replicates=2, rng=np.random.default_rng(0))


def _evaluated(patients, correct):
    return pd.DataFrame({"patient_id": patients, "correct": np.array(correct, bool)})


def test_the_same_answers_differ_by_nothing():
    frame = _evaluated(list("aabbccdd"), [1, 0, 1, 1, 0, 0, 1, 0])
    found = bootstrap.paired_difference(frame, frame, paired=True, replicates=200, rng=np.random.default_rng(0))
    assert found == {"plain": 0.5, "other": 0.5, "difference": 0.0, "low": 0.0, "high": 0.0}


def test_a_difference_and_its_interval_by_hand():
    patients = [str(i) for i in range(40)]
    plain, other = _evaluated(patients, [0] * 20 + [1] * 20), _evaluated(patients, [1] * 40)
    found = bootstrap.paired_difference(plain, other, paired=True, replicates=4000, rng=np.random.default_rng(0))
    assert found["difference"] == 0.5
    # A bootstrap of 40 patients, half of them gained: binomial, 0.5 +- 1.96 sqrt(0.25 / 40).
    assert found["low"] == pytest.approx(0.345, abs=0.03) and found["high"] == pytest.approx(0.655, abs=0.03)


def test_cells_of_one_patient_count_as_one():
    one = _evaluated(["a"] * 1000 + ["b"], [1] * 1000 + [0])
    found = bootstrap.paired_difference(
        one, one.assign(correct=False), paired=True, replicates=500, rng=np.random.default_rng(0)
    )
    assert found["low"] == pytest.approx(-1.0) and found["high"] == 0.0


def test_sides_with_different_patients_are_drawn_apart():
    plain, other = _evaluated(list("abcd"), [1, 1, 0, 0]), _evaluated(list("wxyz"), [1, 1, 1, 0])
    found = bootstrap.paired_difference(plain, other, paired=False, replicates=500, rng=np.random.default_rng(0))
    assert found["difference"] == 0.25 and found["low"] < 0 < found["high"]
