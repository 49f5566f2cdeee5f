"""One resampler: whole patients, within strata, the draws that each interval is made of."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.statistics import bootstrap


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
