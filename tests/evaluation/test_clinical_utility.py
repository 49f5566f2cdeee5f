"""Stability of the threshold, coverage, cells needed and benefit on synthetic cells."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import MODULE_1_CLASSES
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold
from alnet_lib.evaluation import clinical_utility, smear_level
from alnet_lib.figures import curves

WAYS = ("module_1", "end_to_end")
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
    assert {value.n_patients for value in values.values()} == {12}
    middle = values["threshold.50"]
    # All draws choose 40%: that is no certainty, and 40% keeps as the estimate without an interval.
    assert (
        middle.reproduced == pytest.approx(40)
        and middle.interval == ""
        and np.isnan([middle.ci_low, middle.ci_high]).all()
    )
    assert result.facts["spread"] == "at least 95% of 50 draws agree, so no interval is given"
    assert result.frame["interval"].eq("none: the draws of patients agree").all()
    assert clinical_utility.threshold_interval(result).estimate == pytest.approx(0.4)
    assert not clinical_utility.threshold_interval(result).given
    few = votes(cells[cells["smear_id"].isin(["s0", "s1", "s2", "s3"])])
    found = clinical_utility.threshold_stability(few, replicates=50, rng=np.random.default_rng(0))
    assert found == Unavailable("4 patients are too few for the spread of a threshold")
    assert clinical_utility.threshold_interval(found) is None


def test_the_spread_of_the_threshold_says_how_many_draws_were_made(cells):
    own = votes(cells)
    shares = [f"share_{name}" for name in MODULE_1_CLASSES]
    own[shares] = 0.4 * own[shares] + 0.6 * np.random.default_rng(3).dirichlet(np.ones(len(shares)), len(own))
    drawn = {"rng": np.random.default_rng(0)}
    result = clinical_utility.threshold_stability(own, replicates=2000, **drawn)
    facts, found = result.facts, result.frame.set_index("quantile, %")["threshold"] * 100
    assert facts["draws"] == clinical_utility.STABILITY_REPLICATES
    assert facts["capped"] == " The profile asks for 2,000 draws; the search is repeated 200 times at most."
    assert facts["spread"] == f"95% of 200 draws {found[2.5]:.1f} to {found[97.5]:.1f}%"
    interval = clinical_utility.threshold_interval(result)
    assert interval.given and interval.method == "percentile bootstrap over patients"
    assert clinical_utility.threshold_stability(own, replicates=50, **drawn).facts["capped"] == ""


def test_the_vote_at_the_chosen_threshold_stands_beside_the_kept_one(cells):
    # The shares of the right class are 0.8: at 90% all are unknown, at the middle of 0 to 80% all are correct.
    own = smear_level.figure_4(votes(cells), printed=False)
    assert (own.facts["low"], own.facts["high"]) == pytest.approx((0, 80))
    result = clinical_utility.at_thresholds(cells, 0.9, own)
    values = {value.key: value for value in result.values}
    assert set(values) == {f"at_threshold.{a}.{b}" for a in ("kept", "chosen", "difference") for b in WAYS}
    for way in WAYS:
        kept, chosen, less = (values[f"at_threshold.{name}.{way}"] for name in ("kept", "chosen", "difference"))
        assert (kept.reproduced, chosen.reproduced, less.reproduced) == (0, 100, 100)
        assert chosen.ci_low == pytest.approx(100 * 0.025 ** (1 / 12)) and less.unit == "percentage points"
        assert {one.n_patients for one in (kept, chosen, less)} == {12} and less.ci_low < 100
    assert result.facts["chosen"] == pytest.approx(40) and result.facts["kept"] == pytest.approx(90)
    assert "end to end +100.0 percentage points (95% interval over 12 patients" in result.facts["findings"]
    same = clinical_utility.at_thresholds(cells, 0.5, own)
    assert same.frame[same.frame["threshold"].eq("chosen less kept")]["correct"].eq(0).all()
    assert same.frame["low"].notna().all(), "no difference is not certainty"


def test_the_vote_at_the_chosen_threshold_is_judged_by_what_is_known(cells):
    own = smear_level.figure_4(votes(cells), printed=False)
    unknown = cells.assign(diagnosis=cells["diagnosis"].where(cells["smear_id"].ne("s0"), ""))
    unlabelled = unknown.assign(cell_type=cells["cell_type"].where(~cells["smear_id"].isin(["s1", "s2"]), ""))
    frame = clinical_utility.at_thresholds(unlabelled, 0.5, own).frame
    assert frame.groupby("judged")["smears"].first().to_dict() == {"end to end": 11, "module 1 (as Table 9A)": 10}
    assert not clinical_utility.at_thresholds(cells.assign(diagnosis="", cell_type=""), 0.5, own)
    assert clinical_utility.at_thresholds(cells, 0.5, Unavailable("none")) == Unavailable("none")


def test_smears_without_a_diagnosis_are_left_out_and_counted(cells):
    unknown = cells.assign(diagnosis=cells["diagnosis"].where(~cells["smear_id"].isin(["s0", "s7"]), ""))
    result = clinical_utility.coverage(unknown)
    at = result.frame.set_index("threshold").loc[0.5]
    assert at["smears"] == 10 and at["correct"] == 1, "they are not wrong"
    needed = clinical_utility.cells_needed(unknown, MajorityAboveThreshold(0.5), np.random.default_rng(0))
    assert needed.frame["full"].iloc[0] == 10
    benefit = clinical_utility.apl_benefit(votes(unknown), votes(unknown), Unavailable("not asked"))
    assert benefit.facts["n"] == 10
    for one in (result, needed, benefit):
        assert one.facts["aside"] == " 2 smears without a diagnosis are left out."
    nothing = cells.assign(diagnosis="")
    assert not clinical_utility.coverage(nothing)
    assert not clinical_utility.cells_needed(nothing, MajorityAboveThreshold(0.5), np.random.default_rng(0))


def test_coverage_and_cells_needed_have_intervals_over_patients_and_go_into_the_record(cells):
    # Two smears a patient: 6 patients, all 12 smears decided and correct.
    cells = cells.assign(patient_id="p" + (cells["smear_id"].str[1:].astype(int) % 6).astype(str))
    result = clinical_utility.coverage(cells)
    values = {value.key: value for value in result.values}
    rates = ("decided", "accuracy", "correct")
    assert set(values) == {f"coverage.{t}.{rate}" for t in (30, 50, 70, 90) for rate in rates} - {
        "coverage.90.accuracy"
    }
    assert all(value.interval for value in values.values())
    at = result.frame.set_index("threshold")
    assert at.loc[0.9, "correct"] == 0 and at.loc[0.9, "correct high"] == pytest.approx(1 - 0.025 ** (1 / 6))
    shown = clinical_utility.coverage_as_shown(result).set_index("threshold")
    assert shown.loc[0.5, "correct of all"] == "1.00 (0.54 to 1.00)" and shown.loc[0.9, "accuracy of the decided"] == ""
    assert "nan" not in shown.to_string()
    own = values["coverage.50.accuracy"]
    assert (own.reproduced, own.n_patients, own.n_smears) == (100, 6, 12)
    assert own.ci_low == pytest.approx(100 * 0.025 ** (1 / 6)), "6 of 6 patients, not 12 of 12 smears"
    needed = clinical_utility.cells_needed(cells, MajorityAboveThreshold(0.5), np.random.default_rng(0))
    assert needed.frame["patients"].eq(6).all() and needed.frame["low"].lt(needed.frame["correct"]).all()
    assert {value.n_patients for value in needed.values} == {6}
    sizes = clinical_utility.SIZES
    assert {value.key for value in needed.values} == {
        f"cells_needed.{n}.{what}" for n in sizes for what in ("correct", "unknown")
    }
    bands = curves.cells_figure(needed).axes[0].collections
    assert len(bands) == 2, "both shares are shown with their intervals"
    frame = needed.frame
    assert (frame["unknown low"] <= frame["unknown"]).all() and (frame["unknown"] < frame["unknown high"]).all()


def test_the_dip_at_two_cells_is_described_without_a_cause(cells):
    needed = clinical_utility.cells_needed(cells, MajorityAboveThreshold(0.5), np.random.default_rng(0))
    one, two = (100 * needed.frame.set_index("cells").loc[n, ["correct", "unknown"]] for n in (1, 2))
    assert two["correct"] < one["correct"] and one["unknown"] == 0
    assert needed.facts["dip"] == (
        f" With one cell: {one['correct']:.1f}% correct and 0.0% unknown; "
        f"with two: {two['correct']:.1f}% correct and {two['unknown']:.1f}% unknown."
    )
    more = clinical_utility.cells_needed(cells, MajorityAboveThreshold(0.5), np.random.default_rng(0), sizes=(1, 5))
    assert more.facts["dip"] == ""


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
    # Two patients with APL: no interval, at the prevalence of the cohort neither.
    assert result.frame["low"].isna().all() and result.facts["apl_patients"] == 2
    assert result.frame["interval"].eq("none: patients who are cases: 2").all()
    titles = [axes.get_title() for axes in curves.benefit_figure(result).axes]
    assert titles == ["33% APL (these testing smears)", "10% APL", "5% APL", "1% APL"]


def test_benefit_says_when_it_was_fitted_on_smears_that_module_1_has_seen(cells):
    train, test = (votes(cells[cells["split"].eq(split)]) for split in ("train", "test"))
    by = {"made_by": "by a small network"}
    other = clinical_utility.apl_benefit(test, train, Unavailable("not asked"), **by)
    assert other.facts["fitted_on"] == "cross-fitted training smears, predicted by a small network"
    fallback = clinical_utility.apl_benefit(test, Unavailable("no cross-fitting"), train, **by)
    assert fallback.facts["fitted_on"] == "training smears that module 1 was fitted on"
    for nothing in (test[test["diagnosis"].eq("APL")], Unavailable("no smear")):
        found = clinical_utility.apl_benefit(nothing, train, train)
        assert found.reason.startswith("the testing smears are all of APL")
        assert clinical_utility.apl_benefit(test, nothing, nothing).reason.startswith(
            "the training smears are all of APL"
        )


def test_benefit_is_unavailable_where_the_recalibration_does_not_settle(cells, monkeypatch):
    parts = [votes(cells[cells["split"].eq(split)]) for split in ("test", "train")]
    assert clinical_utility.apl_benefit(parts[0], parts[1], parts[1])
    lost = clinical_utility.decision.Recalibration(np.nan, np.nan, 0.5)
    monkeypatch.setattr(clinical_utility.decision, "fit_recalibration", lambda *given: lost)
    found = clinical_utility.apl_benefit(parts[0], parts[1], parts[1])
    assert isinstance(found, Unavailable) and "does not settle" in found.reason
