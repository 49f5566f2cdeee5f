"""Tables, items, results.json and pages: escaped, complete, without the network."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import nbformat
import numpy as np
import pandas as pd
import pytest

from alnet_lib import paper
from alnet_lib.figures import display, tables
from alnet_lib.paper import values
from alnet_lib.paper.values import Value
from alnet_lib.report import rendering, safety
from alnet_lib.statistics.intervals import Interval
from alnet_lib.workflow import provenance, recorder

NASTY = '<script>alert("x")</script>'


class _Page(HTMLParser):
    """Tags with their attributes, and whether every table has a caption."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1234, "1,234"),
        (0.5, "0.5"),
        (2.0, "2"),
        (None, ""),
        (float("nan"), ""),
        (np.True_, "yes"),
        (12345.678, "12,346"),
    ],
)
def test_text_of_cells(value, shown):
    assert tables.text(value) == shown


def test_tables_escape_names_and_head_their_rows():
    frame = pd.DataFrame({NASTY: [1, 2], "b": ["<b>", "&"]}, index=pd.Index([NASTY, "x"], name="row"))
    text = tables.html_table(frame, caption=NASTY)
    assert "<script>" not in text and "<b>" not in text
    page = _Page(text)
    assert [a["scope"] for a in page.all("th")] == ["col"] * 3 + ["row"] * 2
    assert len(page.all("caption")) == 1


def test_a_total_stands_in_the_foot_with_what_has_no_label_and_numbers_are_marked_in_mixed_columns():
    frame = pd.DataFrame({"a": [1, 2, 3, 4], "b": [0.5, "x", "", 1]}, index=["total", "y", "total", "no label"])
    text = tables.html_table(frame, caption="")
    body, foot = text.split("</tbody><tfoot>")
    assert body.count("<tr>") == 3 and foot.count("<tr>") == 2 and foot.startswith('<tr><th scope="row">total')
    assert '<th scope="col" class="number">a</th><th scope="col">b</th>' in body
    assert '<td class="number">0.5</td>' in body and "<td>x</td>" in body
    assert "<tfoot>" not in tables.html_table(frame.iloc[:2], caption="")
    assert "<tfoot>" in tables.html_table(frame.iloc[1:3].reset_index(), caption="", index=False)


