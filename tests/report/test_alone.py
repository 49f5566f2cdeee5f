"""The report's folder stands alone: what its pages link to or show lies inside, wherever it is copied to."""

import base64
import shutil
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from alnet_lib.figures import display
from alnet_lib.paper.items import ITEMS
from alnet_lib.paper.values import Value
from alnet_lib.report import rendering
from alnet_lib.report.pages import files, folder, notebook
from alnet_lib.workflow import provenance, recorder

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=")
MODULE_1, SCORECARD = "03_alnet_training", "07_scorecard"


class _Page(HTMLParser):
    """Addresses, anchors, the order of headings, and where the findings stand."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.ids, self.headings = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.addresses += [found[name] for name in ("href", "src") if name in found]
        self.ids += [found["id"]] if "id" in found else []
        self.headings += [tag] if tag in ("h1", "h2", "h3", "h4") else []


def _notebook(title, *outputs):
    new = nbformat.v4
    line = new.new_output("display_data", {"text/plain": "module_1, iterations: 1,200 of 1,200, 4.8/s, 250 s"})
    shown = [new.new_output("display_data", {"text/html": output.data}) for output in outputs]
    found = new.new_output("execute_result", {"text/markdown": "- Module 1: found 81.7%."}, execution_count=3)
    done = new.new_output("execute_result", {"text/plain": f"'{title}: 11 items'"}, execution_count=4)
    return new.new_notebook(
        cells=[
            new.new_markdown_cell(f"# {title}\n\n**Question.** What?"),
            new.new_code_cell("train()", outputs=[line, *shown]),
            new.new_markdown_cell("# A second title\n\n## The way there"),
            new.new_code_cell("display.findings(x)", outputs=[found]),
            new.new_markdown_cell("## What was found"),
            new.new_code_cell("display.findings(y)", outputs=[found]),
            new.new_code_cell("run.finish()", outputs=[done]),
        ]
    )


@pytest.fixture
def run(tmp_path):
    """A small run: two notebooks, a table, a figure, an item that cannot be made."""
    folder = tmp_path / "run, é"
    for name in ("tables", "figures", "notebooks"):
        (folder / name).mkdir(parents=True)
    pd.DataFrame({"a": [1.5]}).to_csv(folder / "tables" / "table_08.csv", index=False)
    for ending in ("png", "svg"):
        (folder / "figures" / f"figure_02.{ending}").write_bytes(PNG)
    rate = Value("text.module_1.accuracy", "%", 94.2, None, 81.7, 76.3, 86.3, "Korn-Graubard over patients", 62)
    auc = Value("text.roc.auc", "", 1.0, None, 0.98, 0.97, 0.99, "bootstrap", 326)
    made = [
        recorder.Item(
            "table_08", "Rates", "table", "reproduced", "", MODULE_1, ("tables/table_08.csv",), (rate, auc), "C"
        ),
        recorder.Item(
            "figure_02", "A cell", "figure", "reproduced", "", MODULE_1,
            ("figures/figure_02.svg", "figures/figure_02.png", "../outside.csv"), (), "C", "A cell.",
        ),
        recorder.Item("table_05", "Two networks", "table", "unavailable", "no B", MODULE_1),
    ]  # fmt: skip
    for item in made:
        recorder.write_item(folder, item)
    (tmp_path / "outside.csv").write_text("secret")
    about = {"kind": "synthetic", "images": 2713, "smears": 506, "patients": 362, "name": "synthetic"}
    provenance.write_provenance(
        folder, profile={"name": "smoke", "start": "cells"}, cohort=about, device="cpu", precision="float32", seed=1
    )
    figure = display.show_figure(PNG, alt="A cell.", id="figure_02", caption="C")
    other = display.show_figure(PNG + b"0", alt="An older one.", id="figure_02", caption="C")
    rest = {
        name: [display.show_unavailable(id, "") for id, item in ITEMS.items() if item.notebook == name]
        for name in (MODULE_1, SCORECARD)
    }
    modules = _notebook("Modules", figure, *(shown for shown in rest[MODULE_1] if "figure_02" not in shown.data))
    nbformat.write(modules, folder / "notebooks" / f"{MODULE_1}.ipynb")
    nbformat.write(_notebook("Scorecard", other, *rest[SCORECARD]), folder / "notebooks" / f"{SCORECARD}.ipynb")
    return folder


def _pages(report):
    return {path.name: _Page(path.read_text(encoding="utf-8")) for path in report.glob("*.html")}


def test_every_link_resolves_where_the_folder_was_copied(run, tmp_path):
    report = rendering.render(run).parent
    shutil.copytree(report, tmp_path / "elsewhere" / "report")
    shutil.rmtree(run)
    home = tmp_path / "elsewhere" / "report"
    pages = _pages(home)
    others = {"index.html", "checklists.html", "numbers.html", f"{MODULE_1}.html", f"{SCORECARD}.html"}
    assert {*others, *(f"{id}.html" for id in ITEMS)} == set(pages)
    lead = []
    for name, page in pages.items():
        for address in page.addresses:
            parts = urlsplit(address)
            if parts.scheme == "data":
                continue
            if name == "index.html" and address in (folder.PAPER, folder.LICENCE):
                continue
            assert not parts.scheme and not parts.netloc, (name, address)
            target = (home / unquote(parts.path)).resolve() if parts.path else home / name
            assert target.is_file() and target.is_relative_to(home.resolve()), (name, address)
            # A state, which the page's script reads.
            if "=" in parts.fragment:
                assert target.name in rendering.FILTERED, (name, address)
            elif parts.fragment:
                assert unquote(parts.fragment) in pages[target.name].ids, (name, address)
            lead.append(target.relative_to(home).as_posix())
    wanted = ["files/results.json", "files/tables/table_08.csv", "files/figures/figure_02.svg"]
    wanted += ["files/compared/table_08.csv", "table_08.html", "numbers.html"]
    assert {*wanted, "files/checklists/claim.csv", f"files/notebooks/{MODULE_1}.ipynb"} <= set(lead)
    assert not list(home.rglob("outside.csv")), "nothing from outside the run is taken along"


def test_a_figure_stands_once_and_an_older_picture_is_not_replaced(run):
    report = rendering.render(run).parent
    assert "files/figures/figure_02.webp" in _pages(report)[f"{MODULE_1}.html"].addresses
    assert any(address.startswith("data:") for address in _pages(report)[f"{SCORECARD}.html"].addresses)


def test_pictures_are_exact_where_they_are_small_and_near_where_they_are_large_photographs(tmp_path):
    rng = np.random.default_rng(0)
    cells = Image.fromarray(rng.integers(60, 200, (80, 80, 3), dtype=np.uint8)).resize((900, 900), Image.BICUBIC)
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "small.png")
    cells.save(tmp_path / "cells.png")
    names = ["small.png", "cells.png"]
    files.copied(tmp_path, tmp_path / "report", names)
    drawn = [np.asarray(Image.open(tmp_path / name).convert("RGB"), float) for name in names]
    lying = [tmp_path / "report" / files.stored(name) for name in names]
    shown = [np.asarray(Image.open(path).convert("RGB"), float) for path in lying]
    assert (shown[0] == drawn[0]).all()
    assert 0 < abs(shown[1] - drawn[1]).mean() < 3 and lying[1].stat().st_size < 1.5 * files.LARGE


def test_what_is_gone_from_the_run_is_gone_from_the_report(run):
    report = rendering.render(run).parent
    (run / "tables" / "table_08.csv").unlink()
    rendering.render(run)
    assert not (report / files.FOLDER / "tables" / "table_08.csv").exists()
    assert "files/tables/table_08.csv" not in (report / "index.html").read_text(encoding="utf-8")


def test_findings_come_first_and_progress_and_completion_lines_are_left_out(run):
    report = rendering.render(run).parent
    text = (report / f"{MODULE_1}.html").read_text(encoding="utf-8")
    main = text[text.index("<main") :]
    order = [main.index(mark) for mark in ("<h1>", "On this page", "Question.", 'id="findings"', 'id="the-way-there"')]
    assert order == sorted(order)
    assert main.index("found 81.7%") < main.index('id="the-way-there"')
    assert "of 1,200" not in text and "11 items" not in text and "finish" in text
    kept = (run / "notebooks" / f"{MODULE_1}.ipynb").read_text(encoding="utf-8")
    assert "1,200 of 1,200" in kept and "11 items" in kept, "the executed notebook stays as it is"
    assert main.count("found 81.7%") == 2, "findings of other sections stay where they are"


def test_a_notebook_without_findings_keeps_its_order():
    plain = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# T\n\n## What was found")])
    assert notebook.findings_first(plain).cells == plain.cells


def test_each_page_begins_with_its_only_h1(run):
    for name, page in _pages(rendering.render(run).parent).items():
        assert page.headings[0] == "h1" and page.headings.count("h1") == 1, name
        assert len(page.ids) == len(set(page.ids)), name
