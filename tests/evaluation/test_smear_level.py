"""Smears and sites, against counts, rates and intervals by hand."""

import numpy as np
import pandas as pd
import pytest
from miniatures import cells_of_smears as cells
from scipy import stats
from sklearn.metrics import roc_auc_score

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold
from alnet_lib.evaluation import clinical_utility, smear_level
from alnet_lib.statistics.intervals import Interval

RULE = MajorityAboveThreshold(0.5)
EFFECTIVE = 5 * (stats.t.ppf(0.975, 11) / stats.t.ppf(0.975, 5)) ** 2
"""Effective number behind `alike`: six patients of two smears each, five correct and one wrong, both smears alike.

Residuals 2 - 2 * 5/6 = 1/3 five times and -5/3 once: squares sum to 10/3; variance 6/5 * 10/3 / 12^2 = 1/36; so
(5/36) / (1/36) = 5 independent smears, times (t(11)/t(5))^2 for few patients; the design effect is 12/5.
"""
BOUNDS = (
    100 * stats.beta.ppf(0.025, 5 / 6 * EFFECTIVE, EFFECTIVE / 6 + 1),
    100 * stats.beta.ppf(0.975, 5 / 6 * EFFECTIVE + 1, EFFECTIVE / 6),
)


def alike(right, wrong, diagnosis, **options):
    """Cells of six patients with two smears each, five patients predicted `right` and one `wrong`."""
    table = cells({f"p{i}/{k}": (diagnosis, right if i else wrong) for i in range(6) for k in "ab"}, **options)
    return table.assign(patient_id=table["smear_id"].str[:2])


def votes_of(table, split="test"):
    return smear_level.votes_of(smear_level.voting_cells(table, split), RULE)


SMEARS = {
    "a": ("AML", ["BL/M"] * 3),
    "b": ("AML", ["BL/B"] * 3),
    "c": ("ALL", ["BL/B"] * 2 + ["PM"]),
    "d": ("ALL", ["BL/B", "PM"]),
    "e": ("APL", ["PM"] * 2),
    "f": ("APL", ["BL/M"] * 2),
}


def test_table_9a_by_hand():
    result = smear_level.table_9a(votes_of(cells(SMEARS)))
    counts = result.facts["counts"]
    assert counts.loc["AL non-APL", ["AL non-APL", "UNK"]].tolist() == [3, 1]
    assert counts.loc["APL", ["APL", "AL non-APL"]].tolist() == [1, 1] and len(counts) == 2
    assert result.facts["n"] == 6 and result.facts["accuracy"] == pytest.approx(100 * 4 / 6)
    assert result.frame.loc["AL non-APL", "AL non-APL"] == 3 and result.frame.loc["AL non-APL", "AL non-APL, %"] == 75
    numbers = result.frame.drop(columns="interval")
    assert all(pd.api.types.is_numeric_dtype(kind) for kind in numbers.dtypes), "the file holds numbers"
    values = {value.key: value.reproduced for value in result.values}
    assert values["text.table_09a.accuracy"] == pytest.approx(100 * 4 / 6)
    assert values["text.s4.APL.specificity"] == 100 and values["text.s4.APL.precision"] == 100
    shown = smear_level.as_printed(result)
    assert shown.loc["AL non-APL", "UNK"] == "25% (1)"
    assert shown.loc["APL", "correct, 95% interval"] == "none (2 patients)"
    one = smear_level.as_printed(smear_level.table_9a(votes_of(cells({"e": SMEARS["e"]}))))
    assert one.loc["APL", "correct, 95% interval"] == "none (1 patient)"


def test_table_9b_by_hand():
    table = cells(SMEARS)
    result = smear_level.table_9b(votes_of(table), table)
    assert result.facts["counts"].to_numpy().tolist() == [[1, 1, 0], [0, 1, 0]]
    values = {value.key: value.reproduced for value in result.values}
    assert values["text.AML.sensitivity"] == 50 and values["text.ALL.precision"] == 50
    assert values["text.s3_3.ALL_wrong"] == 0 and values["text.table_09b.accuracy"] == pytest.approx(200 / 3)


