"""The page of a table or figure: every printed number beside the run's, its verdict, its cells, its code."""

import re
from dataclasses import asdict

import nbformat
import pandas as pd
import pytest

from alnet_lib import paper
from alnet_lib.paper.items import ITEMS
from alnet_lib.paper.values import Value
from alnet_lib.report import safety
from alnet_lib.report.pages import item as item_page
from alnet_lib.workflow import recorder

VALUES = (
    Value("table_07a.blast.blast", "%", 91.7, None, 88.0, 84.0, 91.0, "Korn-Graubard over patients", 31),
    Value("table_07a.blast.monocyte", "%", 0.2, None, 0.2, None, None, "", 3),
    Value("text.module_1.accuracy", "%", 94.2, None, 91.7, 88.0, 95.0, "Korn-Graubard over patients", 62),
    Value("module_1.mean_sensitivity", "%", None, None, 90.0, 80.0, 95.0, "jackknife over patients", 62),
)


def _item(id="table_07a", values=VALUES):
    known = ITEMS[id]
    return asdict(recorder.Item(id, known.title, known.kind, "reproduced", notebook=known.notebook, values=values))


@pytest.fixture(scope="module")
def card():
    return (
        paper.scorecard([_item()], "private")
        .set_index("id", drop=False)
        .assign(printed=paper.record()["printed"].str.rstrip("*+"))
    )


def _content(card, tmp_path, pages=("gallery.html",), id="table_07a"):
    new = nbformat.v4
    ran = new.new_notebook(cells=[new.new_code_cell(f'run.table("{id}", x, "<b>")'), new.new_code_cell("other()")])
    return item_page.content(_item(id), card, ran, tmp_path, {}, pages)


def test_a_page_has_every_printed_number_of_its_table_and_what_the_same_analysis_measures(card, tmp_path):
    rows = {row["anchor"]: row for row in _content(card, tmp_path)["rows"]}
    assert len([row for row in rows if row.startswith("table_07a-")]) == 25
    blast = rows["table_07a-blast-blast"]
    assert (blast["printed"], blast["difference"], blast["verdict"]) == ("91.7", "−3.7", "differs")
    assert blast["sign"] == "✗" and blast["measured"] == "88.0 (84.0 to 91.0 over 31 patients)"
    assert rows["table_07a-blast-monocyte"]["difference"] == "0", "no sign where nothing differs"
    assert rows["text-module_1-accuracy"]["verdict"] == "agrees"
    assert rows["table_07a-blast-lymphocyte"]["verdict"] == "unavailable"


def test_cells_of_a_confusion_matrix_lead_to_their_cells_in_the_gallery(card, tmp_path):
    grid = _content(card, tmp_path)["grid"]
    assert grid["columns"][0] == "lymphocytes" and len(grid["rows"]) == 5
    name, cells = grid["rows"][4]
    assert name == "blasts" and cells[1]["link"] == "gallery.html#module=1&reference=blast&predicted=monocyte"
    assert cells[4]["diagonal"] and not cells[0]["diagonal"]
    alone = _content(card, tmp_path, pages=())["grid"]["rows"][4][1]
    assert alone[1]["link"] == "#table_07a-blast-monocyte", "without a gallery to the row below"


def test_cells_of_the_smears_matrices_lead_to_their_smears_where_they_count_any(tmp_path):
    values = {"table_09a.APL.APL": 14, "table_09a.APL.Infection": 0, "table_09b.ALL.UNK": 1, "table_09b.ALL.AML": 2}
    items = [
        _item(id, tuple(Value(key, "smears", None, None, n) for key, n in values.items() if key.startswith(id)))
        for id in ("table_09a", "table_09b")
    ]
    card = paper.scorecard(items, "private").set_index("id", drop=False).assign(printed="")
    links = {}
    for item in items:
        content = item_page.content(item, card, None, tmp_path, {}, ("gallery.html",))
        assert content["grid"]["confusion"] and content["gallery"] == "its smears"
        links |= {row["anchor"]: row["gallery"] for row in content["rows"]}
    assert {anchor: link for anchor, link in links.items() if link} == {
        "table_09a-APL-APL": "gallery.html#split=test&label=abnormal_promyelocyte&vote=abnormal_promyelocyte",
        "table_09b-ALL-UNK": "gallery.html#split=test&vote=blast&diagnosis=ALL&verdict=unknown",
        "table_09b-ALL-AML": "gallery.html#split=test&vote=blast&diagnosis=ALL&verdict=AML",
    }


