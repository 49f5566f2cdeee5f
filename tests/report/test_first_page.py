"""The first page: what holds, what does not, what cannot be said; the forest plot; what is missing."""

import html
import importlib.metadata
import re
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from alnet_lib import paper
from alnet_lib.paper.values import Value
from alnet_lib.report import rendering, safety
from alnet_lib.report.pages import headline, index
from alnet_lib.workflow import provenance, recorder

NASTY = '<script>alert("x")</script>'
METHOD = "Korn-Graubard over patients"
VALUES = (
    Value("text.module_1.accuracy", "%", 94.2, None, 81.7, 76.3, 86.3, METHOD, 62),
    Value("text.module_2.accuracy", "%", 89.5, None, 83.1, 76.2, 92.7, METHOD, 34),
    Value("text.table_09b.accuracy", "%", 94.7, None, 92.9, 76.0, 99.2, METHOD, 28),
    Value("text.external.module_2.b_lymphoblast", "%", 64.0, None, 87.5, None, None, "", 2),
    Value("end_to_end.accuracy", "%", None, None, 83.1, 71.5, 91.4, METHOD, 62),
)


def _gathered(kind, values=VALUES):
    item = asdict(recorder.Item("table_08", "Rates", "table", "reproduced", notebook="03_alnet_training"))
    items = [item | {"values": [asdict(value) for value in values]}]
    card = paper.scorecard(items, kind).set_index("id", drop=False)
    return headline.headlines(items, card, ["03_alnet_training.html"]), card


def test_a_headline_is_inside_outside_too_wide_or_unjudged():
    rows = {row.name: row for row in _gathered("private")[0]}
    states = {name: row.state for name, row in rows.items() if row.said}
    assert states == {
        "Module 1, accuracy, testing cells": "outside",
        "Module 2, accuracy, testing cells": "inside",
        "Module 2, accuracy, testing smears": "wide",
        "Both modules, accuracy, testing smears": "unjudged",
        "Module 2, B-lymphoblasts, external patients": "unjudged",
    }
    assert rows["Module 1, accuracy, testing cells"].link == "03_alnet_training.html#table_08"
    assert rows["Module 1, accuracy, testing smears"].said == ""


@pytest.mark.parametrize("kind", ["synthetic", "public", "private"])
def test_three_sentences_have_numbers_and_claim_no_more_than_the_cohort_allows(kind):
    rows, card = _gathered(kind)
    said = dict(headline.three_sentences(rows, card, kind))
    assert list(said) == ["What holds.", "What does not.", "What cannot be said."]
    facts = paper.findings().facts
    assert f"{facts['checks'] - facts['findings']} of {facts['checks']} checks" in said["What holds."]
    assert (
        "module 2, accuracy, testing cells, 83.1 (76.2 to 92.7 over 34 patients) against 89.5%" in said["What holds."]
    )
    assert "module 1, accuracy, testing cells, 81.7" in said["What does not."]
    assert "1 of these headline numbers has an interval too wide" in said["What cannot be said."]
    assert "testing smears, 92.9" in said["What cannot be said."]
    assert "B-lymphoblasts, external patients" in said["What cannot be said."]
    limit = {"synthetic": "says anything about patients", "public": "does not contradict", "private": "paper's own"}
    assert limit[kind] in said["What cannot be said."]
    assert ("differ." in said["What does not."]) is (kind == "private")
    assert "nan" not in " ".join(said.values())


def test_no_value_gives_sentences_all_the_same():
    rows, card = _gathered("synthetic", ())
    said = headline.three_sentences(rows, card, "synthetic")
    assert len(said) == 3 and all(rest.endswith(".") and "  " not in rest for _, rest in said)