def test_smears_of_a_patient_are_a_cluster():
    result = smear_level.table_9a(votes_of(alike(["PM"] * 2, ["BL/M"] * 2, "APL")))
    assert (result.facts["accuracy"], result.facts["n"], result.facts["patients"]) == (pytest.approx(500 / 6), 12, 6)
    assert (result.facts["low"], result.facts["high"]) == pytest.approx(BOUNDS)
    values = {value.key: value for value in result.values}
    for key in ("text.table_09a.accuracy", "table_09a.APL.APL.percent"):
        one = values[key]
        assert (one.published, one.reproduced, one.design_effect) == (100, pytest.approx(500 / 6), pytest.approx(2.4))
        assert (one.ci_low, one.ci_high) == pytest.approx(BOUNDS)
        assert (one.n_patients, one.n_smears, one.n_cells) == (6, 12, 24), "cells that voted"
    row = result.frame.loc["APL"]
    assert (row["low"], row["high"]) == pytest.approx(BOUNDS) and row["interval"] == "Korn-Graubard over patients"
    assert smear_level.as_printed(result).loc["APL", "correct, 95% interval"].endswith("% (6 patients)")


def test_rates_of_table_9b_have_intervals_over_patients():
    table = pd.concat(
        [alike(["BL/B"] * 2, ["BL/M"] * 2, "ALL"), cells({"x": ("AML", ["BL/M"] * 2)})], ignore_index=True
    )
    values = {value.key: value for value in smear_level.table_9b(votes_of(table), table).values}
    for key, published in (("text.ALL.sensitivity", 89), ("table_09b.ALL.ALL.percent", 89)):
        assert (values[key].ci_low, values[key].ci_high) == pytest.approx(BOUNDS) and values[key].published == published
    assert values["text.ALL.precision"].reproduced == 100
    # All ten smears of five patients: each patient is one trial, 0.025^(1/5).
    assert values["text.ALL.precision"].ci_low == pytest.approx(100 * 0.025**0.2)
    assert values["text.AML.sensitivity"].interval == "" and values["text.AML.sensitivity"].n_patients == 1
    assert values["text.s3_3.ALL_wrong"].reproduced == 2 and values["text.s3_3.ALL_wrong"].ci_low is None


@pytest.mark.parametrize("unknown", [["a", "e"], list("abcdef")])
def test_smears_without_a_label_are_judged_by_nothing_and_counted(unknown):
    table = cells(SMEARS)
    table.loc[table["smear_id"].isin(unknown), "cell_type"] = ""
    votes = votes_of(table)
    assert votes["reference"].isna().sum() == len(unknown) and len(votes) == 6
    result = smear_level.table_9a(votes)
    if len(unknown) == 6:
        assert result == Unavailable("no testing smear has labelled cells")
        return
    assert result.facts["n"] == 4 and result.facts["unlabelled"] == 2
    assert result.facts["aside"] == " 2 smears without a labelled cell are left out."
    assert smear_level.table_9a(votes_of(cells(SMEARS))).facts["aside"] == ""
    # The diagnosis judges them all the same.
    assert smear_level.end_to_end(votes).facts["n"] == 6


@pytest.mark.parametrize("empty", [np.nan, ""])
def test_smears_without_a_diagnosis_are_judged_by_no_verdict_and_counted(empty):
    table = cells(SMEARS)
    table.loc[table["smear_id"].isin(["a", "d"]), "diagnosis"] = empty
    votes = votes_of(table)
    whole = smear_level.end_to_end(votes)
    # Without a and d: b is wrong, c and e are right, f is wrong.
    assert (whole.facts["n"], whole.facts["accuracy"], whole.facts["undiagnosed"]) == (4, 50, 2)
    assert whole.facts["aside"] == " 2 smears without a diagnosis are left out."
    sites = smear_level.by_site(votes)
    assert sites.frame.set_index("diagnosis").loc["all", ["correct", "smears"]].tolist() == [2, 4]
    assert set(sites.frame["diagnosis"]) == {"all", "ALL", "AML", "APL"} and sites.facts["undiagnosed"] == 2
    # Labels, not the diagnosis, judge Table 9A; module 2 saw a without a diagnosis, and b and c with one.
    assert smear_level.table_9a(votes).facts["n"] == 6
    second = smear_level.table_9b(votes, table).facts
    assert (second["n"], second["undiagnosed"]) == (2, 1)
    assert second["aside"] == " 1 smear without a diagnosis is left out."
    nobody = votes_of(table.assign(diagnosis=empty))
    for result in (smear_level.end_to_end(nobody), smear_level.by_site(nobody)):
        assert result == Unavailable("no smear has a diagnosis to compare the verdict with")
    assert smear_level.end_to_end(votes_of(cells(SMEARS))).facts["aside"] == ""


