"""A verdict says what a number tells about the paper, and no more."""

import math

import pandas as pd
import pytest

from alnet_lib import paper
from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.cohorts.synthetic.composition import composition
from alnet_lib.evaluation.audit import composition as audit
from alnet_lib.paper import compare, coverage, scorecard
from alnet_lib.paper.scorecard import VERDICTS
from alnet_lib.paper.values import Value
from alnet_lib.statistics.intervals import Interval

ACCURACY = "text.module_1.accuracy"  # 94.2% in the paper


def item(*values, id="table_08", **details):
    return {"id": id, "status": "reproduced", "reason": "", "values": list(values), **details}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (85.0, 95.0, "agrees"),
        (85.0, 94.16, "agrees"),  # 94.2 is anything from 94.15 to 94.25
        (85.0, 94.1, "differs"),
        (75.0, 95.0, "agrees"),  # 20 points wide, the widest that may agree
        (74.9, 95.0, "uninformative"),
        (58.0, 98.0, "uninformative"),  # 40 points agree with anything ...
        (50.0, 90.0, "differs"),  # ... but leave 94.2 out
        (None, None, "uninformative"),
        (float("nan"), float("nan"), "uninformative"),
    ],
)
def test_a_rate_on_a_private_cohort(low, high, expected):
    verdict = compare(ACCURACY, 90.0, low, high, kind="private", n_patients=12)
    assert verdict.verdict == expected and verdict.difference == pytest.approx(-4.2)


def test_an_exact_hit_without_an_interval_is_no_agreement():
    verdict = compare(ACCURACY, 94.2, kind="private", n_patients=3)
    assert verdict.verdict == "uninformative" and verdict.near == "equal"
    assert verdict.why == "3 patients: too few for an interval"


def test_an_auc_may_be_a_fifth_wide():
    assert compare("text.roc.auc", 0.95, 0.85, 1.0, kind="private").verdict == "agrees"
    assert compare("text.roc.auc", 0.85, 0.79, 1.0, kind="private").verdict == "uninformative"


@pytest.mark.parametrize("kind", ["synthetic", "public"])
@pytest.mark.parametrize(("low", "high", "near"), [(93.0, 95.0, "inside"), (80.0, 85.0, "outside")])
def test_no_rate_on_other_patients_speaks_for_or_against_the_paper(kind, low, high, near):
    verdict = compare(ACCURACY, 0.5 * (low + high), low, high, kind=kind, n_patients=100)
    assert (verdict.verdict, verdict.near) == ("uninformative", near)


def test_the_composition_is_by_design_on_the_synthetic_cohort_only():
    found = {kind: compare("text.images", 16450, kind=kind).verdict for kind in ("synthetic", "public", "private")}
    assert found == {"synthetic": "by design", "public": "uninformative", "private": "agrees"}
    assert compare("text.images", 16449, kind="private").verdict == "differs"


def test_a_time_is_never_evidence():
    id = "table_03.hold_out.vgg16.training_minutes"
    assert compare(id, 6.78, kind="private").verdict == "uninformative"


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_what_was_not_measured_is_unavailable(missing):
    verdict = compare(ACCURACY, missing, kind="private")
    assert (verdict.verdict, verdict.near, verdict.difference) == ("unavailable", "", None)


def test_refused_are_an_interval_upside_down_an_unknown_number_and_an_unknown_kind():
    with pytest.raises(ValueError, match="upside down"):
        compare(ACCURACY, 90, 95, 85, kind="private")
    with pytest.raises(KeyError):
        compare("text.never_printed", 90, kind="private")
    with pytest.raises(ValueError, match="kind"):
        compare(ACCURACY, 90, kind="invented")