def test_below_a_notebooks_table_stand_its_files_its_smears_and_what_the_paper_printed(card):
    extra = _item() | {"id": "extra_table_external_cells", "title": "<b>", "notebook": "05_external_validation"}
    extra["files"] = ["tables/extra_table_external_cells.csv"]
    files = {name: f"files/{name}" for name in extra["files"]}
    text = item_page.below(extra, card, files, ["gallery.html"])
    assert '<a href="files/tables/extra_table_external_cells.csv">CSV</a>' in text
    assert '<a href="gallery.html#split=external">Its cells, in the gallery</a>' in text
    assert "94.2" in text and "mean sensitivity" not in text and "<b>" not in text
    paper_item = item_page.below(_item(), card, {}, ["table_07a.html"])
    assert '<a href="table_07a.html">Beside the printed numbers</a>' in paper_item and "<details>" not in paper_item
    assert item_page.below(_item("figure_01", ()), card, {}, ["figure_01.html"]).count("Its page") == 1
    where = item_page.pages_of([extra], card, ["05_external_validation.html"])
    assert where["text.module_1.accuracy"] == "05_external_validation.html#extra_table_external_cells"


def test_totals_are_apart_and_a_column_of_one_row_makes_no_grid(card, tmp_path):
    content = _content(card, tmp_path, id="table_02")
    assert [name for name, _ in content["grid"]["total"]] == ["total"]
    assert "total" not in [name for name, _ in content["grid"]["rows"]]
    assert any(row["total"] for row in content["rows"])
    assert _content(card, tmp_path, id="table_12")["grid"] is None


def test_the_page_shows_the_cell_that_made_it_and_values_that_were_not_printed(card, tmp_path):
    content = _content(card, tmp_path)
    assert "run" in content["code"] and "&lt;b&gt;" in content["code"] and "other" not in content["code"]
    assert "module 1 mean sensitivity" in content["unprinted"] and "accuracy" not in content["unprinted"]


def test_the_runs_own_table_has_few_decimals(tmp_path):
    (tmp_path / "tables").mkdir()
    frame = pd.DataFrame({"class": ["a", "b"], "share": [93.4567, 0.4608], "rate": [0.12345, 0.2], "n": [1234, 5]})
    frame.to_csv(tmp_path / "tables" / "table_08.csv", index=False)
    shown = item_page.table(tmp_path, _item("table_08", ()) | {"files": ["tables/table_08.csv"]})
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", shown)
    assert cells == ["a", "93.5", "0.123", "1,234", "b", "0.5", "0.2", "5"]


def test_the_csv_holds_numbers(card, tmp_path):
    name = item_page.write_compared(tmp_path, _item(), card)
    frame = pd.read_csv(tmp_path / name).set_index("id")
    assert all(pd.api.types.is_numeric_dtype(frame[column]) for column in ("published", "reproduced", "difference"))
    assert frame.loc["table_07a.blast.blast", "difference"] == pytest.approx(-3.7)
    assert item_page.write_compared(tmp_path, _item("figure_01", ()), card) == ""


def test_every_number_of_a_table_has_one_page_and_all_numbers_can_be_filtered(card):
    items = [_item(id, ()) for id in ITEMS]
    pages = [f"{item['id']}.html" for item in items]
    where = item_page.pages_of(items, card, pages)
    tables = card[card["place"].str.fullmatch(r"Table \d+[AB]?")]
    assert set(tables.index) <= set(where)
    assert where["table_09a.APL.APL"] == "table_09a.html#table_09a-APL-APL"
    page = safety.environment().get_template("numbers.html.j2").render(**item_page.every(items, card, pages))
    page = safety.sanitised(page, form=True)
    assert page.count("<tr data-about=") == len(card) and '<select name="verdict">' in page
    assert "<td>nan" not in page and ">None" not in page


def test_a_cohort_of_unknown_kind_has_pages_without_verdicts(tmp_path):
    content = _content(None, tmp_path)
    assert content["rows"] == [] and content["grid"] is None and content["reasons"] == []