def test_where_there_is_no_module_2_it_is_said_what_counts_as_correct():
    said = " AL non-APL counts as correct for AML and ALL: there is no module 2."
    for made in (smear_level.end_to_end, smear_level.by_site):
        assert made(votes_of(cells(SMEARS, module_2=False))).facts["merged"] == said
        assert made(votes_of(cells(SMEARS))).facts["merged"] == ""


def test_counts_say_who_stands_behind_them():
    votes = votes_of(alike(["PM"] * 2, ["BL/M"] * 2, "APL"))
    values = {value.key: value for value in smear_level.table_9a(votes).values}
    one = values["table_09a.APL.APL"]
    assert (one.reproduced, one.n_patients, one.n_smears, one.n_cells, one.ci_low) == (10, 6, 12, 24, None)


def test_table_9b_says_why_it_is_not_there():
    table, alone = cells(SMEARS), cells(SMEARS, module_2=False)
    nothing = smear_level.voting_cells(table, "train")
    assert smear_level.table_9b(nothing, table).reason.startswith(
        "there is no vote of module 2: no cell of the training"
    )
    assert "two classes are needed" in smear_level.table_9b(votes_of(alone), alone).reason
    some = cells({"a": SMEARS["a"]})
    assert "none of ALL" in smear_level.table_9b(votes_of(some), some).reason
    with pytest.raises(ValueError, match="module 2"):
        smear_level.table_9b(votes_of(alone), table)


def test_only_eligible_cells_vote():
    table = cells(SMEARS)
    table["eligible"] = table["smear_id"].isin(["a", "e"])
    assert votes_of(table)["smear_id"].tolist() == ["a", "e"]
    reason = smear_level.voting_cells(table.assign(eligible=False), "test")
    assert reason.reason.startswith("no cell of the testing split votes")
    assert smear_level.table_9a(smear_level.votes_of(reason, RULE)) == reason


def test_tables_of_a_perfect_system_are_the_papers():
    table = cells(
        {f"a{i}": ("AML", ["BL/M"] * 3) for i in range(30)} | {f"b{i}": ("ALL", ["BL/B"] * 3) for i in range(27)}
    )
    votes = votes_of(table)
    nine_a, nine_b = smear_level.table_9a(votes).facts, smear_level.table_9b(votes, table).facts
    assert nine_a["counts"].loc["AL non-APL", "AL non-APL"] == 57
    assert nine_b["counts"].to_numpy().tolist() == [[30, 0, 0], [0, 27, 0]]
    # 57 of 57 patients: not 100 to 100, but Clopper and Pearson's 0.025^(1/57).
    assert (nine_b["low"], nine_b["high"]) == (pytest.approx(100 * 0.025 ** (1 / 57)), 100)
    assert smear_level.end_to_end(votes).facts["counts"].loc["ALL", "ALL"] == 27


def test_end_to_end_shows_what_occurs():
    result = smear_level.end_to_end(votes_of(cells(SMEARS)))
    assert result.facts["accuracy"] == 50 and result.values[0].key == "end_to_end.accuracy"
    assert list(result.facts["counts"].index) == ["APL", "AML", "ALL"]
    assert list(result.facts["counts"].columns) == ["APL", "AML", "ALL", "unknown"]
    few = smear_level.end_to_end(votes_of(cells({"s": SMEARS["a"]}, module_2=False)))
    assert few.facts["counts"].to_dict() == {"AL non-APL": {"AL non-APL": 1}}
    assert few.facts["ci"] == "1 patient: too few for an interval"
    assert few.frame.loc["AL non-APL", "interval"] == "none: fewer than 5 patients"
    assert isinstance(smear_level.end_to_end(votes_of(cells(SMEARS).iloc[:0])), Unavailable)


def test_end_to_end_counts_a_patients_smears_together():
    result = smear_level.end_to_end(votes_of(alike(["BL/B"] * 2, ["PM"] * 2, "ALL")))
    values = {value.key: value for value in result.values}
    for key in ("end_to_end.accuracy", "end_to_end.ALL"):
        assert (values[key].ci_low, values[key].ci_high) == pytest.approx(BOUNDS) and values[key].n_smears == 12


def test_figure_4_of_separated_smears():
    votes = votes_of(cells({"a": ("APL", ["PM"] * 4), "b": ("AML", ["BL/M"] * 3 + ["PM"])}, "train"), "train")
    result = smear_level.figure_4(votes)
    assert result.facts["auc"] == 1 and result.facts["n"] == 2 and result.facts["inside"] == "inside"
    assert (result.facts["low"], result.facts["high"]) == (25, 75)
    values = {v.key: v for v in result.values}
    assert values["text.threshold"].reproduced == 50
    # The range of equally best thresholds is no interval of a sample.
    assert values["text.threshold"].ci_low is None
    assert "all of one class" in smear_level.figure_4(votes.iloc[:1]).reason
    assert smear_level.figure_4(Unavailable("no cross-fitting")).reason == "no cross-fitting"


