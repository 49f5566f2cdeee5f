"""Every kind of rule catches an error that is planted and passes what is right."""

import re

import pandas as pd
import pytest

from alnet_lib import paper
from alnet_lib.paper.audit import audit, recomputed, summary
from alnet_lib.paper.audit import findings as wrong_checks
from alnet_lib.paper.rules.check import slip

PRINTED = paper.record()["printed"].to_dict()

PLANTED = [
    # rule, checked id that agrees as printed, id that is falsified, its false value
    ("total equals its rows", "table_01.total.patients", "table_01.total.patients", "340"),
    ("total equals its rows", "table_06.blast.testing", "table_06.myeloid_blast.testing", "775"),
    ("splits equal their parts", "table_06.lymphocyte.testing", "table_02.lymphocyte.images_test", "313"),
    ("splits equal their parts", "table_06.abnormal_promyelocyte.smears_test", "table_09a.APL.APL", "15"),
    ("one quantity, one value", "table_11.monocyte.proposed", "table_11.monocyte.proposed", "97.7"),
    ("a row makes 100%", "table_04.lymphocyte.lymphocyte", "table_04.lymphocyte.monocyte", "9"),
    ("a count attains the percentage", "table_09b.ALL.ALL.percent", "table_09b.ALL.ALL.percent", "91"),
    ("rates follow from the confusion matrix", "text.ALL.precision", "table_09b.AML.ALL", "2"),
    ("rates follow from the confusion matrix", "text.module_2.accuracy", "text.module_2.accuracy", "91.5"),
    ("feature vectors follow from the architecture", "text.vgg16.features", "text.vgg16.features", "25,008"),
    ("upsampling targets are reachable", "table_06.footnote.module_1_target", "text.versions", "one"),
    ("iterations against images", "table_05.vgg16.training_minutes", "table_05.vgg16.training_minutes", "0.02"),
    ("times against each other", "table_03.five_folds.vgg16.classification_seconds", "", ""),
    ("like is compared with like", "table_12.vgg16.accuracy", "", ""),
    ("tables bear out the words", "table_12.LDA.accuracy", "table_12.LDA.accuracy", "83.4"),
]


def findings(printed: dict[str, str], rule: str) -> pd.DataFrame:
    found = audit(printed)
    return found[found["rule"].eq(rule) & ~found["agrees"]]


@pytest.mark.parametrize(("rule", "id", "falsified", "value"), [case for case in PLANTED if case[2]])
def test_a_planted_error_is_found_and_what_is_printed_passes(rule, id, falsified, value):
    assert falsified in PRINTED and PRINTED[falsified] != value
    before = findings(PRINTED, rule)
    after = findings({**PRINTED, falsified: value}, rule)
    caught = set(map(tuple, after[["id", "how"]].to_numpy())) - set(map(tuple, before[["id", "how"]].to_numpy()))
    assert caught, f"{rule}: {falsified} = {value} went unnoticed"
    if id in PRINTED:
        assert id not in set(before["id"])
        assert id in {checked for checked, _ in caught}


def test_times_of_one_training_are_compared():
    rule, id = "times against each other", "table_03.five_folds.vgg16.classification_seconds"
    assert id not in set(findings(PRINTED, rule)["id"])
    assert id in set(findings({**PRINTED, id: "900"}, rule)["id"])
    right = {**PRINTED, "table_03.five_folds.vgg16.training_minutes": "33.9"}
    assert "table_03.five_folds.vgg16.training_minutes" not in set(findings(right, rule)["id"])


def test_validation_accuracies_beside_testing_accuracies_are_found_and_testing_ones_pass():
    rule = "like is compared with like"
    assert "table_12.vgg16.accuracy" in set(findings(PRINTED, rule)["id"])
    right = {**PRINTED, "table_12.vgg16.accuracy": PRINTED["table_03.hold_out.vgg16.testing"]}
    assert "table_12.vgg16.accuracy" not in set(findings(right, rule)["id"])


def test_every_kind_is_planted_and_all_kinds_are_summarised():
    kinds = set(audit()["rule"])
    assert kinds == {rule for rule, *_ in PLANTED}
    counted = summary(audit())
    assert set(counted.index) == kinds
    assert counted["checks"].sum() == len(audit())
    severities = counted[["typographical", "unexplained", "affects a conclusion"]].sum(axis=1)
    assert (severities == counted["findings"]).all()


def test_findings_carry_expected_printed_difference_and_severity():
    found = audit().set_index("id")
    total = found.loc["table_02.total.smears_test"]
    assert (total["expected"], total["printed"], total["difference"]) == (134, 108, -26)
    assert found.loc["text.vgg19.features", "severity"] == "typographical"
    agrees = found[found["agrees"]]
    assert agrees["severity"].eq("").all() and found[~found["agrees"]]["severity"].ne("").all()


@pytest.mark.parametrize(
    ("printed", "needed", "expected"),
    [
        ("100,325", 100352.0, True),
        ("99.9", 99.0, False),
        ("9.42", 94.2, True),
        ("623", 624.0, True),
        ("108", 134.0, False),
        ("5", 4.0, False),
        ("94.2", 94.2, False),
        ("3.0", float("nan"), False),
    ],
)
def test_slips_of_the_pen(printed, needed, expected):
    assert slip(printed, needed) == expected


def test_recomputed_numbers_by_hand():
    follows = recomputed()
    assert follows["text.smears"] == 624 + 134
    assert follows["table_02.total.images_train"] == 12407
    # 769 + 839 of 774 + 1,023 testing images (Table 7B with the counts of Table 6)
    assert follows["text.module_2.accuracy"] == pytest.approx(100 * (769 + 839) / 1797, abs=0.1)
    assert follows["text.table_09b.accuracy"] == pytest.approx(100 * 54 / 57)
    assert follows["text.vgg16.features"] == 512 * 7 * 7


def test_findings_are_the_checks_that_fail_and_are_counted():
    found, every = wrong_checks(), audit()
    assert (
        found.facts["checks"] == len(every) and found.facts["findings"] == len(found.frame) == (~every["agrees"]).sum()
    )
    assert found.facts["affecting"] == found.frame["severity"].eq("affects a conclusion").sum() > 0


def test_findings_are_named_in_words():
    found = paper.findings_in_words(paper.findings().frame, paper.record())
    told = found["printed number"].tolist() + found["what should hold"].tolist()
    assert len(found) == paper.findings().facts["findings"]
    assert not [words for words in told if re.search(r"[a-z]_[a-z\d]|text\.", words)]
