"""Calibration, stability of the threshold and benefit on synthetic cells."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import MODULE_1_CLASSES
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold
from alnet_lib.evaluation import clinical_utility, smear_level

DIAGNOSES = {"lymphocyte": "control", "abnormal_promyelocyte": "APL", "myeloblast": "AML"}


@pytest.fixture
def cells():
    """12 smears of three diagnoses, 10 cells each; module 1 is wrong in a fifth of the cells, and too certain there."""
    rows = []
    for s in range(12):
        cell_type = list(DIAGNOSES)[s % 3]
        for c in range(10):
            about = {"cell_type": cell_type, "diagnosis": DIAGNOSES[cell_type], "split": "train" if s < 6 else "test"}
            rows.append({"smear_id": f"s{s}", "patient_id": f"p{s}", "image_id": f"{s}/{c}", "site": "", **about})
    table = pd.DataFrame(rows)
    table["validation"] = table["split"].eq("train") & (np.arange(len(table)) % 3 == 0)
    reference = table["cell_type"].replace("myeloblast", "blast")
    wrong = np.arange(len(table)) % 5 == 0
    for name in MODULE_1_CLASSES:
        table[f"p1_{name}"] = np.where(reference.eq(name) & ~wrong, 0.95, 0.0)
    table.loc[wrong, "p1_monocyte"] = 0.95
    columns = [f"p1_{name}" for name in MODULE_1_CLASSES]
    table[columns] = table[columns] + 0.01
    table[columns] = table[columns].div(table[columns].sum(axis=1), axis=0)
    return table.assign(eligible=True)


def votes(cells):
    return smear_level.votes_of(cells, MajorityAboveThreshold(0.5))


def test_temperature_scaling_fixes_a_network_that_is_too_certain(cells):
    result = clinical_utility.calibrate(cells)
    found = result.facts["calibrated"]
    assert found.temperature > 1 and found.ece[1] < found.ece[0]
    assert found.before["n"].sum() == cells["split"].eq("test").sum()
    # All 60 testing cells have confidence 0.96 / 1.00 and 48 are correct.
    assert result.facts["ece_before"] == pytest.approx(0.96 - 0.8)
    assert {value.key for value in result.values} == {
        f"calibration.module_1.{name}" for name in ("temperature", "ece_before", "ece_after")
    }


def test_calibration_needs_labelled_validation_and_testing_cells(cells):
    reason = Unavailable("there is no validation cell or no testing cell")
    unlabelled = cells.assign(cell_type=cells["cell_type"].where(~cells["validation"]))
    assert clinical_utility.calibrate(cells.assign(validation=False)) == reason
    assert clinical_utility.calibrate(cells.assign(split="train")) == reason
    assert clinical_utility.calibrate(unlabelled) == reason


def test_unlabelled_cells_do_not_enter_the_calibration(cells):
    more = pd.concat([cells, cells[cells["split"].eq("test")].assign(cell_type=None)], ignore_index=True)
    assert clinical_utility.calibrate(more).facts["ece_before"] == clinical_utility.calibrate(cells).facts["ece_before"]


def test_the_threshold_of_well_separated_smears_hardly_moves(cells):
    settings = {"replicates": 50}
    result = clinical_utility.threshold_stability(votes(cells), rng=np.random.default_rng(0), **settings)
    # Every smear has a share of 0.8 of its own class and 0 of the others: any threshold between is best.
    assert result.frame["threshold"].to_numpy() == pytest.approx([0.4] * 5)
    one = votes(cells[cells["diagnosis"].eq("APL")])
    assert not clinical_utility.threshold_stability(one, rng=np.random.default_rng(0), **settings)


def test_benefit_of_a_perfect_vote_is_the_share_of_apl(cells):
    found = votes(cells)
    curve = clinical_utility.apl_benefit(found).frame
    assert curve.loc[curve["threshold"].lt(0.7), "score"].to_numpy() == pytest.approx(4 / 12)
    for nothing in (found[found["diagnosis"].eq("APL")], Unavailable("no smear")):
        assert clinical_utility.apl_benefit(nothing).reason.startswith("the testing smears are all of APL")
