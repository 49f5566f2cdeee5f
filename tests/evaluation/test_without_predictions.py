"""A cohort that cannot train module 1 has no predictions: what rests on them passes the reason on."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import Profile
from alnet_lib.core.vocabulary import MODULE_2_CLASSES
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.evaluation import apl, calibration, cell_level, external, power, smear_level
from alnet_lib.evaluation.explanation import attribution, feature_maps
from alnet_lib.experiments.datasets import CellImages
from alnet_lib.experiments.preparation import Setup
from alnet_lib.figures import diagrams
from alnet_lib.networks import activations
from alnet_lib.networks.building import build
from alnet_lib.report import explorer

NONE = Unavailable("module 1 cannot be trained: two classes are needed")
RULE = MajorityAboveThreshold(0.5)
PROFILE = Profile.load("smoke")

PRODUCERS = {
    "table_7": lambda: cell_level.judge(NONE, MODULE_1),
    "table_9b": lambda: smear_level.table_9b(smear_level.votes_of(smear_level.voting_cells(NONE, "test"), RULE), NONE),
    "table_11": lambda: cell_level.table_11(NONE, {}),
    "external cells": lambda: external.external_cells(NONE),
    "patients": lambda: apl.scores(NONE),
    "curves": lambda: apl.curves(apl.scores(NONE), "test"),
    "power": lambda: power.table(NONE, apl.scores(NONE), RULE, PROFILE),
    "calibration": lambda: calibration.calibrate(NONE, NONE),
    "attribution": lambda: attribution.statistics(None, None, NONE)[0],
    "its check": lambda: attribution.statistics(None, None, NONE)[1],
    "errors": lambda: attribution.confident_errors(NONE),
    "a smear": lambda: explorer.show(SimpleNamespace(predictions=lambda: NONE, images=lambda: None), "A"),
}


@pytest.mark.parametrize("name", PRODUCERS)
def test_the_reason_reaches_every_producer(name):
    found = PRODUCERS[name]()
    assert isinstance(found, Unavailable) and found.reason.endswith(NONE.reason)


def test_feature_maps_need_a_module_that_the_cohort_can_train(tmp_path):
    about = {"cell_type": ["lymphocyte"] * 4, "split": "train", "patient_id": list("abcd"), "site": "s"}
    manifest = pd.DataFrame(about | {"image_id": list("abcd")})
    setup = Setup(CellImages(manifest, np.zeros((4, 8, 8, 3), np.uint8)), PROFILE, tmp_path)
    original, trained, _ = feature_maps.networks(setup)
    assert original == trained and "module 1 cannot be trained: two classes" in trained.reason
    assert feature_maps.statistics(None, None, PROFILE, {"original": original, "ALNet": trained}) == original
    assert activations.papers_map(trained) == activations.PAPERS_MAP


def test_figure_3_numbers_a_module_by_its_place():
    """Module 2 alone is not `module 1`."""
    figure = diagrams.module_scheme([NONE, build("resnet_miniature", MODULE_2_CLASSES, 32)])
    assert "module 2: ResNet" in figure.alt and "module 1:" not in figure.alt
    assert any("module 2" in text.get_text() for text in figure.axes[0].texts)