def test_the_style_sheet_is_for_light_dark_and_print_and_numbers_stay_in_their_cells():
    style = (safety.TEMPLATES / "report.css").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in style and "@media print" in style and "::details-content" in style
    assert "table.data .number { text-align: right; }" in style
    assert not re.search(r"\.items[^{]*\.number", style), "would stack the numbers of the tables"


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_columns_sort_by_the_number_that_a_text_begins_with():
    script = (safety.TEMPLATES / "report.js").read_text(encoding="utf-8")
    function = script[script.index("function leading") : script.index("document.querySelectorAll")]
    texts = ["84.5 (80.8 to 88.7)", "1,234", "-2.5e-3", "\u22123", "< 0.001", "", "Table 3", "3a", "95%"]
    command = f"{function}; console.log(JSON.stringify({json.dumps(texts)}.map(leading)))"
    done = subprocess.run(["node", "-e", command], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == [84.5, 1234, -0.0025, -3, 0.001, None, None, None, 95]


def test_long_names_may_wrap_and_short_ones_and_numbers_do_not():
    frame = pd.DataFrame(
        {"a": ["table_05.vgg16.training_minutes", "a.b_c", NASTY + "_" + "x" * 20], "b": [0.5, 1.25, 2]}
    )
    text = tables.html_table(frame, caption="", index=False)
    assert "table_<wbr>05.<wbr>vgg16.<wbr>training_<wbr>minutes" in text and ">a.b_c<" in text and ">1.25<" in text
    assert "<script>" not in text and len(_Page(text).all("wbr")) == text.count("<wbr>")


def test_missing_ends_of_an_interval_are_empty_and_names_lose_their_underscores():
    ends = Interval(0.9, float("nan"), float("nan"), "", 3, design_effect=float("nan")).columns()
    frame = pd.DataFrame([{"rate": 90.0, **ends}, {"rate": 80.0, **ends, "low": 70.5, "high": 88.0}])
    frame["mixed"] = pd.Series([float("nan"), "x"], dtype=object)
    text = tables.html_table(frame, caption="")
    assert "nan" not in text.lower() and ">70.5<" in text and "design effect" in text and "_" not in text
    assert "none: fewer than 5 patients" in text


def test_what_stands_behind_a_number_reaches_the_files(tmp_path):
    interval = Interval(0.845, 0.808, 0.887, "Korn-Graubard over patients", 24, 30, 900, 2.5)
    few = Interval(0.9, float("nan"), float("nan"), "", 3)
    made = (Value.of("text.module_1.accuracy", interval), Value.of("own", few, "%"))
    recorder.write_item(tmp_path, recorder.Item("table_08", "", "table", "reproduced", notebook="03", values=made))
    recorder.collect(tmp_path)
    alone = json.loads((tmp_path / "items" / "table_08.json").read_text())
    every = json.loads((tmp_path / "results.json").read_text())["items"]
    for found in (alone, next(item for item in every if item["id"] == "table_08")):
        first, second = found["values"]
        assert first["interval"] == "Korn-Graubard over patients" and first["ci_low"] == pytest.approx(80.8)
        assert [first[name] for name in ("n_patients", "n_smears", "n_cells", "design_effect")] == [24, 30, 900, 2.5]
        assert second["n_patients"] == 3 and second["n_smears"] is None and second["interval"] == ""
        assert second["ci_low"] is None and second["ci_high"] is None and second["design_effect"] is None


def test_items_come_back_in_the_papers_order_and_nan_becomes_null(tmp_path):
    value = values.Value("table_04.x", "%", reproduced=np.float64("nan"), ci_low=np.float32(1.5))
    for id in ("extra_table_b", "figure_01", "table_12", "table_02"):
        recorder.write_item(tmp_path, recorder.Item(id, id, "table", "reproduced", notebook="01", values=(value,)))
    items = recorder.read_items(tmp_path)
    assert [item["id"] for item in items] == ["table_02", "table_12", "figure_01", "extra_table_b"]
    assert items[0]["values"][0]["reproduced"] is None and items[0]["values"][0]["ci_low"] == 1.5
    recorder.forget(tmp_path, "01")
    assert recorder.read_items(tmp_path) == []


def test_what_nobody_made_is_unavailable_with_its_notebook(tmp_path):
    content = recorder.collect(tmp_path)
    assert [item["id"] for item in content["items"]] == list(paper.ITEMS)
    assert all(item["status"] == "unavailable" and "has not run" in item["reason"] for item in content["items"])
    assert json.loads((tmp_path / "results.json").read_text()) == content


def test_provenance_names_no_folder_and_no_host():
    about = provenance.provenance(profile={}, cohort={}, device="cpu", precision="float32", seed=1)
    assert about["packages"]["torch"] and about["python"]
    assert not re.search(r"/(home|root|work|tmp|Users)\b", json.dumps(about))


@pytest.fixture
def rendered(tmp_path):
    """A report of one notebook with hostile names in title, caption, path and output."""
    item = recorder.Item(
        "table_02", NASTY, "table", "reproduced", notebook="01_data_audit", files=("tables/table_02.csv",),
        caption=NASTY, values=(values.Value(NASTY, "%", reproduced=1.0),),
    )  # fmt: skip
    (tmp_path / "tables").mkdir()
    pd.DataFrame({NASTY: [NASTY]}).to_csv(tmp_path / "tables" / "table_02.csv", index=False)
    recorder.write_item(tmp_path, item)
    about = {"kind": "private", "images": 1, "smears": 1, "patients": 1, "name": NASTY}
    provenance.write_provenance(
        tmp_path, profile={"name": "smoke"}, cohort=about, device="cpu", precision="float32", seed=1
    )
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# The title & <i>more</i>"), nbformat.v4.new_markdown_cell("## Part one")]
    )
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "01_data_audit.ipynb")
    return rendering.render(tmp_path).parent


