"""Cohorts of odd structures go through every notebook: each item is there, or says why not."""

import pytest

from faults import structures


@pytest.mark.parametrize(
    "name",
    [
        name if name in structures.QUICKEST else pytest.param(name, marks=pytest.mark.slow)
        for name in structures.STRUCTURES
    ],
)
def test_every_notebook_takes_it_and_every_item_says_what_it_is(name, tmp_path):
    found = structures.tried(name, tmp_path, report=name not in structures.QUICKEST)
    assert found.problems == ()
    assert found.reproduced > 5 and (found.unavailable > 30 or name not in structures.QUICKEST)


def test_a_notebook_that_fails_is_told_with_its_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(structures, "STEPS", ["07_scorecard"])
    found = structures.tried("one class", tmp_path)
    assert "07_scorecard, cell 2: MissingArtefact" in found.problems[0]
    assert any("table_07a: unavailable" in problem for problem in found.problems)
