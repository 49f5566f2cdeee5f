"""Names, notes and messages that others wrote show literally on every page, and nothing of them runs."""

import html
import json
import re
from dataclasses import fields
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
from hostile import CHROMIUM, EVERY, HOSTILE, Page, listening, opened
from nbconvert.filters.markdown_mistune import markdown2html_mistune

from alnet_lib.cli import printing
from alnet_lib.cohorts.manifest import Cohort
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.resources import NOTEBOOKS_DIR
from alnet_lib.core.text import visible
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.evaluation.audit.images import ScaleFinding
from alnet_lib.figures import display, style, tables
from alnet_lib.paper.values import Result, Value
from alnet_lib.report import explorer, rendering, safety, sentences
from alnet_lib.report.gallery import contents as gallery
from alnet_lib.report.gallery import pictures
from alnet_lib.workflow import provenance, recorder
from alnet_lib.workflow.run import Run


def _literal(name):
    return " ".join(visible(name).split())


def _scale(name):
    kinds = ("not judged", "red cells", "red cells differ", "cells differ")
    said = [ScaleFinding(kind, name, name, 7.0, 6.0, 20, name, True) for kind in kinds]
    return display.findings(sentences.scale_sentences(said)).data


def _opening(name):
    """The Markdown that notebook 01 begins with, by its own lines."""
    cells = json.loads((NOTEBOOKS_DIR / "01_data_audit.ipynb").read_text(encoding="utf-8"))["cells"]
    code = next("".join(cell["source"]) for cell in cells if "source.notes" in "".join(cell["source"]))
    imports = "from IPython.display import Markdown\nfrom alnet_lib.core.text import *\n"
    *lines, last = code.split("run.begin(source)\n")[1].splitlines()
    known = {"source": SimpleNamespace(**{field.name: name for field in fields(Cohort)} | {"notes": (name, name)})}
    exec(imports + "\n".join(lines), known)
    return eval(last, known).data


SENTENCES = {
    "scale": _scale,
    "notebook 01": _opening,
    "facts": lambda name: display.findings(("{x}: {n:.1f}", {"x": name, "n": 1})).data,
    "result": lambda name: display.findings([("{x}", Result(None, (), {"x": name}))]).data,
    "reason": lambda name: display.findings(Unavailable(name)).data,
}  # fmt: skip

