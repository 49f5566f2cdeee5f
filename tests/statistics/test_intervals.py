"""Intervals with the patient as the unit, against statsmodels, SciPy and hand arithmetic."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from alnet_lib.statistics import intervals


def cells(patients, **more):
    return pd.DataFrame({"patient_id": list(patients), **more})


def test_independent_cells_give_clopper_and_pearson():
    """One cell a patient: the effective number is about the number of patients."""
    found = intervals.proportion(np.arange(60) < 48, cells(range(60)))
    low, high = proportion_confint(48, 60, method="beta")
    assert found.estimate == 0.8 and found.n_patients == 60 and found.method == "Korn-Graubard over patients"
    assert found.low == pytest.approx(low, abs=0.004) and found.high == pytest.approx(high, abs=0.004)
    assert found.design_effect == pytest.approx(60 / 59)


def test_alike_cells_of_a_patient_count_as_one():
    """Ten patients with 30 equal cells each are ten observations: the design effect is about 30."""
    patients = np.repeat(np.arange(10), 30)
    found = intervals.proportion(patients < 7, cells(patients))
    assert found.design_effect == pytest.approx(30 * 10 / 9)
    effective = 0.7 * 0.3 / (0.7 * 0.3 * 10 / 9 / 10) * (stats.t.ppf(0.975, 299) / stats.t.ppf(0.975, 9)) ** 2
    expected = intervals.clopper_pearson(0.7 * effective, effective)
    assert (found.low, found.high) == pytest.approx(expected)
    assert found.high - found.low > 0.5


def test_the_variance_is_statsmodels_cluster_robust_one():
    """A regression on nothing but a constant, clustered by patient, with statsmodels' correction for few clusters."""
    rng = np.random.default_rng(8)
    patients = rng.integers(0, 14, 300)
    values = rng.normal(patients / 7, 1.0)
    fitted = sm.OLS(values, np.ones(300)).fit(cov_type="cluster", cov_kwds={"groups": patients}, use_t=True)
    low, high = fitted.conf_int()[0]
    found = intervals.mean(values, cells(patients))
    assert (found.estimate, found.low, found.high) == pytest.approx((values.mean(), low, high))
    assert found.design_effect == pytest.approx(fitted.bse[0] ** 2 / (values.var(ddof=1) / 300))


def test_the_interval_does_not_depend_on_the_order_or_names_of_patients():
    rng = np.random.default_rng(3)
    patients, correct = rng.integers(0, 15, 200), rng.random(200) < 0.8
    first, order = intervals.proportion(correct, cells(patients)), rng.permutation(200)
    again = intervals.proportion(correct[order], cells([f"p{i}" for i in patients[order]]))
    assert (again.low, again.high) == pytest.approx((first.low, first.high))


@pytest.mark.parametrize(("outcome", "low", "high"), [(True, 0.5904, 1.0), (False, 0.0, 0.4096)])
def test_at_the_boundary_each_patient_is_one_trial(outcome, low, high):
    """7 of 7 patients: 0.025 ** (1 / 7) = 0.5904, not 1."""
    found = intervals.proportion(np.full(280, outcome), cells(np.repeat(np.arange(7), 40)))
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)
    assert found.method == "exact at the boundary, over patients"


def test_there_is_no_interval_below_five_patients_and_none_without_a_patient():
    """The estimate stays; a cell without a patient is an error."""
    found = intervals.proportion([True, False, True, True], cells("abcd"))
    assert found.estimate == 0.75 and np.isnan([found.low, found.high]).all() and not found.given
    assert found.columns()["interval"] == "none: fewer than 5 patients"
    assert found.text() == "4 patients: too few for an interval"
    with pytest.raises(ValueError, match="1 of 2 observations have no patient"):
        intervals.proportion([True, False], cells(["a", None]))
    empty = intervals.proportion([], cells([]))
    assert np.isnan(empty.estimate) and not empty.given and empty.n_patients == 0


def test_what_stands_behind_a_number_is_counted():
    """Cells by their rows, smears by their names; where rows are smears, cells by `n_cells`."""
    frame = cells("aabbcde", smear_id=list("xxyzuvw"))
    assert intervals.behind(frame) == {"n_patients": 5, "n_smears": 6, "n_cells": 7}
    smears = cells("aab", smear_id=list("xyz"), n_cells=[4, 5, 6])
    assert intervals.behind(smears) == {"n_patients": 2, "n_smears": 3, "n_cells": 15}
    assert intervals.behind(cells("ab")) == {"n_patients": 2, "n_smears": None, "n_cells": None}
    found = intervals.proportion(np.arange(7) < 3, frame)
    assert (found.n_patients, found.n_smears, found.n_cells) == (5, 6, 7)
    assert found.text(0) == f"95% interval over 5 patients: {100 * found.low:.0f} to {100 * found.high:.0f}"


def test_images_of_unknown_patients_are_one_cluster_a_site():
    """Each has a name of its own in the manifest, but nobody knows how many patients they are."""
    frame = cells(range(8), smear_known=[True] * 4 + [False] * 4, site=["P"] * 4 + ["Q", "Q", "R", "R"])
    assert intervals.behind(frame.assign(smear_id=range(8))) == {"n_patients": 6, "n_smears": 4, "n_cells": 8}
    unnamed = frame.assign(smear_known=False, site="Q")
    assert not intervals.proportion(np.ones(8, bool), unnamed).given