def test_the_twin_reproduces_numbers_of_the_composition_and_nothing_else(tmp_path):
    """What the verdict `by design` covers is what composition.py gives: the same numbers, at the printed values."""
    cohort = Cohort("synthetic", "synthetic", tmp_path, composition(1.0))
    values = [*audit.table_1(cohort).values, *audit.table_2(cohort).values]
    known = paper.record()
    assert len(values) > 90 and {known.loc[value.key, "about"] for value in values} == {"cohort"}
    missed = {value.key for value in values if abs(value.reproduced - known.loc[value.key, "value"]) > 0.5}
    # Totals that the paper prints and its own rows contradict; the twin has the rows.
    totals = {f"text.{name}" for name in ("smears", "s4.blast_images", "training_smears", "testing_smears")}
    totals |= {"text.training_share", "text.testing_share"}
    assert missed == totals | {"table_02.total.smears_train", "table_02.total.smears_test"}
    card = scorecard([item(*(vars(value) for value in values), id="table_02")], "synthetic")
    assert set(card.loc[card["reproduced"].notna(), "verdict"]) == {"by design"}


def test_counts_by_verdict_add_up_to_the_printed_numbers():
    values = [
        {"key": ACCURACY, "reproduced": 93.0, "ci_low": 90.0, "ci_high": 95.0, "n_patients": 40},
        {"key": "table_08.sensitivity.monocyte", "reproduced": 60.0, "ci_low": 40.0, "ci_high": 80.0},
        {"key": "table_08.sensitivity.blast", "reproduced": 80.0, "ci_low": 50.0, "ci_high": 99.0},
        {"key": "text.images", "reproduced": 12.0},
        {"key": "table_12.LDA.accuracy", "reproduced": 80.0, "ci_low": 79.0, "ci_high": 86.0},
    ]
    for kind in ("synthetic", "public", "private"):
        card = scorecard([item(*values)], kind)
        counts = coverage(card)
        assert sum(counts[verdict.replace(" ", "_")] for verdict in VERDICTS) == counts["printed"]
        assert counts["measurable"] == counts["printed"] - counts["not_measurable"]
        together = paper.by_verdict(card)
        assert together.loc["together", "together"] == counts["printed"]
        assert together.loc["by design", "together"] == counts["by_design"]
    # 94.2 is printed in five more places, as are the others in some; so only that there are any is counted here.
    assert counts["agrees"] and counts["differs"] and counts["uninformative"] and not counts["by_design"]
    card = card.set_index("id")["verdict"]
    assert card["table_08.sensitivity.monocyte"] == "differs" and card["table_08.sensitivity.blast"] == "uninformative"
    assert card["table_12.LDA.accuracy"] == "agrees"


def test_settings_and_other_studies_are_not_measurable_and_trained_baselines_are():
    card = scorecard([], "private").set_index("id")["verdict"]
    for id in ("text.batch_size", "table_10.Matek.detection", "text.introduction.deaths"):
        assert card[id] == "not measurable"
    for id in ("table_12.LDA.accuracy", "table_11.lymphocyte.earlier", "text.s4.lda_accuracy"):
        assert card[id] == "unavailable"


def test_what_has_not_run_is_told_from_what_a_cohort_cannot_give():
    gone = item(id="table_07b") | {"status": "unavailable", "reason": "no B-lymphoblast"}
    card = scorecard([gone], "synthetic").set_index("id")["note"]
    assert card["table_07b.myeloid_blast.myeloid_blast"] == "no B-lymphoblast"
    assert card["table_09a.APL.APL"] == "not run yet: 04_smear_roc" == card["text.table_09a.accuracy"]
    made = [item(id=id) for id in paper.ITEMS]
    assert scorecard(made, "synthetic").set_index("id")["note"]["table_09a.APL.APL"].startswith("this run measured no")


def test_the_card_has_who_stands_behind_a_number():
    interval = Interval(0.845, 0.808, 0.887, "Korn-Graubard over patients", 24, 30, 900, 2.5)
    few = Interval(0.9, math.nan, math.nan, "", 3, 4, 50)
    values = [vars(Value.of(ACCURACY, interval)), vars(Value.of("text.module_2.accuracy", few))]
    card = scorecard([item(*values)], "private").set_index("id")
    line = card.loc[ACCURACY]
    assert (line["interval"], line["n_patients"], line["n_smears"]) == ("Korn-Graubard over patients", 24, 30)
    assert (line["n_cells"], line["design_effect"]) == (900, 2.5)
    shown = paper.readable(card.reset_index(), "private")
    shown.index = card.index
    column = shown["reproduced (95% interval over patients)"]
    assert column[ACCURACY] == "84.5 (80.8 to 88.7 over 24 patients)"
    assert column["text.module_2.accuracy"] == "90.0 (3 patients: too few for an interval)"
    assert shown.loc[ACCURACY, "verdict"] == "differs by \N{MINUS SIGN}9.7 percentage points"
    assert shown.loc[ACCURACY, "printed value"] == "printed value outside the interval"
    assert not shown.astype(str).apply(lambda texts: texts.str.contains(r"\de[+-]\d").any()).any()


