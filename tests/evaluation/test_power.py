"""What a cohort can show, against textbook formulas and the intervals that the kit gives."""

import time

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import power_proportions_2indep

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import Profile
from alnet_lib.core.vocabulary import MODULE_1_CLASSES
from alnet_lib.diagnosis.aggregation import MajorityAboveThreshold
from alnet_lib.evaluation import apl, power
from alnet_lib.statistics import auc, intervals


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("patients", "share"), [(300, 0.8), (600, 0.9), (400, 0.6)])
def test_many_independent_patients_agree_with_statsmodels(patients, share):
    found = power.of_shares(np.ones(patients, int), share, 0.0, rng())
    textbook = power_proportions_2indep(-found, share, patients, alternative="two-sided").power
    assert textbook == pytest.approx(0.8, abs=0.04)


def test_an_auc_of_many_patients_agrees_with_noethers_formula():
    # Noether, JASA 82:645 (1987): (1.96 + 0.84) * sqrt((m + n + 1) / (12 m n)).
    found = power.of_area(150, 150, rng())
    assert found == pytest.approx(2.802 * np.sqrt(301 / (12 * 150 * 150)), abs=0.005)


def test_a_gain_over_a_baseline_agrees_with_delongs_variance_and_shrinks_with_correlation():
    found = power.of_area_difference(120, 120, 0.7, 0.5, rng())
    ill, well = (rng(3).multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 4000) for _ in range(2))
    ill, well = ill + np.array([power.shift(0.7), power.shift(0.7 + found)]), well[rng(4).permutation(4000)]
    truth = np.repeat([True, False], 4000)
    rows = pd.DataFrame({"patient_id": np.arange(8000)})
    both = np.concatenate([ill, well])
    many, _ = auc.auc_difference(truth, both[:, 1], both[:, 0], rows)
    error = (many.high - many.low) / 2 / 1.96 * np.sqrt(4000 / 120)
    assert found / error == pytest.approx(1.96 + 0.84, rel=0.1)
    assert power.of_area_difference(120, 120, 0.7, 0.9, rng()) < found


def test_the_intervals_are_the_kits_own():
    sizes = np.array([3, 1, 5, 2, 7, 4])
    rows = pd.DataFrame({"patient_id": np.repeat(np.arange(6), sizes)})
    starts = np.cumsum(sizes) - sizes
    for seed in range(30):
        first, second = rng(seed).random((2, len(rows))) < np.array([[0.9], [0.3]])
        kit = intervals.difference(first, rows, second)
        gain = np.add.reduceat(second.astype(int) - first, starts)[None]
        assert power.excludes_zero(gain, sizes)[0] == (kit.low > 0 or kit.high < 0)
    cases, controls = rng(1).normal(1, 1, (2, 4, 9)), rng(2).normal(0, 1, (2, 4, 13))
    area, covariance = power.areas(cases, controls)
    truth, people = np.repeat([True, False], [9, 13]), pd.DataFrame({"patient_id": np.arange(22)})
    for i in range(4):
        scores = [np.concatenate([cases[s, i], controls[s, i]]) for s in (0, 1)]
        one, (two, _) = auc.auc(truth, scores[0], people), auc.auc_difference(truth, *scores, people)
        assert area[0, i] == pytest.approx(one.estimate)
        error = np.sqrt(covariance[0, 0, i] + covariance[1, 1, i] - 2 * covariance[0, 1, i])
        assert (two.high - two.low) / 2 == pytest.approx(1.959964 * error)


def test_correlation_within_patients_is_found_again():
    # Fleiss' balanced example by hand: patients (1, 1), (0, 0), (1, 0): between 1/4 * 2, within 1/6.
    assert power.correlation(np.array([1, 1, 0, 0, 1, 0]), pd.Series(list("aabbcc"))) == pytest.approx(0.5)
    p = rng(5).beta(0.8 * 4, 0.2 * 4, 800)  # correlation 1 / (1 + 4)
    patients = pd.Series(np.repeat(np.arange(800), 30))
    correct = rng(6).random(24000) < p[patients]
    assert power.correlation(correct, patients) == pytest.approx(0.2, abs=0.03)
    assert np.isnan(power.correlation(np.ones(4, bool), pd.Series(list("aabb"))))
    assert power.correlation(np.array([1, 0]), pd.Series(list("ab"))) == 0


def test_normal_variables_reproduce_the_correlation():
    r = power.latent(0.2, 0.85)
    pair = rng().multivariate_normal([0, 0], [[1, r], [r, 1]], 200_000) < 1.0364334
    assert np.corrcoef(pair.T)[0, 1] == pytest.approx(0.2, abs=0.01)
    assert power.latent(0, 0.85) == 0