def test_the_mean_of_one_value_a_patient_is_students():
    """With one value a patient it is the textbook interval; NaN is left out; equal values have no variance."""
    values = np.array([1.0, 2.0, 4.0, 3.0, 6.0, 5.0, np.nan])
    found = intervals.mean(values, cells("abcdefg"))
    low, high = stats.t.interval(0.95, 5, loc=3.5, scale=stats.sem(values[:6]))
    assert (found.estimate, found.n_patients) == (3.5, 6)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert not intervals.mean(np.ones(7), cells("abcdefg")).given


def test_a_paired_difference_is_students_paired_test():
    """One smear a patient: scipy's paired t interval."""
    rng = np.random.default_rng(1)
    first, second = rng.random(20) < 0.5, rng.random(20) < 0.8
    found = intervals.difference(first, cells(range(20)), second)
    expected = stats.ttest_rel(second.astype(float), first.astype(float)).confidence_interval()
    assert found.estimate == pytest.approx(second.mean() - first.mean())
    assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_an_unpaired_difference_is_welchs():
    rng = np.random.default_rng(2)
    first, second = rng.random(30) < 0.5, rng.random(12) < 0.8
    found = intervals.difference(first, cells(range(30)), second, cells(range(50, 62)))
    test = stats.ttest_ind(second.astype(float), first.astype(float), equal_var=False)
    expected = test.confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.n_patients == 42


def test_a_difference_of_nothing_is_not_certain():
    """Seven patients, no disagreement: up to 1 - 0.025^(1/7) = 0.4096 of them could differ; four have no interval."""
    found = intervals.difference(np.ones(14), cells("aabbccddeeffgg"), np.ones(14))
    assert (found.estimate, found.low, found.high) == pytest.approx((0, -0.4096, 0.4096), abs=1e-4)
    assert not intervals.difference(np.ones(4), cells("abcd"), np.zeros(4)).given


def test_few_patients_with_all_the_errors_are_no_more_certain_than_none():
    """11 patients of 8 cells: one wrong cell must not give a narrower interval than none (0.7151 to 1)."""
    rows, right = cells(np.repeat(range(11), 8)), np.ones(88, bool)
    none, one = intervals.proportion(right, rows), intervals.proportion(np.arange(88) != 3, rows)
    assert none.low == pytest.approx(0.025 ** (1 / 11))
    assert one.low < none.low + 0.02 and one.high == pytest.approx(1, abs=0.01)
    assert one.method.startswith("Clopper-Pearson over patients")
    same, other = (intervals.difference(right, rows, second) for second in (right, np.arange(88) != 3))
    assert other.low <= other.estimate - (same.high - same.estimate) + 1e-9


def test_patients_on_both_sides_of_an_unpaired_difference_count_once():
    """The same rows given as both sides: the paired interval, the paired number of patients."""
    rng = np.random.default_rng(4)
    rows = cells(np.repeat(range(20), 6), image_id=np.arange(120))
    first, second = rng.random(120) < 0.5, rng.random(120) < 0.8
    paired = intervals.difference(first, rows, second)
    found = intervals.difference(first, rows, second, rows.copy())
    assert (found.low, found.high, found.n_patients) == pytest.approx((paired.low, paired.high, 20))


def test_cells_of_one_patient_count_as_one_in_a_difference():
    """1,000 gained cells of one patient of six are no certain gain."""
    rows = cells(["a"] * 1000 + list("bcdef"))
    found = intervals.difference(np.zeros(1005), rows, np.arange(1005) < 1000)
    assert found.estimate > 0.99 and found.low < found.estimate - 0.01


def test_the_jackknife_of_a_mean_is_students_interval():
    """The textbook identity: the jackknife standard error of a mean is its standard error."""
    values = np.array([1.0, 2.0, 4.0, 3.0, 6.0, 5.0])
    rows = cells("abcdef", value=values)
    found = intervals.jackknife(rows, lambda part: part["value"].mean(), share=False)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 5, loc=3.5, scale=stats.sem(values)))
    assert found.method == "jackknife over patients"


def test_the_jackknife_of_a_share_stays_inside_and_at_the_boundary_it_is_exact():
    rows = cells(np.repeat(range(8), 5), value=np.r_[np.ones(38), 0, 0])
    found = intervals.jackknife(rows, lambda part: part["value"].mean())
    assert 0 < found.low < found.estimate < found.high < 1
    perfect = intervals.jackknife(rows.assign(value=1.0), lambda part: part["value"].mean())
    assert (perfect.low, perfect.high) == pytest.approx((0.025 ** (1 / 8), 1.0))


def test_a_statistic_that_hangs_on_one_patient_has_no_interval():
    """Without patient a the statistic is not defined; below five patients there is none either."""
    rows = cells("abcdef", value=[1.0, 0, 0, 0, 0, 0])

    def rate(part):
        own = part.loc[part["patient_id"].eq("a"), "value"]
        return 0.5 * own.mean() if len(own) else float("nan")

    assert not intervals.jackknife(rows, rate).given
    assert not intervals.jackknife(rows[:4], lambda part: 0.5 * part["value"].mean()).given