OUTPUTS = {
    "table": lambda name: tables.show_table(
        pd.DataFrame({name: [name, 1], ("a", "b"): [1, name]}, index=pd.Index([name, "x"], name=name)),
        caption=name, id=name,
    ),
    "captioned": lambda name: tables.show_table(Result(pd.DataFrame({"a": [1]}), (), {"x": name}), caption="{x}"),
    "no table": lambda name: tables.show_table(Unavailable(name), caption=""),
    "figure": lambda name: display.show_figure(b"", alt=name, id="x", caption=name),
    "unavailable": lambda name: display.show_unavailable(name, name, title=name),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("said", SENTENCES)
def test_a_sentence_shows_what_others_wrote_literally(said, name):
    shown, plain = (Page(markdown2html_mistune(SENTENCES[said](each))) for each in (name, "plain"))
    assert shown.shape == plain.shape
    assert _literal(name) in shown.text


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("made", OUTPUTS)
def test_tables_captions_and_reasons_show_what_others_wrote_literally(made, name):
    shown, plain = (Page(OUTPUTS[made](each).data) for each in (name, "plain"))
    assert shown.shape == plain.shape
    assert visible(name).replace("_", " ") in "".join(shown.words).replace("_", " ")


def test_the_facts_of_a_caption_are_filled_in_once(tmp_path):
    run = Run("01_data_audit", tmp_path, "x", "", None)
    result = Result(pd.DataFrame({"a": [1]}), (), {"x": EVERY})
    text = run.table("extra_table_x", result, "Of {x}.").data
    text += run.figure("extra_figure_x", style.new_figure(1, 1), "Of {x}.", of=result).data
    assert html.escape("Of " + visible(EVERY)) in text
    assert [item["caption"] for item in recorder.read_items(tmp_path)] == [f"Of {EVERY}."] * 2


def _gallery(name):
    place = pictures.place(1)
    cell = {"number": 1, "name": name, "place": place, "large": "", "reference": name, "reference_label": name,
            "predicted": "blast", "predicted_label": name, "p": 0.5, "second": name, "second_label": name,
            "p_second": 0.5, "correct": "yes", "second_correct": "no", "first_all": "0.500", "second_all": "0.500",
            "x": "0.5", "y": "0.5"}  # fmt: skip
    smear = {"number": 1, "id": name, "patient": name, "split": "test", "site": name, "diagnosis": name,
             "expected": name, "diagnosis_label": name, "class": name, "count": 2, "first": [0, 0, 0, 0, 2],
             "second": [1, 1], "first_said": name, "second_said": name, "verdict": name, "verdict_label": name,
             "outcome": "wrong", "cells": [cell]}  # fmt: skip
    words = [(name, name)]
    return {"smears": [smear], "cells": 1, "all_cells": 2, "of_each": 1, "large": 0, "second": True, "map": True,
            "rule": gallery.rule(0.5, merged=False), "classes": words, "lineages": words, "types": words,
            "colours": ["#000000"], "sites": [name], "splits": [("test", name)], "diagnoses": words,
            "verdicts": words, "folder": "gallery"}  # fmt: skip


def _rendered(folder, name, monkeypatch, cells=()):
    """A report in which everything that others may write is `name`; the cells go into the page of notebook 01."""
    for id, status in (("table_02", "reproduced"), ("table_03", "unavailable"), ("extra_figure_x", "reproduced")):
        files = (f"tables/{id}.csv",) if status == "reproduced" else ()
        recorder.write_item(folder, recorder.Item(
            id, name, id.split("_")[-2], status, reason=name, notebook="01_data_audit", caption=name, alt=name,
            files=files, values=(Value("own", name, reproduced=1.0, interval=name),) if files else (),
        ))  # fmt: skip
    (folder / "tables").mkdir()
    pd.DataFrame({name: [name]}).to_csv(folder / "tables" / "table_02.csv", index=False)
    about = {"kind": "private", "images": 1, "smears": 1, "patients": 1, "name": name}
    provenance.write_provenance(
        folder, profile={"name": name, "weights": name}, cohort=about, device=name, precision=name, seed=1
    )
    outputs = [nbformat.v4.new_output("display_data", {"text/html": OUTPUTS["table"](name).data})]
    outputs += [nbformat.v4.new_output("display_data", {"text/markdown": SENTENCES[said](name)}) for said in SENTENCES]
    outputs += [
        nbformat.v4.new_output("stream", text=name),
        nbformat.v4.new_output("error", ename="ValueError", evalue=name, traceback=[f"ValueError: {name}"]),
    ]
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# Title\n\n## Part"),
            nbformat.v4.new_code_cell("1", outputs=outputs),
            *cells,
        ]
    )
    (folder / "notebooks").mkdir()
    nbformat.write(notebook, folder / "notebooks" / "01_data_audit.ipynb")
    monkeypatch.setattr(gallery, "contents", lambda run_dir, out: _gallery(name))
    monkeypatch.setattr(rendering.cautions, "caution", lambda run_dir: name)
    return sorted(rendering.render(folder).parent.glob("*.html"))


def test_no_page_has_an_element_or_attribute_that_others_wrote(tmp_path, monkeypatch):
    shown, plain = tmp_path / "shown", tmp_path / "plain"
    shown.mkdir()
    plain.mkdir()
    pages = _rendered(shown, EVERY, monkeypatch)
    assert {page.name for page in pages} >= {*OPENED, "numbers.html", "figure_07.html"}
    for page, other in zip(pages, _rendered(plain, "plain", monkeypatch), strict=True):
        found, expected = (Page(path.read_text(encoding="utf-8")) for path in (page, other))
        coloured = [("span", ["class"])] if page.name.startswith("01") else []  # An escape code of a terminal: red.
        rest = [shape for shape in found.shape if shape not in coloured]
        assert rest == [shape for shape in expected.shape if shape not in coloured], page.name
        assert "S<script>document.title='run'</script>" in found.text, page.name


UNSAFE = """<p id="kept" class="k" onclick="document.title='run'">kept</p><script>document.title='run'</script>
<img src=x onerror="document.title='run'"><img src="http://127.0.0.1:PORT/a.png"><img src="//127.0.0.1:PORT/b.png">
<img src="\\\\127.0.0.1:PORT\\c.png"><img src="data:text/html,x"><img src="data:image/png;base64,AA==">
<img src="../a.png"><a href="javascript:document.title='run'">a</a><a href="data:text/html,x">b</a>
<a href="//127.0.0.1/x">c</a><a href="x.html#y">d</a><svg><script>document.title='run'</script></svg>
<iframe src="http://127.0.0.1:PORT/f"></iframe><iframe srcdoc="<script>parent.document.title='run'</script>"></iframe>
<style>@import "http://127.0.0.1:PORT/s.css";</style><link rel="stylesheet" href="http://127.0.0.1:PORT/l.css">
<script src="http://127.0.0.1:PORT/s.js"></script><base href="http://127.0.0.1:PORT/">
<form action="http://127.0.0.1:PORT/g"><input autofocus onfocus="document.title='run'"></form>
<object data="http://127.0.0.1:PORT/o"></object><video src="http://127.0.0.1:PORT/v" autoplay></video>
<details open ontoggle="document.title='run'"><summary>s</summary>t</details>"""
REFRESH = '<meta http-equiv="refresh" content="0;url=http://127.0.0.1:PORT/m">'
"""No policy forbids this; the sanitiser does."""


