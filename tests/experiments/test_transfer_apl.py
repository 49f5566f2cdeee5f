"""APL against AML by patient: no fit sees a patient it judges; what cannot be had is left out and named."""

import argparse
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from faults.damage import damage
from miniatures import benchmark
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from torch import nn

from alnet_lib.core.integrity import index
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import FrozenStart, Transfer
from alnet_lib.experiments import module_training
from alnet_lib.experiments.datasets import CellImages
from alnet_lib.experiments.preparation import options
from alnet_lib.experiments.transfer import cross_validation, embeddings, methods, patients
from alnet_lib.experiments.transfer.fine_tuning import FineTuned, turned
from alnet_lib.imaging import handcrafted
from alnet_lib.networks.starts.files import StartError

RANDOM = FrozenStart(network="squeezenet1_1", start="random")
FILE = FrozenStart(network="squeezenet1_1", start="/nowhere/told.safetensors")
ABSENT = FrozenStart(network="squeezenet1_1", start="hf-hub:nobody/nothing")


def cohort(apl, aml, cells=4, external=0, colour=None, seed=0):
    """Patients of APL and AML with cells of 32 pixels; the colour of a patient's cells is told by `colour`."""
    rng = np.random.default_rng(seed)
    diagnoses = ["APL"] * apl + ["AML"] * aml
    later = [False] * (apl - external) + [True] * external + [False] * (aml - external) + [True] * external
    rows = [
        {
            "patient_id": f"p{number}", "smear_id": f"s{number}", "site": "a", "diagnosis": diagnosis,
            "split": "external" if later[number] else "train", "image_id": f"p{number}-{cell}",
            "cell_type": {"APL": "abnormal_promyelocyte", "AML": "myeloblast"}[diagnosis],
        }
        for number, diagnosis in enumerate(diagnoses)
        for cell in range(cells)
    ]  # fmt: skip
    manifest = pd.DataFrame(rows)
    shades = [colour(number, diagnosis, rng) for number, diagnosis in enumerate(diagnoses)]
    pixels = rng.integers(0, 20, (len(rows), 32, 32, 3)) + np.repeat(shades, cells, 0)[:, None, None]
    return CellImages(manifest, pixels.clip(0, 255).astype(np.uint8), f"{apl}-{aml}-{seed}")


def separable(number, diagnosis, rng):
    return [180, 90, 60] if diagnosis == "APL" else [60, 90, 180]


def identity(number, diagnosis, rng):
    """A colour that tells the patient and nothing else."""
    return rng.integers(20, 220, 3)


def features_of(data, rng=None):
    values = (rng or np.random.default_rng(1)).normal(size=(len(data.manifest), len(handcrafted.names())))
    return pd.DataFrame(values, columns=handcrafted.names())


@pytest.fixture
def over(setup):
    """A function: the setup over other cells, with settings of `transfer`."""

    def changed(data, **asked):
        few = {"components": 5, "inverse_regularisation": (0.01, 1.0)}
        chosen = {"starts": (RANDOM,), "image_size": 32, "repeats": 2, "folds": 3} | few | asked
        vote = setup.profile.learned_vote.model_copy(update={"epochs": 5, "learning_rate": 0.05, "dropout": 0.0})
        update = {
            "transfer": Transfer(**chosen),
            "learned_vote": vote,
            "start": "random",
            "image_size": 32,
            "crop": 0.7,
        }
        return replace(setup, data=data, profile=setup.profile.model_copy(update=update))

    return changed


@pytest.fixture
def weights_of_a_file(monkeypatch):
    """Starts that are files give the random network; so `told` is a pretrained start without any file."""
    begin, describe = embeddings.begin, embeddings.starts.describe

    def mine(profile, backbone, fit_on, *, name):
        return begin(profile.model_copy(update={"start": "random"}), backbone, fit_on, name="told")

    def other(start, network, weights_dir=""):
        return describe("random", network, weights_dir)

    def started(profile, backbone, fit_on, *, name):
        if profile.start.startswith("hf-hub:"):
            raise StartError("that start is for nobody. Details follow")
        return (mine if profile.start != "random" else begin)(profile, backbone, fit_on, name=name)

    monkeypatch.setattr(embeddings, "begin", started)
    monkeypatch.setattr(embeddings.starts, "describe", other)