def test_the_forest_plot_lays_out_percent_and_auc_on_one_axis_and_escapes():
    row = headline.Headline(NASTY, "x.html#y", "", "1", "outside", 0.5, 0.25, 2.0, 5)
    alone = headline.Headline("b", "", "%", "", "", 50.0, float("nan"), float("nan"), float("nan"))
    plot = headline.forest([row, alone])
    first, second = plot["rows"]
    zero, full = plot["ticks"][0][1], plot["ticks"][-1][1]
    assert first["here"] == second["here"] == (zero + full) / 2
    assert first["low"] == zero + (full - zero) / 4 and first["high"] == full, "what leaves the axis ends at its end"
    assert second["printed"] is None and second["low"] is None
    text = safety.environment().get_template("forest.html.j2").render(plot=plot)
    assert "<script" not in text and html.escape(NASTY, quote=False)[:12] in text and "style=" not in text
    assert text.count('class="printed"') == 2 and text.count("<a ") == 1, "legend and one row"


@pytest.fixture
def page(tmp_path):
    """The first page of a run of which only notebook 03 is there."""
    item = recorder.Item(
        "table_08", "Rates", "table", "reproduced", notebook="03_alnet_training", values=VALUES, caption="c"
    )
    recorder.write_item(tmp_path, item)
    recorder.write_item(
        tmp_path, recorder.Item("table_07b", "Lineage", "table", "unavailable", "no B", "03_alnet_training")
    )
    about = {"kind": "synthetic", "images": 2713, "smears": 506, "patients": 362, "name": "synthetic"}
    provenance.write_provenance(
        tmp_path, profile={"name": "quick", "weights": "none"}, cohort=about, device="cpu", precision="bf16", seed=1
    )
    return rendering.render(tmp_path).read_text(encoding="utf-8")


def test_a_partial_run_names_the_notebooks_that_wait_and_one_command_apart_from_what_is_unavailable(page):
    missing = re.search(r'<div class="missing".*?</div>', page, flags=re.DOTALL)[0]
    for name in ("01_data_audit: Table 1, Table 2, Table 6", "06_feature_maps", "07_scorecard"):
        assert name in missing
    assert "alnet reproduce --cohort synthetic --profile quick --until 07_scorecard" in missing
    assert "Table 7B" not in missing
    assert "1 is unavailable on this cohort under this profile (Table 7B)" in page


def test_the_first_page_says_what_was_run_what_was_found_and_how_to_cite(page):
    shown = page[page.index("<main") :]
    marks = (
        "<h1>",
        "Commit",
        "What holds.",
        "What cannot be said.",
        "<svg",
        "add up in the paper</h2>",
        '<h2 id="items"',
    )
    order = [shown.index(mark) for mark in marks]
    assert order == sorted(order)
    assert shown.count("<svg") == 1 and rendering.PLOT not in page
    assert "@software{alnet_kit" in page and "doi     = {10.1016/j.cmpb.2021.105999}" in page
    for address in ("https://doi.org/10.1016/j.cmpb.2021.105999", "https://spdx.org/licenses/MIT", "#cite"):
        assert f'<a href="{address}">' in shown[: shown.index("What holds.")]
    assert "MIT" in page and "random weights" in page
    assert page.count("testing accuracy of Table 3, to stand beside testing accuracies") == 3, "findings are named"
    assert re.search(r'<li class="uninformative"><span aria-hidden="true">○</span> \d+ uninformative', page)


def test_the_repository_is_the_one_that_the_package_names(monkeypatch):
    assert index.repository() == "" or index.repository().startswith("https://")
    known = {"Project-URL": ["Docs, https://docs.example", "Repository, https://code.example/alnet"]}
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: SimpleNamespace(get_all=known.get))
    assert index.repository() == "https://code.example/alnet"


def test_a_new_and_an_old_provenance_name_the_start(tmp_path):
    about = {"cohort": {"name": "synthetic"}}
    for profile, said in (
        ({"weights": "none"}, "random weights, no licence"),
        ({"start": "cells"}, "cells; "),
        ({"start": {"default": "cells", "vgg16": "imagenet"}}, "default cells, vgg16 imagenet; "),
        ({}, "unknown; "),
    ):
        assert dict(index._licences(tmp_path, about | {"profile": profile}))["Start of the networks"].startswith(said)
