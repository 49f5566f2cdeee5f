"""Stability of the threshold, coverage, cells needed and benefit on synthetic cells."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import MODULE_1_CLASSES
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold
from alnet_lib.evaluation import clinical_utility, smear_level
from alnet_lib.figures import curves

DIAGNOSES = {"lymphocyte": "control", "abnormal_promyelocyte": "APL", "myeloblast": "AML"}


@pytest.fixture
def cells():
    """12 smears of three diagnoses, 10 cells each; module 1 is wrong in a fifth of the cells, and too certain there."""
    rows = []
    for s in range(12):
        cell_type = list(DIAGNOSES)[s % 3]
        for c in range(10):
            about = {"cell_type": cell_type, "diagnosis": DIAGNOSES[cell_type], "split": "train" if s < 6 else "test"}
            rows.append({"smear_id": f"s{s}", "patient_id": f"p{s}", "image_id": f"{s}/{c}", "site": "", **about})
    table = pd.DataFrame(rows)
    table["validation"] = table["split"].eq("train") & (np.arange(len(table)) % 3 == 0)
    reference = table["cell_type"].replace("myeloblast", "blast")
    wrong = np.arange(len(table)) % 5 == 0
    for name in MODULE_1_CLASSES:
        table[f"p1_{name}"] = np.where(reference.eq(name) & ~wrong, 0.95, 0.0)
    table.loc[wrong, "p1_monocyte"] = 0.95
    columns = [f"p1_{name}" for name in MODULE_1_CLASSES]
    table[columns] = table[columns] + 0.01
    table[columns] = table[columns].div(table[columns].sum(axis=1), axis=0)
    return table.assign(eligible=True)


def votes(cells):
    return smear_level.votes_of(cells, MajorityAboveThreshold(0.5))


def test_the_threshold_of_well_separated_smears_hardly_moves(cells):
    settings = {"replicates": 50}
    result = clinical_utility.threshold_stability(votes(cells), rng=np.random.default_rng(0), **settings)
    # Every smear has a share of 0.8 of its own class and 0 of the others: any threshold between is best.
    assert result.frame["threshold"].to_numpy() == pytest.approx([0.4] * 5)
    one = votes(cells[cells["diagnosis"].eq("APL")])
    assert not clinical_utility.threshold_stability(one, rng=np.random.default_rng(0), **settings)


def test_the_spread_of_the_threshold_names_its_patients_and_needs_five(cells):
    result = clinical_utility.threshold_stability(votes(cells), replicates=50, rng=np.random.default_rng(0))
    values = {value.key: value for value in result.values}
    middle = values["threshold.50"]
    assert middle.interval == "percentile bootstrap over patients" and middle.n_patients == 12
    assert (middle.reproduced, middle.ci_low, middle.ci_high) == pytest.approx((40, 40, 40))
    assert clinical_utility.threshold_interval(result).low == pytest.approx(0.4)
    few = votes(cells[cells["smear_id"].isin(["s0", "s1", "s2", "s3"])])
    found = clinical_utility.threshold_stability(few, replicates=50, rng=np.random.default_rng(0))
    assert found == Unavailable("4 patients are too few for the spread of a threshold")
    assert clinical_utility.threshold_interval(found) is None


def test_coverage_and_cells_needed_have_intervals_over_patients_and_go_into_the_record(cells):
    # Two smears a patient: 6 patients, all 12 smears decided and correct.
    cells = cells.assign(patient_id="p" + (cells["smear_id"].str[1:].astype(int) % 6).astype(str))
    result = clinical_utility.coverage(cells)
    values = {value.key: value for value in result.values}
    assert set(values) == {f"coverage.{t}.{what}" for t in (30, 50, 70, 90) for what in ("decided", "accuracy")} - {
        "coverage.90.accuracy"
    }
    own = values["coverage.50.accuracy"]
    assert (own.reproduced, own.n_patients, own.n_smears) == (100, 6, 12)
    assert own.ci_low == pytest.approx(100 * 0.025 ** (1 / 6)), "6 of 6 patients, not 12 of 12 smears"
    needed = clinical_utility.cells_needed(cells, MajorityAboveThreshold(0.5), np.random.default_rng(0))
    assert needed.frame["patients"].eq(6).all() and needed.frame["low"].lt(needed.frame["correct"]).all()
    assert {value.n_patients for value in needed.values} == {6}


def test_the_dip_at_two_cells_is_said_to_be_ties(cells):
    needed = clinical_utility.cells_needed(cells, MajorityAboveThreshold(0.5), np.random.default_rng(0))
    curve = needed.frame.set_index("cells")
    assert curve.loc[2, "correct"] < curve.loc[1, "correct"] and curve.loc[1, "unknown"] == 0
    assert "ties" in needed.facts["dip"] and f"{100 * curve.loc[2, 'unknown']:.0f}% unknown" in needed.facts["dip"]


def test_benefit_at_the_prevalence_of_a_ward(cells):
    train, test = (votes(cells[cells["split"].eq(split)]) for split in ("train", "test"))
    result = clinical_utility.apl_benefit(test, train, Unavailable("not asked"))
    assert result.facts["fitted_on"] == "cross-fitted training smears"
    assert result.facts["prevalence"] == result.facts["fitted_prevalence"] == pytest.approx(100 / 3)
    # The share separates APL from the others: at 20% every smear of APL is treated and no other.
    at = result.frame[result.frame["threshold"].eq(0.2)].set_index("prevalence")["net benefit"]
    assert at[["cohort", "10", "5"]].tolist() == pytest.approx([1 / 3, 0.1, 0.05])
    assert {value.key for value in result.values} == {
        f"decision_curve.{prevalence}.{t}" for prevalence in ("cohort", "10", "5", "1") for t in (5, 10, 20)
    }
    # Two patients with APL: no interval.
    assert result.frame[result.frame["prevalence"].ne("cohort")]["low"].isna().all()
    titles = [axes.get_title() for axes in curves.benefit_figure(result).axes]
    assert titles == ["33% APL (these testing smears)", "10% APL", "5% APL", "1% APL"]


def test_benefit_says_when_it_was_fitted_on_smears_that_module_1_has_seen(cells):
    train, test = (votes(cells[cells["split"].eq(split)]) for split in ("train", "test"))
    fallback = clinical_utility.apl_benefit(test, Unavailable("no cross-fitting"), train)
    assert fallback.facts["fitted_on"] == "training smears that module 1 was fitted on"
    for nothing in (test[test["diagnosis"].eq("APL")], Unavailable("no smear")):
        found = clinical_utility.apl_benefit(nothing, train, train)
        assert found.reason.startswith("the testing smears are all of APL")
        assert clinical_utility.apl_benefit(test, nothing, nothing).reason.startswith(
            "the training smears are all of APL"
        )