def pooled(judged, score):
    own = judged.rows[judged.rows["repeat"].ne(patients.DISCOVERY)].groupby("patient_id")[["apl", score]].mean()
    return roc_auc_score(own["apl"], own[score])


def test_no_patient_is_fitted_on_and_judged_and_each_is_judged_once_a_deal(over):
    cells = patients.voting(cohort(5, 7, external=2, colour=separable).manifest)
    folds = patients.deal(cells, over(None).profile, folds=3, repeats=2)
    for fold in [*folds, patients.discovery(cells)]:
        assert not set(cells["patient_id"][fold.fit]) & set(cells["patient_id"][fold.judged]), fold.name
    for repeat in (1, 2):
        assert (np.sum([fold.judged for fold in folds if fold.repeat == repeat], axis=0) == 1).all()
    assert not np.array_equal(folds[0].judged, folds[3].judged), "each deal is another one"
    later = patients.discovery(cells)
    assert cells["split"][later.judged].eq("external").all() and cells["split"][later.fit].eq("train").all()


def test_who_votes_and_what_each_weighs():
    manifest = cohort(2, 3, colour=separable).manifest
    manifest = manifest.assign(immature=True, smear_known=True)
    manifest.loc[0, "immature"], manifest.loc[4:7, "smear_known"] = False, False
    cells = patients.voting(manifest)
    assert len(cells) == 20 - 5 and "p1" not in set(cells["patient_id"])
    assert cells["row"].tolist() == [1, 2, 3, *range(8, 20)]
    weight = pd.Series(patients.weights(cells))
    assert np.isclose(weight.groupby(cells["apl"]).sum(), len(cells) / 2).all()
    assert np.isclose(weight.groupby(cells["patient_id"]).sum()[["p2", "p3", "p4"]], len(cells) / 6).all()


def test_two_patients_give_two_folds_and_one_diagnosis_none(over):
    profile = over(None).profile
    two = patients.voting(cohort(2, 6, colour=separable).manifest)
    assert {fold.number for fold in patients.deal(two, profile, folds=5, repeats=1)} == {1, 2}
    for apl, aml in ((0, 6), (6, 0), (1, 6)):
        data = cohort(apl, aml, colour=separable)
        found = cross_validation.cross_validated(over(data), features_of(data))
        assert isinstance(found, Unavailable) and f"there are {apl} and {aml}" in found.reason


def test_without_settings_it_is_unavailable(setup):
    bare = replace(setup, profile=setup.profile.model_copy(update={"transfer": None}))
    found = embeddings.seen(bare, lambda size, crop: pytest.fail("no picture is needed"))
    assert isinstance(found, Unavailable) and "transfer" in found.reason
    assert cross_validation.cross_validated(found, pd.DataFrame()) is found


def test_separable_patients_are_told_apart_by_every_method(over, weights_of_a_file):
    data = cohort(6, 6, external=2, colour=separable)
    data = data.with_manifest(
        data.manifest.assign(n_signed=100, n_promyelocyte_signed=np.where(data.manifest["diagnosis"].eq("APL"), 80, 2))
    )
    asked = over(data, starts=(RANDOM, FILE, ABSENT))
    noise = features_of(data)
    noise["nucleus_area"] += 50.0 * data.manifest["diagnosis"].eq("APL")
    judged = cross_validation.cross_validated(asked, noise)
    for score in judged.titles:
        assert pooled(judged, score) == 1, score
        later = judged.rows[judged.rows["repeat"].eq(patients.DISCOVERY)]
        assert roc_auc_score(later["apl"].astype(bool), later[score]) == 1, score
    assert list(judged.titles) == [
        "promyelocyte_fraction", "background", "colour_and_size", "handcrafted", "frozen_squeezenet1_1_random",
        "frozen_squeezenet1_1_told", "frozen_vote", "attention",
    ]  # fmt: skip
    assert judged.pairs == (("frozen_squeezenet1_1_told", "frozen_squeezenet1_1_random"),)
    (note,) = judged.notes
    assert note.startswith("Left out: SqueezeNet 1.1, hf-hub:nobody/nothing (that start is for nobody).")
    assert judged.rows["frozen_vote"].between(0, 1).all()