def test_hostile_names_are_escaped_on_every_page(rendered):
    for path in rendered.glob("*.html"):
        assert "<script>alert" not in path.read_text(encoding="utf-8"), path.name


def test_pages_ask_no_network_and_carry_banner_provenance_and_contents(rendered):
    for path in rendered.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        page = _Page(text)
        loaded = [a.get("src") for a in page.all("script")] + [a.get("href") for a in page.all("link")]
        assert loaded == [None], "script and style stand in the page"
        assert "Research use only" in text and "torch" in text and "seed 1" in text
        assert {"class": "skip", "href": "#main"} in page.all("a")
    assert "http" not in "".join(
        (safety.TEMPLATES / name).read_text() for name in ("report.css", "report.js", "gallery.css", "gallery.js")
    )
    assert 'href="#part-one"' in (rendered / "01_data_audit.html").read_text(encoding="utf-8")


def test_the_index_has_an_entry_for_every_table_and_figure(rendered):
    text = (rendered / "index.html").read_text(encoding="utf-8")
    for id in paper.ITEMS:
        assert display.label(id) in text
    assert "alnet reproduce --cohort" in text and "--until 07_scorecard" in text
    assert "20 have not run yet" in text and "unavailable on this cohort" not in text


def test_the_index_counts_verdicts_and_shows_interval_and_patients_with_each_number(rendered):
    run = rendered.parent
    interval = Interval(0.845, 0.808, 0.887, "Korn-Graubard over patients", 24, 30, 900, 2.5)
    made = (Value.of("text.module_1.accuracy", interval), Value.of("own.rate", interval, "%"))
    recorder.write_item(
        run, recorder.Item("table_08", "Rates", "table", "reproduced", notebook="03_alnet_training", values=made)
    )
    recorder.write_item(
        run, recorder.Item("table_07b", "Lineage", "table", "unavailable", "no B", notebook="03_alnet_training")
    )
    report = rendering.render(run).parent
    text, own = ((report / name).read_text(encoding="utf-8") for name in ("index.html", "table_08.html"))
    counts = paper.coverage(paper.scorecard(recorder.read_items(run), "private"))
    assert f'<span aria-hidden="true">✗</span> {counts["differs"]} differs' in text and counts["differs"]
    assert text.count("<td>84.5 (80.8 to 88.7 over 24 patients)</td>") == 1, "a headline"
    assert own.count("<td>84.5 (80.8 to 88.7 over 24 patients)</td>") == 2, "a printed number and one of the kit's own"
    assert "section 3.2: module 1, accuracy" in own and ">own rate<" in own
    assert "Unavailable: no B" in text and "1 is unavailable on this cohort" in text and "18 have not run yet" in text


def test_the_styles_leave_the_notebooks_cells_alone():
    styles = "\n".join((safety.TEMPLATES / f"{name}.css").read_text(encoding="utf-8") for name in ("report", "gallery"))
    loose = re.findall(r"(?:^|[},])\s*\.cell\b[^{]*", styles, flags=re.MULTILINE)
    assert not loose, "nbconvert calls a notebook's cells `.cell` too"


def test_a_caution_of_combined_sources_stands_on_every_page(rendered, monkeypatch):
    assert not any('class="banner caution"' in path.read_text(encoding="utf-8") for path in rendered.glob("*.html"))
    monkeypatch.setattr(rendering.cautions, "caution", lambda run_dir: NASTY)
    pages = list(rendering.render(rendered.parent).parent.glob("*.html"))
    assert len(pages) > 3
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert 'class="banner caution"' in text and "&lt;script&gt;alert" in text and "<script>alert" not in text
