"""APL against AML per patient, against numbers by hand."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import MODULE_1_CLASSES
from alnet_lib.evaluation import apl


def cells(rows):
    """Cells of rows: columns as `names`, of which the fifth and sixth are probabilities."""
    names = [
        "patient_id",
        "diagnosis",
        "split",
        "eligible",
        "promyelocyte",
        "blast",
        "n_signed",
        "n_promyelocyte_signed",
    ]
    frame = pd.DataFrame(rows, columns=names)
    for name in MODULE_1_CLASSES:
        frame[f"p1_{name}"] = 0.0
    frame["p1_abnormal_promyelocyte"], frame["p1_blast"] = frame["promyelocyte"], frame["blast"]
    frame["p1_lymphocyte"] = 1 - frame["promyelocyte"] - frame["blast"]
    return frame.assign(image_id=[f"i{n}" for n in range(len(frame))])


def test_later_patients_of_the_hospital_are_not_called_those_of_another():
    def said(*external):
        sites = ["JHU", "JHU", *external]
        return apl.external_patients(
            pd.DataFrame({"site": sites, "split": ["train", "test"] + ["external"] * len(external)})
        )

    assert said("JHU-prospective") == "later patients of the same hospital"
    assert said("Barcelona") == said("JHU-prospective", "Barcelona") == said("Bern-prospective") == "external patients"
    assert said("JHU") == said() == "external patients"


ROWS = [
    ("a", "APL", "test", True, 0.9, 0.1, 100, 50),
    ("a", "APL", "test", True, 0.2, 0.6, 100, 50),
    ("a", "APL", "test", False, 0.0, 1.0, 100, 50),
    ("b", "AML", "test", True, 0.0, 0.0, 100, 20),
    ("c", "AML", "test", False, 0.9, 0.1, 100, 60),
    ("d", "control", "test", True, 0.9, 0.1, 100, 0),
]


def test_scores_by_hand():
    features = pd.Series([0.6, 0.8, 0.1], index=[0, 1, 3])
    found = apl.scores(cells(ROWS), features, pd.Series({"a": 0.7})).set_index("patient_id")
    assert list(found.index) == ["a", "b", "c"], "controls are not compared"
    a = found.loc["a"]
    assert (a["vote"], a["n_cells"], a["learned"], a["fraction"], a["apl"]) == (0.5, 2, 0.7, 0.5, True)
    assert a["probability"] == pytest.approx((0.9 + 0.25) / 2) and a["features"] == pytest.approx(0.7)
    assert found.loc["b", "probability"] == 0.5, "a cell of neither class speaks for neither"
    assert found.loc["c", ["vote", "probability"]].isna().all()
    assert found.loc["c", ["n_cells", "fraction"]].tolist() == [0, 0.6]


def test_scores_that_are_unavailable_have_no_column():
    nothing = Unavailable("no features")
    found = apl.scores(cells(ROWS).drop(columns=["n_signed", "n_promyelocyte_signed"]), nothing, nothing)
    assert not {"features", "learned", "fraction"} & set(found)


def patients(vote, fraction, is_apl, split="external"):
    about = {"patient_id": [f"p{i}" for i in range(len(vote))], "split": split, "vote": vote, "fraction": fraction}
    return pd.DataFrame(about).assign(apl=is_apl)


def test_curves_by_hand():
    # Of the four pairs of an APL and an AML patient the vote orders 3 correctly; without p2 it knows 2 of 2.
    own = patients([0.9, 0.4, 0.5, 0.1], [0.2, np.nan, 0.5, 0.1], [True, True, False, False])
    result = apl.curves(own, "external")
    table = result.frame.set_index("score")
    assert table.loc[apl.SCORES["vote"], ["AUC", "APL patients", "AML patients"]].tolist() == [0.75, 2, 2]
    assert table.loc[apl.SCORES["fraction"], ["AUC", "APL patients", "AML patients"]].tolist() == [0.5, 1, 2]
    assert [value.key for value in result.values] == ["apl.external.vote.auc", "apl.external.fraction.auc"]
    assert table["interval"].eq("none: fewer than 5 patients").all() and table["low"].isna().all()
    lines = apl.each(result)
    assert [line["auc"] for line in lines] == [0.75, 0.5] and len(result.facts["curves"]) == 2
    assert lines[0]["ci"] == "4 patients: too few for an interval"


def test_a_perfect_auc_of_twelve_patients_leaves_room_below_one():
    # Four APL patients, all above: the smaller group counts as four trials, so the lower end is 0.025^(1/4).
    truth = np.arange(12) < 4
    own = patients(np.where(truth, 0.9, 0.1), np.linspace(1, 0, 12), truth).assign(n_cells=10)
    result = apl.curves(own, "external")
    row, value = result.frame.iloc[0], result.values[0]
    assert row["AUC"] == 1 and row["high"] == 1 and row["low"] == pytest.approx(0.025**0.25)
    assert (value.reproduced, value.ci_low, value.unit) == (1, pytest.approx(0.025**0.25), "")
    assert (value.n_patients, value.n_cells, value.interval) == (12, 120, "exact at the boundary, over patients")
    assert apl.each(result)[0]["ci"] == "95% interval over 12 patients: 0.40 to 1.00"
    curve, low, high = result.facts["curves"][apl.SCORES["vote"]]
    assert (curve.auc, low, high) == (1, row["low"], 1)


def test_curves_need_both_diagnoses():
    own = patients([0.9, 0.4], [0.2, 0.1], [True, True])
    found = apl.curves(own, "external")
    assert found == Unavailable("it needs external APL and AML patients") and apl.each(found) == []
    assert "testing split" in apl.curves(own, "test").reason


def test_differences_by_hand():
    # AUC of the vote 1, of the baseline 0.75, on the same four patients; the fifth has no baseline.
    own = patients([0.9, 0.8, 0.5, 0.1, 0.0], [0.9, 0.4, 0.5, 0.1, np.nan], [True, True, False, False, True])
    result = apl.differences(own, "external")
    row = result.frame.iloc[0]
    assert (row["score"], row["difference"], row["patients"]) == (apl.SCORES["vote"], 0.25, 4)
    assert np.isnan(row["low"]) and np.isnan(row["p (DeLong)"])
    assert [(value.key, value.unit) for value in result.values] == [("apl.external.vote.difference", "")]
    for lacking in (own.drop(columns="fraction"), own.iloc[[0, 2, 3]]):
        assert apl.differences(lacking, "external").reason.startswith("there is no baseline")


def test_the_difference_of_many_patients_has_an_interval_and_a_p_value():
    rng = np.random.default_rng(1)
    truth = np.arange(60) < 25
    own = patients(truth + rng.normal(0, 0.7, 60), truth + rng.normal(0, 2, 60), truth)
    line = apl.each(apl.differences(own, "external"))[0]
    assert line["low"] < line["difference"] < line["high"] and 0 < line["p (DeLong)"] < 1
    assert line["ci"].startswith("95% interval over 60 patients: ")