def test_who_a_patient_is_tells_nothing_of_the_diagnosis(over, weights_of_a_file):
    data = cohort(12, 12, colour=identity)
    judged = cross_validation.cross_validated(over(data, starts=(RANDOM, FILE), folds=4), features_of(data))
    own = [pooled(judged, score) for score in judged.titles]
    assert min(own) > 0.15 and max(own) < 0.85 and 0.3 < np.mean(own) < 0.7, own


def test_a_leak_would_be_seen(over):
    """The same cohort judged by what was fitted on the judged patients themselves."""
    data = cohort(12, 12, colour=identity)
    asked, cells = over(data), patients.voting(data.manifest)
    everyone = np.ones(len(cells), bool)
    known = np.eye(24)[cells["patient_id"].factorize()[0]]
    ways = [replace(methods.plain(asked, cells, features_of(data))[0], key="who", title="who", values=known)]
    rows = cross_validation.judge(cells, [patients.Fold(1, 1, everyone, everyone)], ways)
    assert roc_auc_score(rows["apl"], rows["who"]) == 1


def drawn(rng, told, width=8, people=24, cells=4):
    """Cells whose columns tell the patient, and one of them the diagnosis as well, by `told` standard deviations."""
    known = pd.DataFrame({"patient_id": np.repeat([f"p{i}" for i in range(people)], cells)})
    known["apl"] = np.repeat(np.arange(people) % 3 == 0, cells)
    values = np.repeat(rng.normal(size=(people, width)), cells, axis=0) + rng.normal(0, 0.1, (len(known), width))
    values[:, 4] += told * known["apl"]
    return known, values


@pytest.mark.parametrize(("told", "expected"), [(0.0, 1e-6), (10.0, 10.0)])
def test_regularisation_is_strong_where_patients_tell_nothing_of_others(told, expected):
    known, values = drawn(np.random.default_rng(3), told)
    assert methods.chosen(values, known, [1e-6, 1e-3, 10.0], seed=1) == expected


@pytest.mark.parametrize("seed", range(8))
def test_the_choice_is_that_of_a_loop_by_hand(seed):
    """The weighted log loss of each fold's left-out patients, written out."""
    rng = np.random.default_rng(seed)
    known, values = drawn(rng, 1.0, people=18, cells=20)
    kept = np.flatnonzero(rng.random(len(known)) < np.repeat(rng.choice([0.2, 0.9], 18), 20))
    known, values = known.iloc[kept].reset_index(drop=True), values[kept]
    losses = dict.fromkeys(np.logspace(-4, 1, 11).tolist(), 0.0)
    apl, weight = known.groupby("patient_id")["apl"].first(), patients.weights(known)
    for _, out in StratifiedKFold(5, shuffle=True, random_state=7).split(apl, apl):
        held = known["patient_id"].isin(apl.index[out])
        for inverse in losses:
            model = LogisticRegression(C=inverse, max_iter=2000)
            model.fit(values[~held], known["apl"][~held], sample_weight=weight[~held])
            odds = np.where(known["apl"], -1, 1) * model.decision_function(values)
            losses[inverse] += (weight * np.logaddexp(0, odds))[held].sum()
    assert methods.chosen(values, known, list(losses), seed=7) == min(losses, key=losses.get)


def test_nothing_is_chosen_where_nothing_can_be(monkeypatch):
    known, values = drawn(np.random.default_rng(5), 0)
    monkeypatch.setattr(methods, "cross_val_predict", lambda *_, **__: pytest.fail("no fit is needed"))
    assert methods.chosen(values, known, [0.1], seed=1) == 0.1
    one = known["patient_id"].isin(["p0", "p1", "p2"]).to_numpy()
    assert methods.chosen(values[one], known[one], [0.1, 0.01], seed=1) == 0.01


