"""Cross-fitting: no patient is predicted by a module that has seen that patient, and every training cell is."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import Profile
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2
from alnet_lib.experiments import cross_fitting, module_training
from alnet_lib.experiments.preparation import options


class Colours(nn.Module):
    """Stands for a network: logits are colours times weights that depend on its training."""

    def __init__(self, classes, seed):
        super().__init__()
        self.classes, self.preprocessing = classes, nn.Identity()
        weights = torch.randn(3, len(classes), generator=torch.Generator().manual_seed(seed))
        self.register_buffer("weights", weights)

    def forward(self, images):
        return images.mean((2, 3)) @ self.weights


@pytest.fixture
def trained(monkeypatch):
    """The rows that each training was given, by module and fold; trainings take no time."""
    rows = {}

    def fitted(setup, spec, images, settings, *, name):
        rows[spec.name, int(name.split()[-1])] = images.rows
        opts = options(setup, settings, name=f"{name}/{spec.name}")
        return Colours(images.classes, opts.seed + int(images.rows.sum())), opts

    monkeypatch.setattr(module_training, "fitted", fitted)
    return rows


def with_manifest(setup, manifest):
    return replace(setup, data=setup.data.with_manifest(manifest))


def test_every_training_cell_is_predicted_once_by_modules_without_its_patient(setup, trained):
    cells, manifest = cross_fitting.cross_fitted(setup), setup.data.manifest
    assert cells["image_id"].tolist() == manifest["image_id"][manifest["split"].eq("train")].tolist()
    assert MODULE_1.predicts(cells) and MODULE_2.predicts(cells) and cells["eligible"].all()
    assert set(trained) == {(name, k) for name in ("module_1", "module_2") for k in (1, 2)}
    for (name, fold), rows in trained.items():
        fitted_on = manifest.iloc[rows]
        assert fitted_on["split"].eq("train").all()
        assert not set(fitted_on["patient_id"]) & set(cells["patient_id"][cells["fold"].eq(fold)]), (name, fold)
        others = cells[cells["fold"].ne(fold)]
        wanted = (MODULE_1 if name == "module_1" else MODULE_2).labelled(others)
        assert sorted(fitted_on["image_id"]) == sorted(wanted["image_id"]), "all other patients are fitted on"
    assert cells.groupby("patient_id")["fold"].nunique().eq(1).all()
    note = cross_fitting.note(setup, cells)
    assert note.startswith(f"{len(cells)} training cells of 15 patients, each predicted without its patient (2 folds)")
    assert cells["patient_id"].nunique() == 15 and "asks for" not in note


def test_a_note_names_the_networks_of_the_folds(setup):
    def made(name, cohort="synthetic"):
        profile = Profile.load(name, cohort)
        cells = pd.DataFrame({"patient_id": list("abc"), "fold": [1, 2, 3]})
        return cross_fitting.made_by(profile), cross_fitting.note(replace(setup, profile=profile), cells)

    for name in ("quick", "paper"):
        said, note = made(name)
        assert said == "by networks of module 1's own settings" and said in note and "may not" not in note
    said, note = made("smoke")
    assert said == "by ResNet, miniature (2 iterations), not module 1's VGG16, miniature (12 iterations)"
    assert said in note and "may not fit module 1" in note
    paper = Profile.load("paper")
    changed = {"module_1": paper.module_1.model_copy(update={"batch_size": 8})}
    near = paper.model_copy(update={"cross_fitting": paper.cross_fitting.model_copy(update=changed)})
    assert cross_fitting.made_by(near) == "by VGG16 (470 iterations), trained with other settings than module 1"
    assert "no `cross_fitting`" in cross_fitting.made_by(paper.model_copy(update={"cross_fitting": None}))


def test_cells_that_vote_without_a_label_are_predicted_and_train_nothing(setup, trained):
    manifest = setup.data.manifest.copy()
    train = np.flatnonzero(manifest["split"].eq("train") & manifest["diagnosis"].eq("AML"))
    manifest["immature"] = True
    manifest.loc[train[:3], "cell_type"] = ""
    manifest.loc[train[2], "immature"] = False
    cells = cross_fitting.cross_fitted(with_manifest(setup, manifest)).set_index("image_id")
    first, second, neither = manifest["image_id"].iloc[train[:3]]
    assert cells.loc[[first, second], MODULE_1.columns].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-3)
    assert neither not in cells.index
    assert not set(np.concatenate(list(trained.values()))) & set(train[:3])


def test_images_of_unknown_patients_are_always_fitted_on_and_never_predicted(setup, trained):
    manifest = setup.data.manifest
    unknown = manifest["patient_id"].str.endswith("p1")
    manifest = manifest.assign(smear_known=~unknown)
    cells = cross_fitting.cross_fitted(with_manifest(setup, manifest))
    assert not set(cells["image_id"]) & set(manifest["image_id"][unknown]) and len(cells)
    always = set(np.flatnonzero(unknown & manifest["split"].eq("train")))
    assert always and all(always <= set(rows) for (name, _), rows in trained.items() if name == "module_1")
    assert f"{len(always)} training cells of unknown patients" in cross_fitting.note(
        with_manifest(setup, manifest), cells
    )


def test_too_few_patients_or_a_class_of_one_patient_say_so(setup, trained):
    manifest = setup.data.manifest
    one = cross_fitting.cross_fitted(with_manifest(setup, manifest.assign(patient_id="only")))
    assert isinstance(one, Unavailable) and "two known patients" in one.reason
    alone = manifest.assign(patient_id=manifest["patient_id"].where(manifest["diagnosis"].ne("APL"), "apl"))
    found = cross_fitting.cross_fitted(with_manifest(setup, alone))
    assert isinstance(found, Unavailable) and "Abnormal promyelocytes" in found.reason
    lineage = manifest.assign(patient_id=manifest["patient_id"].where(manifest["diagnosis"].ne("ALL"), "all"))
    cells = cross_fitting.cross_fitted(with_manifest(setup, lineage))
    assert MODULE_1.predicts(cells) and not MODULE_2.predicts(cells), "blasts have other patients, B lymphoblasts none"
    without = setup.profile.model_copy(update={"cross_fitting": None})
    assert "cross_fitting" in cross_fitting.cross_fitted(replace(setup, profile=without)).reason
    assert not trained.get(("module_2", 1), np.array([])).size


def _cohort(rng):
    """61 training patients: two of ALL, three of AML, the others of three diagnoses; many have cells of two types."""
    kinds = {
        "b_lymphoblast": 2,
        "myeloblast": 3,
        "abnormal_promyelocyte": 12,
        "reactive_lymphocyte": 20,
        "monocyte": 24,
    }
    diagnosis = {"b_lymphoblast": "ALL", "myeloblast": "AML", "abnormal_promyelocyte": "APL",
                 "reactive_lymphocyte": "infection", "monocyte": "control"}  # fmt: skip
    rows = []
    for kind, patients in kinds.items():
        for patient in range(patients):
            types = [kind] * int(rng.integers(3, 30)) + ["lymphocyte"] * int(rng.integers(0, 9))
            rows += [{"cell_type": t, "patient_id": f"{kind}-{patient}", "diagnosis": diagnosis[kind]} for t in types]
    return pd.DataFrame(rows).assign(split="train", site="a")


def test_folds_balance_diagnoses_and_leave_no_class_in_one_fold(setup):
    manifest = _cohort(np.random.default_rng(4))
    fold_of = cross_fitting.folds(manifest, setup.profile, 5)
    assert set(fold_of) == {1, 2, 3, 4, 5} and len(fold_of) == manifest["patient_id"].nunique() == 61
    patients = manifest.drop_duplicates("patient_id").assign(fold=lambda m: m["patient_id"].map(fold_of))
    per = pd.crosstab(patients["diagnosis"], patients["fold"])
    assert (per.max(axis=1) - per.min(axis=1)).le(1).all(), per
    assert patients[patients["diagnosis"].eq("ALL")]["fold"].nunique() == 2
    share = manifest["patient_id"].map(fold_of).value_counts(normalize=True)
    assert share.between(0.12, 0.28).all(), share
    assert cross_fitting.lacking(manifest, MODULE_1, fold_of) is None
    assert cross_fitting.lacking(manifest, MODULE_2, fold_of) is None
    pd.testing.assert_series_equal(fold_of, cross_fitting.folds(manifest.sample(frac=1), setup.profile, 5))
    other = setup.profile.model_copy(update={"seed": 7})
    assert not fold_of.equals(cross_fitting.folds(manifest, other, 5))
    few = manifest[manifest["patient_id"].isin(["monocyte-0", "monocyte-1", "myeloblast-0"])]
    assert sorted(cross_fitting.folds(few, setup.profile, 5)) == [1, 2, 3]


def test_the_same_numbers_again_and_finished_folds_are_not_trained_again(setup, trained, tmp_path):
    first = cross_fitting.cross_fitted(setup)
    again = cross_fitting.cross_fitted(replace(setup, folder=tmp_path / "other"))
    pd.testing.assert_frame_equal(first, again)
    assert len(list((setup.folder / "cross_fitting").glob("*.parquet"))) == 4
    (setup.folder / "cross_fitting" / "fold-2-module_1.parquet").unlink()
    trained.clear()
    resumed = cross_fitting.cross_fitted(setup)
    assert list(trained) == [("module_1", 2)], "a killed run goes on with what is not there"
    pd.testing.assert_frame_equal(resumed, first)
    trained.clear()
    settings = setup.profile.cross_fitting
    longer = settings.model_copy(update={"module_1": settings.module_1.model_copy(update={"iterations": 3})})
    cross_fitting.cross_fitted(replace(setup, profile=setup.profile.model_copy(update={"cross_fitting": longer})))
    assert list(trained) == [("module_1", 1), ("module_1", 2)], "changed settings train again"
