"""The record is whole, and what follows from it is right."""

import numpy as np
import pytest

from alnet_lib import paper
from alnet_lib.core.resources import LIBRARY
from alnet_lib.paper import coverage, scorecard


def test_items_are_the_papers_21_tables_and_figures_and_every_table_is_recorded():
    kinds = [kind for _, kind, _ in paper.ITEMS.values()]
    assert kinds.count("table") == 14 and kinds.count("figure") == 7
    for id, (_, kind, _) in paper.ITEMS.items():
        if kind == "table":
            assert len(paper.table(id.removeprefix("table_")))


def test_rows_of_the_tables_add_up_where_the_paper_does():
    first, second, sixth = paper.table("01"), paper.table("02"), paper.table("06")
    for column in ("patients", "images_train", "images_test"):
        assert first[column].drop("total").sum() == first.loc["total", column]
    for column in ("images_train", "images_test"):
        assert second[column].drop("total").sum() == second.loc["total", column]
    assert (sixth["train"] + sixth["validation"])["lymphocyte"] == second.loc["lymphocyte", "images_train"]
    myeloid = second.loc[["myeloblast", "monoblast"]].sum()
    assert sixth.loc["myeloid_blast", "testing"] == myeloid["images_test"]
    assert sixth.loc["myeloid_blast", "smears_train"] == myeloid["smears_train"]
    assert sixth.loc["blast", "testing"] == sixth.loc[["myeloid_blast", "b_lymphoblast"], "testing"].sum()


def test_matrix_rows_add_up_to_100_but_for_the_misprinted_one():
    sums = paper.table("07a").sum(axis=1).round(1)
    assert sums.drop("lymphocyte").between(99.8, 100.2).all()
    assert sums["lymphocyte"] == 100.9
    assert (paper.table("04").sum(axis=1) == 100).all()


def test_a_quantity_printed_twice_is_matched_wherever_it_is_printed():
    item = {"id": "table_02", "status": "reproduced", "values": [{"key": "text.healthy_controls", "reproduced": 12.0}]}
    card = scorecard([item], "synthetic").set_index("id")
    assert card.loc["text.healthy_controls", "reproduced"] == 12
    assert card.loc["text.s2_2.healthy_controls", "reproduced"] == 12
    assert "synthetic" in card.loc["text.healthy_controls", "note"]
    with pytest.raises(ValueError, match="kind"):
        scorecard([item], "invented")


def test_scorecard_has_a_row_for_every_printed_number():
    item = {
        "id": "table_04",
        "status": "reproduced",
        "reason": "",
        "values": [{"key": "table_04.monocyte.monocyte", "reproduced": 91.2, "ci_low": None, "ci_high": None}],
    }
    gone = {"id": "table_07b", "status": "unavailable", "reason": "no B-lymphoblast", "values": []}
    card = scorecard([item, gone], "synthetic").set_index("id")
    assert len(card) == len(paper.record())
    assert card.loc["table_04.monocyte.monocyte", "verdict"] == "uninformative"
    assert card.loc["table_07b.myeloid_blast.myeloid_blast", "note"] == "no B-lymphoblast"
    counts = coverage(card.reset_index())
    assert counts["reproduced"] == 1 and counts["unavailable"] == counts["measurable"] - 1


def test_record_keeps_printed_decimals_and_has_no_hole():
    record = paper.record()
    assert record.index.is_unique and np.isfinite(record["value"]).all()
    assert record.loc["table_03.hold_out.vgg16.training_minutes", "printed"] == "6.78"
    assert paper.decimals("table_03.five_folds_sd.senet154.whole") == 2
    assert paper.published("text.images") == 16450
    with pytest.raises(KeyError, match="no table 13"):
        paper.table("13")


def test_open_points_are_complete():
    points = paper.open_points()
    assert list(points.columns) == ["point", "paper", "chosen", "why", "where"]
    assert len(points) >= 12 and points.map(lambda text: bool(str(text).strip())).all().all()


def test_table_10_ends_with_this_run():
    item = {
        "id": "table_08",
        "status": "reproduced",
        "values": [{"key": "text.module_1.accuracy", "reproduced": 91.04}],
    }
    last = paper.table_10(scorecard([item], "public"), cohort="pbc", kind="public", images=1234).frame.iloc[-1]
    assert last["work"] == "This run (pbc, public)" and last["material"] == "1,234 images"
    assert last["result"] == "module 1: 91.0% of cells"
    nothing = paper.table_10(scorecard([], "public"), cohort="x", kind="public", images=1).frame
    assert nothing["result"].iloc[-1] == "not available" and len(nothing) == len(paper.literature()) + 1


def test_every_open_point_names_modules_that_exist():
    """The register points readers to the code: modules below alnet_lib, or the profiles."""
    for where in paper.open_points()["where"]:
        for name in where.split(", "):
            path = LIBRARY.joinpath(*name.split("."))
            assert name.startswith("profiles/") or path.with_suffix(".py").is_file(), name
