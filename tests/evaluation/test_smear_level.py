"""Smears and sites, against counts by hand."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import MODULE_1_CLASSES, MODULE_2_CLASSES
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold
from alnet_lib.evaluation import clinical_utility, external, smear_level
from alnet_lib.experiments.datasets import CellImages

RULE = MajorityAboveThreshold(0.5)
FIRST = {"LY": "lymphocyte", "MO": "monocyte", "PM": "abnormal_promyelocyte", "BL": "blast"}
TYPES = {"APL": "abnormal_promyelocyte", "AML": "myeloblast", "ALL": "b_lymphoblast", "control": "lymphocyte"}


def cells(smears, split="test", module_2=True, site="x"):
    """Cells of smears: name -> (diagnosis, predictions such as `BL/M`, `BL/B`, `PM`)."""
    rows = []
    for smear, (diagnosis, predictions) in smears.items():
        for i, prediction in enumerate(predictions):
            first, _, second = prediction.partition("/")
            row = {"image_id": f"{smear}-{i}", "smear_id": smear, "patient_id": smear, "site": site, "split": split}
            row |= {"diagnosis": diagnosis, "cell_type": TYPES[diagnosis], "eligible": True}
            row |= {f"p1_{c}": 0.8 if c == FIRST[first] else 0.05 for c in MODULE_1_CLASSES}
            if module_2:
                row |= dict(zip((f"p2_{c}" for c in MODULE_2_CLASSES), (second != "B", second == "B"), strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


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
    assert all(pd.api.types.is_numeric_dtype(kind) for kind in result.frame.dtypes), "the file holds numbers"
    values = {value.key: value.reproduced for value in result.values}
    assert values["text.table_09a.accuracy"] == pytest.approx(100 * 4 / 6)
    assert values["text.s4.APL.specificity"] == 100 and values["text.s4.APL.precision"] == 100
    assert smear_level.as_printed(result).loc["AL non-APL", "UNK"] == "25% (1)"


def test_table_9b_by_hand():
    table = cells(SMEARS)
    result = smear_level.table_9b(votes_of(table), table)
    assert result.facts["counts"].to_numpy().tolist() == [[1, 1, 0], [0, 1, 0]]
    values = {value.key: value.reproduced for value in result.values}
    assert values["text.AML.sensitivity"] == 50 and values["text.ALL.precision"] == 50
    assert values["text.s3_3.ALL_wrong"] == 0 and values["text.table_09b.accuracy"] == pytest.approx(200 / 3)


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
        smear_level.counts_9b(votes_of(alone))


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
    assert smear_level.counts_9a(votes).loc["AL non-APL", "AL non-APL"] == 57
    assert smear_level.counts_9b(votes).to_numpy().tolist() == [[30, 0, 0], [0, 27, 0]]
    assert smear_level.verdict_counts(votes).loc["ALL", "ALL"] == 27


def test_end_to_end_shows_what_occurs():
    result = smear_level.end_to_end(votes_of(cells(SMEARS)))
    assert result.facts["accuracy"] == 50 and result.values[0].key == "end_to_end.accuracy"
    assert list(result.facts["counts"].index) == ["APL", "AML", "ALL"]
    assert list(result.facts["counts"].columns) == ["APL", "AML", "ALL", "unknown"]
    alone = smear_level.verdict_counts(votes_of(cells({"s": SMEARS["a"]}, module_2=False)))
    assert alone.loc["AL non-APL", "AL non-APL"] == 1 and alone.loc["ALL"].sum() == 0
    assert isinstance(smear_level.end_to_end(votes_of(cells(SMEARS).iloc[:0])), Unavailable)


def test_figure_4_of_separated_smears():
    votes = votes_of(cells({"a": ("APL", ["PM"] * 4), "b": ("AML", ["BL/M"] * 3 + ["PM"])}, "train"), "train")
    result = smear_level.figure_4(votes)
    assert result.facts["auc"] == 1 and result.facts["n"] == 2 and result.facts["inside"] == "inside"
    assert (result.facts["low"], result.facts["high"]) == (25, 75)
    assert {v.key: v.reproduced for v in result.values}["text.threshold"] == 50
    for nothing in (votes.iloc[:1], Unavailable("none")):
        assert "all of one class" in smear_level.figure_4(nothing).reason


def test_smears_by_site_are_counted_by_hand():
    votes = pd.DataFrame(
        {
            "site": ["a", "a", "a", "b"],
            "diagnosis": ["AML", "AML", "ALL", "AML"],
            "verdict": ["AML", "unknown", "AML", "AML"],
            "expected": ["AML", "AML", "ALL", "AML"],
        }
    )
    table = smear_level.by_site(votes).frame.set_index(["site", "diagnosis"])
    assert table.loc[("a", "AML"), ["correct", "unknown", "smears"]].tolist() == [1, 1, 2]
    assert table.loc[("a", "ALL"), "accuracy"] == 0 and table.loc[("b", "AML"), "accuracy"] == 100
    # Wilson, 1 of 1: from 0.2065 to 1.
    assert table.loc[("b", "AML"), "low"] == pytest.approx(20.65, abs=0.01)


def test_external_cells_by_site_and_together():
    table = pd.concat(
        [
            cells({"a": SMEARS["a"], "c": SMEARS["c"]}, "external", site="x"),
            cells({"b": SMEARS["b"]}, "external", site="y"),
        ],
        ignore_index=True,
    )
    table = pd.concat([table, cells(SMEARS)], ignore_index=True)
    result = external.external_cells(table)
    found = result.frame.set_index(["site", "module", "class"])
    assert found.loc[("x", "1", "Blasts"), ["correct", "cells"]].tolist() == [5, 6]
    assert found.loc[("all", "1", "Blasts"), ["correct", "cells"]].tolist() == [8, 9]
    assert found.loc[("all", "2", "Myeloid blasts"), "accuracy"] == 50
    values = {value.key: value.reproduced for value in result.values}
    assert values["text.external.module_1.accuracy"] == pytest.approx(800 / 9)
    assert external.external_cells(cells(SMEARS)) == Unavailable("no labelled cell of another site")


def test_external_smears_as_section_3_3_counts_them():
    table = cells(SMEARS, "external")
    result = external.external_smears(votes_of(table, "external"), table)
    values = {value.key: value.reproduced for value in result.values}
    assert values["external.smears.accuracy"] == 50 and values["text.external.smears_module_1"] == 75
    assert values["text.external.AML_sensitivity"] == 50 and values["text.external.ALL_smears_right"] == 1
    alone = cells(SMEARS, "external", module_2=False)
    assert len(external.external_smears(votes_of(alone, "external"), alone).values) == 1


def test_examples_of_sites_need_two_sites():
    manifest = pd.concat([cells({"a": SMEARS["a"]}, site="x"), cells({"c": SMEARS["c"]}, site="y")], ignore_index=True)
    pixels = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    found = external.site_examples(CellImages(manifest, pixels), np.random.default_rng(0), each=2)
    assert {name: len(pictures) for name, pictures in found.items()} == {"Myeloid blasts\nx": 2, "B-Lymphoblasts\ny": 2}
    assert all(picture[0, 0, 0] >= 3 for picture in found["B-Lymphoblasts\ny"])
    one = external.site_examples(CellImages(manifest.assign(site="x"), pixels), np.random.default_rng(0))
    assert one == Unavailable("blasts come from one site only")


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
    assert curve.loc[11, ["correct", "low", "high"]].tolist() == pytest.approx([whole] * 3)
    assert curve.loc[50, "correct"] == curve.loc[11, "correct"]
    assert curve["full"].tolist() == [40, 40, 40, 0]
    assert curve.loc[1, "unknown"] == 0
    # One cell is correct as often as cells are; eleven average the noise away.
    assert curve.loc[1, "correct"] == pytest.approx((table["p1_blast"] > 0.5).mean(), abs=0.04)
    assert curve.loc[1, "correct"] < curve.loc[3, "correct"] < curve.loc[11, "correct"]
    assert {v.key: v.reproduced for v in result.values}["cells_needed.11.correct"] == pytest.approx(100 * whole)
    with pytest.raises(ValueError, match="one cell"):
        clinical_utility.cells_needed(table, RULE, rng, sizes=[0], repeats=1)