def test_judged_patients_have_no_part_in_the_fit_or_the_choice(over):
    data = cohort(6, 9, colour=identity)
    asked = over(data, inverse_regularisation=tuple(np.logspace(-6, 2, 9)))
    cells = patients.voting(data.manifest)
    fold = patients.deal(cells, asked.profile, folds=3, repeats=1)[0]
    rng = np.random.default_rng(6)
    values = rng.normal(size=(len(cells), 12))
    (way,) = methods.frozen(asked, cells, embeddings.Embedded(np.arange(len(cells)), {RANDOM: values}, {}))
    others = values.copy()
    others[fold.judged] += 3 * ~cells["apl"].to_numpy()[fold.judged, None]
    relabelled = cells.assign(apl=cells["apl"] ^ fold.judged)
    first, second = (one(fold)[way.key] for one in (way, replace(way, values=others, cells=relabelled)))
    assert np.array_equal(first[fold.fit], second[fold.fit])
    assert not np.array_equal(first[fold.judged], second[fold.judged])


def test_folds_of_other_regularisation_can_be_pooled(over, monkeypatch):
    """Where a fold's C is a thousand times smaller, so are its log-odds; a patient's rank must not show it."""
    data = cohort(6, 9, colour=separable)
    asked, cells = over(data), patients.voting(data.manifest)
    way = methods.plain(asked, cells, features_of(data))[1]
    fold = patients.deal(cells, asked.profile, folds=3, repeats=1)[0]
    found = {}
    for inverse in (1e-4, 1.0):
        monkeypatch.setattr(methods, "chosen", lambda *_, inverse=inverse, **__: inverse)
        found[inverse] = way(fold)[way.key]
        assert found[inverse][fold.fit].std() == pytest.approx(1)
    assert np.allclose(found[1e-4], found[1.0], atol=0.3) and np.ptp(found[1.0]) > 1


@pytest.mark.parametrize("wrong", [{"components": 1}, {"turns": 5}, {"inverse_regularisation": 0.01},
                                   {"inverse_regularisation": ()}, {"inverse_regularisation": (0.1, 0.0)}])  # fmt: skip
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Transfer(starts=(RANDOM,), **wrong)


def test_the_ensemble_is_the_mean_of_standardised_log_odds():
    cells = patients.voting(cohort(2, 2, cells=3, colour=separable).manifest)
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, len(cells)))
    ways = [methods.Given("a", "a", a), methods.Given("b", "b", 10 * b)]
    fit = cells["patient_id"].isin(["p0", "p2"]).to_numpy()
    rows = cross_validation.judge(cells, [patients.Fold(1, 1, fit, ~fit)], ways, ("a", "b"))
    expected = pd.Series((a / a[fit].std() + b / b[fit].std()) / 2)[~fit].groupby(cells["patient_id"]).mean()
    assert np.allclose(rows.set_index("patient_id")["ensemble"], expected)
    rows = cross_validation.judge(cells, [patients.Fold(1, 1, fit, ~fit)], ways, ("a", "missing"))
    assert "ensemble" not in rows


def test_the_background_is_outside_the_circle():
    ring = methods.outside(40)
    assert not ring[20, 2:38].any() and ring[0].all() and ring[20, 0]
    assert 0.33 < ring.mean() < 0.40  # 1 - pi 0.45^2 = 0.364


class Colours(nn.Module):
    """Stands for a network: red speaks for the first class, blue for the second."""

    def __init__(self, classes):
        super().__init__()
        self.classes, self.preprocessing = classes, nn.Identity()

    def forward(self, images):
        mean = images.mean((2, 3))
        others = mean.new_full((len(mean), len(self.classes) - 2), -1.0)
        return torch.cat([5 * mean[:, :1], 5 * mean[:, 2:], others], 1)


@pytest.fixture
def trained(monkeypatch):
    """The images of each training, by its name; trainings take no time."""
    given = {}

    def fitted(setup, spec, images, settings, *, name, label):
        given[name] = images
        return Colours(images.classes), options(setup, settings, name=name)

    monkeypatch.setattr(module_training, "fitted", fitted)
    return given


def with_others(data, patient, count=3):
    """Further lymphocytes of a patient, of which none votes."""
    more = data.manifest.iloc[:count].assign(
        patient_id=patient, cell_type="lymphocyte", diagnosis=None, image_id=[f"other-{i}" for i in range(count)]
    )
    manifest = pd.concat([data.manifest, more], ignore_index=True)
    manifest = manifest.assign(immature=manifest["cell_type"].ne("lymphocyte"))
    return replace(data, manifest=manifest, pixels=np.concatenate([data.pixels, data.pixels[:count]]))


