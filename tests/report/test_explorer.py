"""What is shown of a smear is what votes."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold, vote
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.experiments.datasets import CellImages
from alnet_lib.report import explorer


@pytest.fixture
def run():
    """Smear A: two eligible promyelocytes and three lymphocytes that do not vote; smear B: none that votes."""
    predicted = ["abnormal_promyelocyte"] * 2 + ["lymphocyte"] * 4
    cells = pd.DataFrame({"image_id": [f"i{k}" for k in range(6)], "smear_id": ["A"] * 5 + ["B"]})
    cells = cells.assign(patient_id="P", site="s", diagnosis="APL", split="test", cell_type="lymphocyte")
    cells["eligible"] = [True, True, False, False, False, False]
    for name, column in zip(MODULE_1.classes, MODULE_1.columns, strict=True):
        cells[column] = np.where(np.array(predicted) == name, 0.8, 0.05)
    pixels = np.zeros((6, 16, 16, 3), np.uint8)
    images = CellImages(cells[::-1].reset_index(drop=True), pixels)
    return SimpleNamespace(predictions=lambda: cells, images=lambda: images, profile=SimpleNamespace(threshold=0.5))


def test_a_contact_sheet_shows_the_eligible_cells_and_the_verdict_of_table_9a(run):
    cells = run.predictions()
    voted = vote(cells[cells["eligible"]], MajorityAboveThreshold(0.5)).set_index("smear_id").loc["A", "verdict"]
    figure = explorer.show(run, "A")
    assert f"A: {voted}" in figure.alt and voted == "APL" and "2 cells" in figure.alt
    with pytest.raises(KeyError, match="eligible"):
        explorer.show(run, "B")


def test_one_cell_is_shown_whether_it_votes_or_not(run):
    assert "predicted Lymphocytes with probability 0.80" in explorer.show(run, "i5").alt
    with pytest.raises(KeyError, match="no smear and no cell `nothing`"):
        explorer.show(run, "nothing")


def test_the_largest_smear_and_what_is_unavailable(run):
    votes = pd.DataFrame({"smear_id": ["A", "B"], "n_cells": [2, 7]})
    assert explorer.largest_smear(votes) == "B"
    assert explorer.show(run, Unavailable("none")) == Unavailable("none")


def test_a_browser_offers_some_smears_and_some_cells_of_each_type(monkeypatch):
    kinds = ["lymphocyte"] * 50 + ["monocyte"] * 3 + [""] * 7
    cells = pd.DataFrame({"image_id": [f"i{k}" for k in range(60)], "smear_id": [f"s{k:02d}" for k in range(60)]})
    cells = cells.assign(patient_id="P", site="s", diagnosis="APL", split="test", cell_type=kinds, eligible=True)
    images = CellImages(cells[::-1].reset_index(drop=True), np.zeros((60, 16, 16, 3), np.uint8))
    run = SimpleNamespace(
        predictions=lambda: cells, images=lambda: images, need=lambda *_: "", profile=SimpleNamespace(threshold=0.5)
    )
    monkeypatch.setattr(explorer, "OFFERED", 15)
    monkeypatch.setattr(explorer, "show", lambda *_, **__: None)
    monkeypatch.setattr(explorer, "map_grid", lambda *_: None)
    monkeypatch.setattr(explorer.storage, "load_network", lambda _: (None, {}))
    monkeypatch.setattr(explorer.activations, "layers", lambda _: [(1, 1)])
    smear, _ = explorer.browser(run).children[0].children
    assert len(smear.options) == 15
    cell, _ = explorer.map_browser(run).children[0].children
    offered = [name.split()[0] for name, _ in cell.options]
    assert offered == [f"i{k}" for k in (*range(5), *range(50, 58))]
    assert [row for _, row in cell.options][:2] == [59, 58]
    cell, _ = explorer.map_browser(run, image_ids=["i40", "i59"]).children[0].children
    assert [name for name, _ in cell.options] == ["i40 (Lymphocytes)", "i59 (no label)"]