def overlapping(patients=20, each=2):
    """Training votes of APL and AML smears whose shares overlap; a patient's smears are alike."""
    rng = np.random.default_rng(1)
    smears = {}
    for i in range(patients):
        diagnosis, right, wrong = ("APL", "PM", "BL/M") if i % 2 else ("AML", "BL/M", "PM")
        good = int(rng.integers(2, 9))
        for k in range(each):
            smears[f"p{i:02d}/{k}"] = (diagnosis, [right] * good + [wrong] * (8 - good))
    table = cells(smears, "train")
    return votes_of(table.assign(patient_id=table["smear_id"].str[:3]), "train")


def test_perfect_separation_is_no_certainty():
    votes = votes_of(
        cells({f"{d}{i}": (d, [p] * 3) for i in range(6) for d, p in (("APL", "PM"), ("AML", "BL/M"))}, "train"),
        "train",
    )
    result = smear_level.figure_4(votes)
    values = {v.key: v for v in result.values}
    for key in ("text.roc.auc", "roc.hand_till"):
        assert (values[key].reproduced, values[key].ci_low, values[key].ci_high) == pytest.approx(
            (1, 0.025 ** (1 / 6), 1)
        )
        assert (values[key].n_patients, values[key].n_smears, values[key].n_cells) == (12, 12, 36)
    assert result.facts["ci"] == "95% interval over 12 patients: 0.541 to 1.000"
    assert (result.frame["high"].eq(1) & result.frame["low"].lt(0.6)).all(), "six patients a class"


def test_figure_4s_intervals_leave_out_one_patient_at_a_time():
    votes = overlapping()
    result = smear_level.figure_4(votes)
    values = {v.key: v for v in result.values}
    apl = votes["reference"].eq("abnormal_promyelocyte")
    shares = votes["share_abnormal_promyelocyte"].to_numpy()

    def area(rows):
        # Two classes whose shares sum to 1: both classes' curves and Hand and Till's M are this one area.
        return roc_auc_score(apl[rows], shares[rows])

    patients = votes["patient_id"].unique()
    without = np.array([area(votes["patient_id"].ne(one).to_numpy()) for one in patients])
    error = np.sqrt(19 / 20 * ((without - without.mean()) ** 2).sum())
    a = area(np.ones(len(votes), bool))
    half = stats.t.ppf(0.975, 19) * error / (a * (1 - a))
    ends = 1 / (1 + np.exp(-(np.log(a / (1 - a)) + np.array([-half, half]))))
    for key in ("text.roc.auc", "roc.hand_till"):
        assert (values[key].reproduced, values[key].ci_low, values[key].ci_high) == pytest.approx((a, *ends)), key
        assert values[key].interval == "jackknife over patients, logit" and values[key].n_patients == 20
    twice = {v.key: v for v in smear_level.figure_4(overlapping(each=4)).values}["text.roc.auc"]
    assert (twice.ci_low, twice.ci_high) == pytest.approx(tuple(ends)), "more smears of the same patients tell no more"
    assert {"roc.auc.abnormal_promyelocyte", "roc.auc.blast"} <= set(values)


def test_cross_fitted_votes_have_keys_of_their_own_and_the_threshold_its_bootstrap():
    votes = overlapping()
    votes.loc[0, "reference"] = np.nan
    bootstrapped = Interval(0.4, 0.3, 0.6, "percentile bootstrap over patients", 20)
    result = smear_level.figure_4(votes, printed=False, threshold=bootstrapped)
    values = {v.key: v for v in result.values}
    assert [*values][:3] == ["roc.cross_fitted.auc", "threshold.cross_fitted", "roc.cross_fitted.hand_till"]
    assert not [key for key in values if key.startswith("text.") or values[key].published is not None]
    chosen, facts = values["threshold.cross_fitted"], result.facts
    assert (chosen.ci_low, chosen.ci_high, chosen.n_patients, chosen.unit) == (30, 60, 20, "%")
    assert chosen.reproduced == pytest.approx((facts["low"] + facts["high"]) / 2)
    assert facts["unlabelled"] == 1 and facts["aside"] == " 1 smear without a labelled cell is left out."


