"""The temperature is fitted on patients held out of training, and calibration is judged on every split and site."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import MODULE_1_CLASSES
from alnet_lib.diagnosis.tasks import MODULE_1
from alnet_lib.evaluation import calibration
from alnet_lib.figures import curves
from alnet_lib.statistics import calibration as statistics
from alnet_lib.statistics.intervals import Interval

CELL_TYPES = ("lymphocyte", "monocyte", "reactive_lymphocyte", "abnormal_promyelocyte", "myeloblast")


def drawn(split, site, sharpness, *, patients=20, each=30, seed=0):
    """Cells whose labels are drawn from their probabilities, which are then sharpened: 1 is calibrated."""
    rng = np.random.default_rng(seed)
    n = patients * each
    p = rng.dirichlet(np.full(5, 0.4), n).clip(1e-4)
    p /= p.sum(axis=1, keepdims=True)
    label = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, 4)
    cells = pd.DataFrame(statistics.temper(p, 1 / sharpness), columns=MODULE_1.columns)
    names = [f"{split}/{site}/{i // each}" for i in range(n)]
    return cells.assign(
        cell_type=np.array(CELL_TYPES)[label],
        patient_id=names,
        smear_id=names,
        split=split,
        site=site,
        validation=False,
    )


@pytest.fixture(scope="module")
def cells():
    """Module 1 looks calibrated where it was trained, is too certain by 2 on new patients, and by 6 at one site."""
    train = drawn("train", "home", 1.0).assign(validation=lambda t: np.arange(len(t)) % 3 == 0)
    sites = [drawn("external", "far", 6.0, seed=2), drawn("external", "near", 2.0, patients=3, seed=3)]
    return pd.concat([train, drawn("test", "home", 2.0, seed=1), *sites], ignore_index=True)


@pytest.fixture(scope="module")
def cross_fitted():
    return drawn("train", "home", 2.0, seed=4)


@pytest.fixture(scope="module")
def result(cells, cross_fitted):
    return calibration.calibrate(cells, cross_fitted)


def of(result, part, measure, *, scaled=True):
    frame = result.frame
    chosen = frame["part"].eq(part) & frame["measure"].eq(measure) & frame["scaled"].eq(scaled)
    return frame[chosen].iloc[0]


def test_the_temperature_comes_from_patients_that_the_modules_have_not_seen(cells, cross_fitted, result):
    assert result.facts["temperature"] == pytest.approx(2, rel=0.1)
    assert result.facts["fitted_on"] == "cross-fitted cells of 20 training patients" and result.facts["aside"] == ""
    seen = calibration.calibrate(cells, Unavailable("the profile has none"))
    assert seen.facts["temperature"] == pytest.approx(1, rel=0.2), "validation cells look calibrated"
    assert "validation cells" in seen.facts["fitted_on"] and "the profile has none" in seen.facts["fitted_on"]
    assert of(result, "test", "ECE")["value"] < of(seen, "test", "ECE")["value"]


def test_a_temperature_of_another_network_is_said_not_to_be_module_1s_own(cells, cross_fitted):
    by = {"made_by": "by a small network (9 iterations), not module 1's VGG16", "own_settings": False}
    other = calibration.calibrate(cells, cross_fitted, **by).facts
    assert other["fitted_on"] == f"cross-fitted cells of 20 training patients, predicted {by['made_by']}"
    assert other["aside"] == " This temperature is not module 1's own."
    own = calibration.calibrate(cells, Unavailable("the profile has none"), **by).facts
    assert own["aside"] == "" and "small network" not in own["fitted_on"], "module 1 predicted the validation cells"


def test_scaling_helps_where_patients_are_alike(result):
    before, after = (of(result, "test", "ECE", scaled=scaled)["value"] for scaled in (False, True))
    assert after < before / 2
    assert of(result, "test", "slope")["value"] == pytest.approx(1, abs=0.15)
    values = {value.key: value for value in result.values}
    assert values["calibration.module_1.ece_before"].reproduced == before
    assert values["calibration.module_1.ece_after"].reproduced == after
    assert values["calibration.module_1.temperature"].n_patients == 20


def test_a_site_that_is_miscalibrated_is_reported_as_such(result):
    finding = {part["where"]: part["finding"] for part in calibration.each(result)}
    assert finding["testing"] == "no miscalibration found"
    assert finding["far"] == finding["all external"] == "too certain"
    assert finding["near"] == calibration.NO_INTERVAL, "three patients"
    far = {name: of(result, "far", name) for name in ("ECE", "slope", "intercept")}
    assert far["ECE"]["low"] > of(result, "test", "ECE")["high"]
    assert far["slope"]["high"] < 1 and far["intercept"]["high"] < 0
    keys = {value.key for value in result.values}
    parts = ("test", "far", "near", "external")
    assert {f"calibration.module_1.{p}.{m}" for p in parts for m in ("ece", "brier", "slope", "intercept")} <= keys
    shown = calibration.as_shown(result).set_index("part")
    assert shown["after scaling"].tolist() == [
        "no miscalibration found",
        "too certain",
        "cannot be judged: no interval",
        "too certain",
    ]
    assert "no interval" in shown.loc["near", "ECE, scaled"] and " to " in shown.loc["far", "ECE, scaled"]
    assert "nan" not in shown.to_string()


def test_every_number_is_that_of_the_cells_of_its_part(cells, result):
    far = cells[cells["site"].eq("far")]
    label = MODULE_1.reference(far).map({name: i for i, name in enumerate(MODULE_1_CLASSES)}).to_numpy()
    own = statistics.brier(far[MODULE_1.columns].to_numpy(), label)
    found = of(result, "far", "Brier score", scaled=False)
    assert found["value"] == pytest.approx(own) and found["cells"] == len(far) and found["patients"] == 20
    everyone = of(result, "external", "ECE")
    assert everyone["cells"] == cells["split"].eq("external").sum() and everyone["patients"] == 23


def test_calibration_needs_labelled_cells_and_leaves_unlabelled_ones_out(cells, cross_fitted, result):
    unlabelled = cells.assign(cell_type=None)
    assert not calibration.calibrate(unlabelled, cross_fitted)
    assert not calibration.calibrate(cells.assign(validation=False), Unavailable("none"))
    assert calibration.calibrate(Unavailable("no cell"), cross_fitted) == Unavailable("no cell")
    more = pd.concat([cells, unlabelled[cells["split"].eq("test")]], ignore_index=True)
    assert of(calibration.calibrate(more, cross_fitted), "test", "ECE")["value"] == of(result, "test", "ECE")["value"]


def test_a_verdict_needs_an_interval_that_leaves_out_perfect_calibration():
    def interval(low, high, method="cluster-robust variance over patients"):
        return Interval((low + high) / 2, low, high, method, 12)

    calibrated = interval(0.7, 1.3), interval(-0.4, 0.4)
    assert calibration.verdict(*calibrated) == "no miscalibration found"
    assert calibration.verdict(interval(-20.6, 19.7), calibrated[1]) == calibration.TOO_WIDE
    assert calibration.verdict(calibrated[0], interval(-1, 1)) == calibration.TOO_WIDE
    assert calibration.verdict(interval(0.5, 0.9), interval(-1, 1)) == "too extreme"
    assert calibration.verdict(interval(1.1, 1.9), interval(-1, 1)) == "not extreme enough"
    assert calibration.verdict(interval(0.5, 1.5), interval(0.2, 1)) == "too uncertain"
    assert calibration.verdict(interval(0.5, 0.9, ""), interval(-2, -1)) == "too certain"
    assert calibration.verdict(interval(0.7, 1.3, ""), calibrated[1]) == calibration.NO_INTERVAL
    assert calibration.verdict(calibrated[0], interval(-0.4, 0.4, "")) == calibration.NO_INTERVAL


def test_the_figure_shows_testing_and_external_cells(result):
    figure = curves.reliability_figure(result)
    assert [axes.get_title() for axes in figure.axes] == ["testing", "all external"]
    assert "testing, as trained" in figure.alt and "all external, temperature" in figure.alt