def test_alike_cells_hide_larger_differences():
    sizes = np.full(20, 50)
    free, tied = (power.of_shares(sizes, 0.85, within, rng()) for within in (0.0, 0.2))
    assert tied > 2 * free


def test_too_few_patients_find_nothing():
    assert np.isnan(power.of_shares(np.full(4, 100), 0.8, 0.0, rng()))
    assert np.isnan(power.of_area(1, 30, rng())) and np.isnan(power.of_area(2, 2, rng()))
    assert np.isnan(power.of_area_difference(4, 8, 0.95, 0.5, rng())), "even a perfect score is too near"


@pytest.fixture(scope="module")
def cells():
    """Patients of APL and AML with one smear of 12 cells, four in five of them predicted correctly."""
    rows = [
        {"patient_id": f"{diagnosis}{split}{i}", "diagnosis": diagnosis, "split": split, "cell_type": kind,
         "fraction": 60 if diagnosis == "APL" and i % 3 else 30 + i}
        for split in ("test", "external")
        for diagnosis, kind in (("APL", "abnormal_promyelocyte"), ("AML", "myeloblast"))
        for i in range(9)
        for _ in range(12)
    ]  # fmt: skip
    frame = pd.DataFrame(rows).assign(site="a", eligible=True, n_signed=100)
    frame = frame.assign(
        smear_id=frame["patient_id"] + "s", image_id=[f"i{n}" for n in range(len(frame))],
        n_promyelocyte_signed=frame.pop("fraction"),
    )  # fmt: skip
    for name in MODULE_1_CLASSES:
        frame[f"p1_{name}"] = 0.0
    right = rng(8).random(len(frame)) < 0.8
    promyelocyte = frame["cell_type"].eq("abnormal_promyelocyte") == right
    frame["p1_abnormal_promyelocyte"], frame["p1_blast"] = promyelocyte * 1.0, 1.0 - promyelocyte
    return frame


def test_the_table_says_what_the_patients_could_have_shown(cells):
    profile = Profile.load("smoke")
    patients, rule = apl.scores(cells), MajorityAboveThreshold(0.5)
    began = time.perf_counter()
    found = power.table(cells, patients, rule, profile)
    assert time.perf_counter() - began < 10
    frame = found.frame
    assert list(frame) == ["question", "patients", "smallest difference", "unit", "smallest AUC", "assumptions"]
    assert len(frame) == 8 and frame["patients"].eq(18).all()
    units = {value.key: value.unit for value in found.values}
    assert units["power.cells.test"] == "percentage points" and units["power.apl.external.chance"] == ""
    assert all(value.reproduced > 0 for value in found.values)
    areas = frame["unit"].eq("AUC")
    assert frame["smallest AUC"].notna().eq(areas & frame["smallest difference"].notna()).all()
    assert frame.loc[areas, "smallest AUC"].dropna().between(0.5, 1).all()
    chance = frame[frame["question"].str.contains("above 0.5")]
    assert (chance["smallest AUC"] - chance["smallest difference"]).to_numpy() == pytest.approx(0.5)
    stand = {value.key: (value.n_patients, value.n_smears, value.n_cells) for value in found.values}
    assert stand["power.cells.test"] == stand["power.smears.external"] == (18, 18, 216)
    assert stand["power.apl.external.chance"] == (18, None, 216)
    assert power.table(cells, patients, rule, profile).frame.equals(frame), "the same seed gives the same numbers"


def test_smears_without_a_diagnosis_are_not_counted_as_wrong(cells):
    first = cells["patient_id"].eq("AMLtest0")
    hidden = cells.assign(diagnosis=cells["diagnosis"].where(~first, ""))
    profile, rule = Profile.load("smoke"), MajorityAboveThreshold(0.5)
    found = power.table(hidden, apl.scores(hidden), rule, profile).frame.set_index("question")
    assert found.loc["smears, testing: verdicts of two methods", "patients"] == 17
    assert found.loc["cells, testing: accuracy of two methods", "patients"] == 18, "its cells have labels"
    nothing = power.table(cells.assign(diagnosis=""), apl.scores(hidden).iloc[:0], rule, profile).frame
    assert not nothing["question"].str.startswith("smears").any()


def test_without_patients_to_judge_it_is_unavailable(cells):
    nobody = cells.assign(split="train")
    found = power.table(nobody, apl.scores(nobody), MajorityAboveThreshold(0.5), Profile.load("smoke"))
    assert isinstance(found, Unavailable)