@pytest.mark.parametrize(
    ("id", "name"),
    [
        ("table_08.sensitivity.blast", "Table 8: sensitivity, blasts"),
        ("table_07a.lymphocyte.monocyte", "Table 7A: lymphocytes predicted as monocytes"),
        ("table_07b.b_lymphoblast.b_lymphoblast", "Table 7B: B-lymphoblasts predicted as B-lymphoblasts"),
        ("table_03.hold_out.vgg16.last_2", "Table 3: hold-out, VGG16, last 2 blocks"),
        ("text.module_1.accuracy", "section 3.2: module 1, accuracy"),
        ("text.s4.APL.precision", "section 4: APL, precision"),
    ],
)
def test_numbers_are_named_in_words(id, name):
    assert paper.in_words(*paper.record().loc[id, ["place", "row", "column"]]) == name


def test_no_name_of_a_number_is_a_name_of_the_code():
    names = [paper.in_words(*line) for line in paper.record()[["place", "row", "column"]].itertuples(index=False)]
    assert not [name for name in names if "_" in name]


def test_a_count_is_shown_with_its_patients_and_no_word_of_an_interval():
    assert paper.wording.measured({"reproduced": 14.0, "n_patients": 3, "unit": "smears"}) == "14 (3 patients)"
    assert paper.wording.measured({"reproduced": 1.0, "n_patients": 1, "unit": "smears"}) == "1 (1 patient)"


def test_networks_are_held_against_always_naming_the_most_frequent_class():
    cells = {"lymphocyte": 10, "monocyte": 10, "reactive_lymphocyte": 10, "abnormal_promyelocyte": 10,
             "myeloid_blast": 50, "b_lymphoblast": 10}  # fmt: skip
    values = [{"key": f"table_06.{name}.testing", "reproduced": float(n)} for name, n in cells.items()]
    ends = {"vgg16": (70, 60, 80), "resnet101": (55, 45, 65), "senet154": (52, None, None)}
    values += [
        {"key": f"table_03.hold_out.{name}.testing", "reproduced": value, "ci_low": low, "ci_high": high}
        for name, (value, low, high) in ends.items()
    ]
    result = paper.above_most_frequent(scorecard([item(*values)], "synthetic"))
    said = " 1 of them cannot be judged: no interval can be given."
    assert result.facts == {"above": 1, "networks": 3, "share": 50.0, "unjudged": said}
    assert result.frame["above"].to_dict() == {"vgg16": True, "resnet101": False, "senet154": False}
    assert not paper.above_most_frequent(scorecard([], "synthetic"))


def test_main_numbers_are_rates_in_percent_that_were_measured():
    given = {ACCURACY: 91.0, "table_08.sensitivity.monocyte": 88.0, "text.images": 12.0}
    values = [{"key": key, "reproduced": value} for key, value in given.items()]
    card = scorecard([item(*values)], "synthetic")
    main = paper.main_numbers(card).frame.set_index("label")["reproduced"]
    assert main["section 3.2: module 1, accuracy"] == 91 and main["Table 8: sensitivity, monocytes"] == 88
    assert len(main) == 2 and main.notna().all()
    assert not paper.main_numbers(scorecard([], "synthetic"))


def test_an_empty_run_has_columns_of_numbers():
    card = scorecard([], "public")
    assert all(pd.api.types.is_float_dtype(card[name]) for name in ("reproduced", "n_patients", "design_effect"))