def test_fine_tuning_leaves_out_all_cells_of_the_judged_patients(over, trained):
    data = with_others(cohort(4, 4, external=1, colour=separable), "p0")
    asked = over(data, fine_tuned=over(None).profile.module_1)
    judged = cross_validation.cross_validated(asked, features_of(data))
    assert pooled(judged, "fine_tuned") == 1 and set(trained) == {
        "transfer/discovery", "transfer/deal-1-fold-1", "transfer/deal-1-fold-2", "transfer/deal-1-fold-3",
    }  # fmt: skip
    cells = patients.voting(data.manifest)
    for fold in [patients.discovery(cells), *patients.deal(cells, asked.profile, folds=3, repeats=1)]:
        images = trained[f"transfer/{fold.name}"]
        people = set(data.manifest["patient_id"].iloc[images.rows])
        assert not people & set(cells["patient_id"][fold.judged]), fold.name
        assert images.classes[:2] == ("APL", "AML") and ("lymphocyte" in images.classes) == ("p0" in people)
    assert judged.rows.loc[judged.rows["repeat"].eq(2), "fine_tuned"].isna().all(), "only the first deal"


def test_scores_of_a_fold_are_used_again_until_the_key_changes(over, trained):
    data = cohort(3, 3, colour=separable)
    settings = over(None).profile.module_1
    asked, cells = over(data), patients.voting(data.manifest)
    fold = patients.deal(cells, asked.profile, folds=3, repeats=1)[0]
    first = FineTuned(asked, cells, settings)(fold)["fine_tuned"]
    trained.clear()
    assert np.array_equal(FineTuned(asked, cells, settings)(fold)["fine_tuned"], first) and not trained
    index.begin(asked.folder)
    file = asked.folder / "transfer" / f"{fold.name}.parquet"
    index.record(file)
    damage(file, "flipped", keep_time=True)
    FineTuned(asked, cells, settings)(fold)
    assert trained and file.with_name(f"{file.name}.damaged").is_file(), "damaged scores are made again"
    changes = {
        "another rate": (asked, settings.model_copy(update={"lr_max": settings.lr_max * 2})),
        "other pictures": (replace(asked, data=replace(data, content_hash="another")), settings),
    }
    for why, (other, chosen) in changes.items():
        trained.clear()
        FineTuned(other, cells, chosen)(fold)
        assert trained, why


def test_predictions_are_averaged_over_four_turns(over):
    pixels = np.random.default_rng(2).integers(0, 255, (3, 32, 32, 3), dtype=np.uint8)
    opts = options(over(None), over(None).profile.module_1, name="turned")

    class Corner(Colours):
        def forward(self, images):
            return super().forward(images[..., :16, :16])

    found = turned(Corner(("APL", "AML")), pixels, opts)
    means = [np.rot90(pixels, k, axes=(1, 2))[:, :16, :16].mean((1, 2)) / 255 for k in range(4)]
    assert np.allclose(found, np.mean([5 * (m[:, 0] - m[:, 2]) for m in means], axis=0), atol=1e-2)


def test_the_benchmark_pairs_each_start_with_the_random_one(over, weights_of_a_file):
    bench = benchmark("starts")
    assert bench.start("squeezenet1_1=random") == RANDOM
    with pytest.raises(argparse.ArgumentTypeError, match="NETWORK=START"):
        bench.start("vgg16")
    data = cohort(3, 3, external=1, colour=separable)
    found = bench.measured(over(data, starts=(RANDOM, FILE, ABSENT), repeats=1), features_of(data))
    assert list(found["AUC"]) == [
        "background", "colour and size", "frozen: SqueezeNet 1.1, random", "frozen: SqueezeNet 1.1, told",
    ]  # fmt: skip
    assert all(own["cross-validated"]["auc"] == own["external"]["auc"] == 1 for own in found["AUC"].values())
    assert found["differences"]["SqueezeNet 1.1, told, less SqueezeNet 1.1, random"]["cross-validated"]["auc"] == 0
    assert list(found["left out"]) == ["SqueezeNet 1.1, hf-hub:nobody/nothing"] and found["APL patients"] == 3
