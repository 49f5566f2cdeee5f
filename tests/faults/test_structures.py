"""Cohorts of odd structures go through every notebook: each item is there, or says why not."""

from functools import partial

import in_process
import pytest

from faults import structures


@pytest.mark.slow
@pytest.mark.parametrize("name", structures.QUICKEST)
def test_every_notebook_takes_it_and_every_item_says_what_it_is(name, tmp_path):
    found = structures.tried(name, tmp_path, report=False)
    assert found.problems == ()
    assert found.reproduced > 5 and found.unavailable > 30


def test_a_notebook_that_fails_is_told_with_its_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(structures, "chain", partial(in_process.chain, notebooks=["07_scorecard"]))
    found = structures.tried("one class", tmp_path)
    assert "07_scorecard, cell 2: MissingArtefact" in found.problems[0]
    assert any("table_07a: unavailable" in problem for problem in found.problems)
