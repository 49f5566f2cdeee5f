"""Sentences: no verdict that the numbers do not carry."""

import pandas as pd
import pytest

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.paper.values import Result
from alnet_lib.report import sentences


def ablation(**changed):
    row = {
        "variant": "stain augmentation", "where": "external", "measure": "module 1, accuracy of cells", "n": 100,
        "plain": 80.0, "other": 85.0, "difference": 5.0, "low": 2.0, "high": 8.0, "patients": 12, "seeds": 5,
        "lowest": 1.0, "highest": 9.0,
    }  # fmt: skip
    return sentences.ablation_sentences(Result(pd.DataFrame([row | changed])))[0]


def test_an_ablation_is_judged_where_interval_and_trainings_agree():
    assert ablation() == (
        "Stain augmentation, module 1, accuracy of cells (external): 85.0% against 80.0%, difference +5.0 (95% "
        "interval over 12 patients +2.0 to +8.0; 5 trainings +1.0 to +9.0): better than without the change."
    )
    worse = ablation(other=75.0, difference=-5.0, low=-8.0, high=-2.0, lowest=-9.0, highest=-1.0)
    assert worse.endswith("worse than without the change.")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"seeds": 1, "lowest": 5.0, "highest": 5.0}, "one training, no verdict"),
        ({"low": -1.0}, "no verdict: the interval includes 0"),
        ({"lowest": -0.5}, "no verdict: the trainings do not agree"),
        ({"low": float("nan"), "high": float("nan"), "patients": 3}, "no verdict without an interval"),
    ],
)
def test_an_ablation_has_no_verdict_where_chance_would_do(changed, reason):
    text = ablation(**changed)
    assert text.endswith(f"): {reason}.") and "nan" not in text and "better" not in text


def test_what_is_unavailable_has_no_sentence():
    nothing = Unavailable("no")
    assert sentences.ablation_sentences(nothing) == sentences.power_sentences(nothing) == []


def test_power_says_what_would_be_missed():
    nan = float("nan")
    rows = [
        {"question": "cells, testing", "patients": 24, "smallest difference": 6.54, "unit": "percentage points",
         "smallest AUC": nan},
        {"question": "APL against AML", "patients": 22, "smallest difference": 0.22, "unit": "AUC",
         "smallest AUC": 0.72},
        {"question": "APL against AML", "patients": 9, "smallest difference": nan, "unit": "AUC", "smallest AUC": nan},
    ]  # fmt: skip
    first, area, none = sentences.power_sentences(Result(pd.DataFrame(rows)))
    missed = "would be missed in more than one of five such studies of"
    assert first == f"Cells, testing: less than 6.5 percentage points {missed} 24 patients."
    assert area == f"APL against AML: an AUC below 0.72, 0.22 above the 0.50 compared with, {missed} 22 patients."
    assert none == f"APL against AML: even the largest difference possible {missed} 9 patients."


COUNTS = {
    "printed": 100, "measurable": 70, "recomputed": 40, "reproduced": 50, "agrees": 7, "differs": 3, "by_design": 15,
    "uninformative": 25, "unavailable": 20, "not_measurable": 30,
}  # fmt: skip


def test_coverage_names_every_verdict():
    text = sentences.coverage_sentence(COUNTS)
    for part in ("**100** numbers", "30 are settings", "20 this run could not give", "50 were measured",
                 "7 agree and 3", "15 are as the cohort", "25 are no evidence", "40 follow"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(
    ("kind", "said"), [("synthetic", "are synthetic"), ("public", "not the paper's"), ("private", "the paper's own")]
)
def test_evidence_counts_only_numbers_that_could_have_differed(kind, said):
    audit = Result(pd.DataFrame(), (), {"findings": 4, "checks": 60})
    text = sentences.evidence_sentence(COUNTS, audit, kind)
    assert "10 of them are evidence" in text and "4 of 60 checks" in text and said in text
