"""Calibration, stability, cells needed and benefit behave as they must on made-up cells."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib import plots, rigour, vote
from alnet_lib.cohorts.vocabulary import MODULE_1_CLASSES
from alnet_lib.profile import Profile
from alnet_lib.run import Run

RNG = np.random.default_rng(4)
DIAGNOSES = {"lymphocyte": "control", "abnormal_promyelocyte": "APL", "myeloblast": "AML"}


@pytest.fixture
def run(tmp_path):
    return Run("04_smear_roc", tmp_path, "synthetic", "", Profile.load("smoke"))


@pytest.fixture
def cells():
    """12 smears of three diagnoses, 10 cells each; module 1 is right but too sure of itself in a fifth of the cells."""
    rows = []
    for s in range(12):
        cell_type = list(DIAGNOSES)[s % 3]
        for c in range(10):
            about = {"cell_type": cell_type, "diagnosis": DIAGNOSES[cell_type], "split": "train" if s < 6 else "test"}
            rows.append({"smear_id": f"s{s}", "patient_id": f"p{s}", "image_id": f"{s}/{c}", "site": "", **about})
    table = pd.DataFrame(rows)
    table["validation"] = table["split"].eq("train") & (np.arange(len(table)) % 3 == 0)
    true = table["cell_type"].replace("myeloblast", "blast")
    wrong = np.arange(len(table)) % 5 == 0
    for name in MODULE_1_CLASSES:
        table[f"p1_{name}"] = np.where(true.eq(name) ^ (wrong & true.isin([name])), 0.95, 0.0)
    table.loc[wrong, "p1_monocyte"] = 0.95
    columns = [f"p1_{name}" for name in MODULE_1_CLASSES]
    table[columns] = table[columns] + 0.01
    table[columns] = table[columns].div(table[columns].sum(axis=1), axis=0)
    return table


def test_temperature_scaling_mends_too_sure_a_network(cells):
    found = rigour.calibrate(cells)
    assert found.temperature > 1 and found.ece[1] < found.ece[0]
    assert found.before["n"].sum() == cells["split"].eq("test").sum()
    assert {value.key for value in found.numbers} >= {"calibration.module_1.ece_after"}
    assert rigour.calibrate(cells.assign(validation=False)) is None


def test_the_threshold_of_well_parted_smears_hardly_moves(run, cells):
    table = rigour.threshold_stability(run, cells)
    assert table["threshold"].is_monotonic_increasing and table["threshold"].between(0, 1).all()
    one = cells[cells["diagnosis"].eq("APL")]
    assert rigour.threshold_stability(run, one).empty
    pd.testing.assert_frame_equal(rigour.threshold_stability(run, cells), table)


def test_benefit_of_a_perfect_vote_is_the_share_of_apl(cells):
    votes = vote.vote(cells)
    curve = rigour.apl_benefit(votes)
    assert curve.loc[curve["threshold"].lt(0.7), "score"].to_numpy() == pytest.approx(
        votes["diagnosis"].eq("APL").mean()
    )
    assert rigour.apl_benefit(votes[votes["diagnosis"].eq("APL")]).empty


def test_figures_have_alternative_texts_and_readable_letters(cells):
    votes = vote.vote(cells)
    needed = vote.cells_needed(cells, [1, 3, 10], 5, np.random.default_rng(0))
    figures = [
        rigour.reliability_figure(rigour.calibrate(cells)),
        rigour.benefit_figure(rigour.apl_benefit(votes)),
        rigour.cells_figure(needed),
        plots.vote_bars(votes, MODULE_1_CLASSES),
        plots.bars(pd.Series({"nucleus_area": 1.0}), "nats"),
    ]
    for figure in figures:
        assert figure.alt
        sizes = [text.get_fontsize() for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))]
        assert min(sizes) >= 6