def test_the_papers_threshold_is_judged_by_the_patients_interval_where_there_is_one():
    votes = votes_of(
        cells({"a": ("APL", ["PM"] * 9 + ["BL/M"]), "b": ("AML", ["BL/M"] * 9 + ["PM"])}, "train"), "train"
    )
    facts = smear_level.figure_4(votes).facts
    assert (facts["inside"], facts["range"]) == ("inside", "the equally best thresholds, 10.0% to 90.0%")
    elsewhere = Interval(0.3, 0.2, 0.4, "percentile bootstrap over patients", 7)
    facts = smear_level.figure_4(votes, threshold=elsewhere).facts
    assert (facts["inside"], facts["range"]) == ("outside", "the 95% interval over 7 patients, 20.0% to 40.0%")
    assert smear_level.figure_4(votes, threshold=Interval(0.3, np.nan, np.nan, "", 2)).facts["inside"] == "inside"


def test_smears_by_site_are_counted_by_hand():
    votes = pd.DataFrame(
        {
            "site": ["a", "a", "a", "b"],
            "diagnosis": ["AML", "AML", "ALL", "AML"],
            "verdict": ["AML", "unknown", "AML", "AML"],
            "expected": ["AML", "AML", "ALL", "AML"],
            "patient_id": ["p", "q", "r", "s"],
        }
    )
    result = smear_level.by_site(votes)
    table = result.frame.set_index(["site", "diagnosis"])
    assert table.loc[("a", "AML"), ["correct", "unknown", "smears"]].tolist() == [1, 1, 2]
    assert table.loc[("a", "ALL"), "accuracy"] == 0 and table.loc[("b", "AML"), "accuracy"] == 100
    assert table.loc[("a", "all"), ["correct", "smears"]].tolist() == [1, 3] and ("b", "all") not in table.index
    assert table["low"].isna().all() and table["interval"].eq("none: fewer than 5 patients").all()
    assert {v.key: v.reproduced for v in result.values} == {
        "site.a.accuracy": pytest.approx(100 / 3), "site.a.ALL": 0, "site.a.AML": 50,
        "site.b.accuracy": 100, "site.b.AML": 100,
    }  # fmt: skip
    own = smear_level.by_site(votes_of(alike(["BL/B"] * 2, ["PM"] * 2, "ALL"))).frame.iloc[0]
    assert (own["low"], own["high"], own["patients"]) == (*(pytest.approx(end) for end in BOUNDS), 6)


def test_coverage_never_rises_with_the_threshold_and_accuracy_is_of_the_decided():
    rng = np.random.default_rng(3)
    table = cells({f"s{i}": ("AML", [str(rng.choice(["PM", "BL/M", "LY"])) for _ in range(9)]) for i in range(20)})
    curve = clinical_utility.coverage(table, np.linspace(0.35, 0.95, 7)).frame
    assert (np.diff(curve["decided"]) <= 0).all()
    one = clinical_utility.coverage(cells({"c": SMEARS["c"], "f": SMEARS["f"]}), [0.5, 0.7]).frame
    assert (
        one["decided"].tolist() == [1, 0.5]
        and one["correct"].tolist() == [0.5, 0]
        and one["accuracy"].tolist() == [0.5, 0]
    )


def test_cells_needed_reaches_the_whole_vote_and_one_cell_is_never_unknown():
    rng = np.random.default_rng(5)
    smears = {f"s{i}": ("AML", [str(rng.choice(["BL/M", "PM"], p=[0.7, 0.3])) for _ in range(11)]) for i in range(40)}
    table = cells(smears)
    whole = votes_of(table)["verdict"].eq("AML").mean()
    result = clinical_utility.cells_needed(table, RULE, np.random.default_rng(0), sizes=[1, 3, 11, 50])
    curve = result.frame.set_index("cells")
    assert curve.loc[11, "correct"] == pytest.approx(whole)
    assert curve.loc[50, "correct"] == curve.loc[11, "correct"]
    assert curve["full"].tolist() == [40, 40, 40, 0]
    assert curve.loc[1, "unknown"] == 0
    # One cell is correct as often as cells are; eleven average the noise away.
    assert curve.loc[1, "correct"] == pytest.approx((table["p1_blast"] > 0.5).mean(), abs=0.04)
    assert curve.loc[1, "correct"] < curve.loc[3, "correct"] < curve.loc[11, "correct"]
    assert {v.key: v.reproduced for v in result.values}["cells_needed.11.correct"] == pytest.approx(100 * whole)
    with pytest.raises(ValueError, match="one cell"):
        clinical_utility.cells_needed(table, RULE, rng, sizes=[0], repeats=1)
