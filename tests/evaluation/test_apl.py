"""APL against AML per patient, against numbers by hand."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import MODULE_1_CLASSES
from alnet_lib.evaluation import apl

SETTINGS = {"replicates": 50, "generator": lambda purpose: np.random.default_rng(0)}


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
    assert (a["vote"], a["cells"], a["learned"], a["fraction"], a["apl"]) == (0.5, 2, 0.7, 0.5, True)
    assert a["probability"] == pytest.approx((0.9 + 0.25) / 2) and a["features"] == pytest.approx(0.7)
    assert found.loc["b", "probability"] == 0.5, "a cell of neither class speaks for neither"
    assert found.loc["c", ["vote", "probability"]].isna().all() and found.loc["c", ["cells", "fraction"]].tolist() == [
        0,
        0.6,
    ]


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
    asked = []
    result = apl.curves(
        own, "external", replicates=20, generator=lambda name: asked.append(name) or np.random.default_rng(0)
    )
    table = result.frame.set_index("score")
    assert table.loc[apl.SCORES["vote"], ["AUC", "APL patients", "AML patients"]].tolist() == [0.75, 2, 2]
    assert table.loc[apl.SCORES["fraction"], ["AUC", "APL patients", "AML patients"]].tolist() == [0.5, 1, 2]
    assert [value.key for value in result.values] == ["apl.external.vote.auc", "apl.external.fraction.auc"]
    assert asked == ["apl/external/vote", "apl/external/fraction"]
    assert [line["auc"] for line in apl.each(result)] == [0.75, 0.5] and len(result.facts["curves"]) == 2


def test_curves_need_both_diagnoses():
    own = patients([0.9, 0.4], [0.2, 0.1], [True, True])
    found = apl.curves(own, "external", **SETTINGS)
    assert found == Unavailable("it needs APL and AML patients outside the training sites") and apl.each(found) == []
    assert "testing split" in apl.curves(own, "test", **SETTINGS).reason


def test_differences_by_hand():
    # AUC of the vote 1, of the baseline 0.75, on the same four patients; the fifth has no baseline.
    own = patients([0.9, 0.8, 0.5, 0.1, 0.0], [0.9, 0.4, 0.5, 0.1, np.nan], [True, True, False, False, True])
    row = apl.differences(own, "external", **SETTINGS).frame.iloc[0]
    assert (row["score"], row["difference"], row["patients"]) == (apl.SCORES["vote"], 0.25, 4)
    assert row["low"] <= 0.25 <= row["high"]
    for lacking in (own.drop(columns="fraction"), own.iloc[[0, 2, 3]]):
        assert apl.differences(lacking, "external", **SETTINGS).reason.startswith("there is no baseline")