def test_the_sanitiser_keeps_what_shows_something_and_drops_what_acts():
    page = Page(safety.sanitised(UNSAFE + REFRESH))
    assert {tag for tag, _ in page.tags} == {"p", "img", "a", "details", "summary"}
    assert ("p", {"id": "kept", "class": "k"}) in page.tags
    assert [a["src"] for tag, a in page.tags if tag == "img" and "src" in a] == [
        "x", "data:image/png;base64,AA==", "../a.png",
    ]  # fmt: skip
    assert [a.get("href") for tag, a in page.tags if tag == "a"] == [None, None, None, "x.html#y"]
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "alert" not in safety.sanitised("\ud800<script>alert(1)</script>")


def test_only_the_kits_own_script_and_style_are_allowed(tmp_path, monkeypatch):
    unsafe = nbformat.v4.new_markdown_cell(UNSAFE)
    script = nbformat.v4.new_output("display_data", {"application/javascript": "document.title='run'"})
    cells = [unsafe, nbformat.v4.new_code_cell("1", outputs=[script])]
    for path in _rendered(tmp_path, "plain", monkeypatch, cells):
        text = path.read_text(encoding="utf-8")
        page = Page(text)
        assert [tag for tag, _ in page.tags].count("script") == 1 and "document.title" not in text
        policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
        assert text.index("Content-Security-Policy") < min(text.index("<style"), text.index("<script"))
        assert "default-src 'none'" in policy and "unsafe" not in policy and "connect-src" not in policy
        assert len(re.findall("'sha256-[^']+='", policy)) == 2
        assert not any("style" in attributes for _, attributes in page.tags)


OPENED = {"01_data_audit.html", "checklists.html", "gallery.html", "index.html", "table_01.html"}
"""One page of each kind."""


@pytest.fixture
def listener():
    with listening() as served:
        yield served


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("wall", ["both", "policy alone"])
def test_nothing_runs_and_nothing_is_asked_for_in_a_browser(tmp_path, monkeypatch, listener, wall):
    port, asked = listener
    sent = UNSAFE + REFRESH
    if wall == "policy alone":
        monkeypatch.setattr(safety, "sanitised", lambda body, form=False: body)
        sent = UNSAFE
    run = tmp_path / "run"
    run.mkdir()
    output = nbformat.v4.new_output("display_data", {"text/html": sent.replace("PORT", str(port))})
    unsafe = nbformat.v4.new_code_cell("1", outputs=[output])
    pages = [path for path in _rendered(run, EVERY, monkeypatch, [unsafe]) if path.name in OPENED]
    for path in pages:
        text = opened(path, tmp_path / "browser")
        assert re.search(r"<title>([^<]*)", text)[1] != "run", path.name
        if path.name == "gallery.html":
            assert "1 cells in 1 smears" in text, "the kit's own script runs"
        elif path.name != "checklists.html":
            assert '<th scope="col"><button type="button">' in text, "the kit's own script runs"
    assert not asked and len(pages) == len(OPENED)


@pytest.mark.parametrize("name", HOSTILE)
def test_the_browsers_of_jupyterlab_take_any_name(name):
    cells = pd.DataFrame({"image_id": [name], "smear_id": ["A"], "cell_type": "lymphocyte", "split": "test"})
    cells = cells.assign(
        **dict.fromkeys(MODULE_1.columns, 0.2), patient_id=name, site=name, diagnosis=name, eligible=True
    )
    run = SimpleNamespace(
        predictions=lambda: cells,
        pictures=lambda names, side=0: [np.zeros((16, 16, 3), np.uint8)] * len(names),
        profile=SimpleNamespace(threshold=0.5),
    )
    for shown in ("A", name):
        figure = explorer.show(run, shown)
        figure.canvas.draw()
        assert name in figure.alt


def test_powers_of_ten_stay_mathematics(tmp_path):
    figure = style.new_figure(2, 2)
    figure.subplots().set(xscale="log", xlim=(1e-5, 1), title="$x$")
    svg = style.save(figure, tmp_path / "x")[0].decode()
    assert ">$\\mathdefault" not in svg and ">$x$<" in svg


@pytest.mark.parametrize("name", HOSTILE)
def test_a_terminal_shows_names_as_they_are(name, monkeypatch, capsys):
    monkeypatch.setattr(printing.console, "width", 400)
    with printing.console.capture() as captured:
        printing.print_frame(pd.DataFrame({name: [name]}), name)
    assert captured.get().count(_literal(name)) >= 3 or " ".join(captured.get().split()).count(_literal(name)) >= 3
    printing.fail(ValueError(f"{name}\nsecond line"))
    said = capsys.readouterr().err
    assert "\x1b" not in captured.get() + said and "\nsecond line" in said
