"""A training is loaded when it is finished, repeated when settings change, and continued when it was cut short."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.diagnosis import outside
from alnet_lib.diagnosis.model import ALNet
from alnet_lib.diagnosis.tasks import MODULE_1, MODULE_2
from alnet_lib.experiments import datasets, module_training
from alnet_lib.imaging import augmentation
from alnet_lib.training import fitting


def test_a_finished_training_is_loaded_and_a_changed_one_repeated(setup, monkeypatch):
    first = module_training.train(setup, MODULE_1, setup.profile.module_1)
    fit = fitting.fit
    monkeypatch.setattr(fitting, "fit", None)
    again = module_training.train(setup, MODULE_1, setup.profile.module_1)
    assert again.validation_accuracy == first.validation_accuracy and again.counts.equals(first.counts)
    for name, value in first.network.state_dict().items():
        assert torch.equal(value, again.network.state_dict()[name]), name
    monkeypatch.setattr(fitting, "fit", fit)
    longer = setup.profile.module_1.model_copy(update={"iterations": 5})
    assert len(module_training.train(setup, MODULE_1, longer).history) == 5


def test_a_training_that_was_cut_short_continues_with_the_same_numbers(setup, tmp_path):
    whole = module_training.train(setup, MODULE_1, setup.profile.module_1)

    def cut(done, _):
        if done == 3:
            raise KeyboardInterrupt

    broken = replace(setup, folder=tmp_path / "cut", progress=lambda *_: cut)
    with pytest.raises(KeyboardInterrupt):
        module_training.train(broken, MODULE_1, setup.profile.module_1)
    seen = []
    resumed = replace(broken, progress=lambda *_: lambda done, _: seen.append(done))
    trained = module_training.train(resumed, MODULE_1, setup.profile.module_1)
    assert seen == [3, 4], "two iterations were saved"
    np.testing.assert_array_equal(trained.history["loss"], whole.history["loss"])
    assert not list((tmp_path / "cut" / "models").glob("*.checkpoint"))


def test_counts_are_those_of_the_plan_and_of_the_one_validation_split(setup):
    trained = module_training.train(setup, MODULE_1, setup.profile.module_1)
    planned = datasets.planned(setup.data.manifest, MODULE_1, setup.profile)
    assert trained.counts[["train", "validation"]].to_numpy().tolist() == planned.to_numpy().tolist()
    assert trained.counts["train, balanced"].ge(trained.counts["train"]).all()


def test_a_task_without_two_classes_says_what_is_lacking(setup):
    data = setup.data.with_manifest(setup.data.manifest.replace({"cell_type": {"b_lymphoblast": "myeloblast"}}))
    found = module_training.train(replace(setup, data=data), MODULE_2, setup.profile.module_2)
    assert isinstance(found, Unavailable) and "lacks B-Lymphoblasts" in found.reason


def test_a_training_on_given_images_draws_by_its_name_and_seed(setup, monkeypatch):
    drawn = []
    monkeypatch.setattr(module_training, "begin", lambda profile, backbone, images, *, name: drawn.append(name))
    monkeypatch.setattr(
        fitting, "fit", lambda network, images, plan, held, opts, **_: drawn.append((plan, len(held), opts))
    )
    images = datasets.labelled(setup.data, MODULE_1)
    for seed, jitter in ((0, None), (0, 0.25), (1, None)):
        module_training.fitted(setup, MODULE_1, images, setup.profile.module_1, name="study", jitter=jitter, seed=seed)
    assert drawn[::2] == ["study/module_1", "study/module_1", "study/module_1/seed 1"]
    (plain, held, first), (_, _, jittered), (other, _, second) = drawn[1::2]
    expected = augmentation.balancing_plan(
        images.labels, setup.profile.module_1.upsample_target, setup.profile.generator("study/plan/module_1"),
        augmentations_per_image=setup.profile.augmentations_per_image, rotation=setup.profile.rotation,
    )  # fmt: skip
    np.testing.assert_array_equal(plain.source, expected.source)
    assert first.seed == setup.profile.torch_seed("training/study/module_1") % (1 << 31) != second.seed and not held
    assert jittered == replace(first, colour_jitter=0.25)
    assert not np.array_equal(plain.source, other.source)
    same = [module_training.fitted_key(setup, MODULE_1, images, setup.profile.module_1, name="study") for _ in "ab"]
    keys = {
        *same,
        module_training.fitted_key(setup, MODULE_1, images, setup.profile.module_1, name="study", seed=1),
        module_training.fitted_key(setup, MODULE_1, images.take(np.arange(9)), setup.profile.module_1, name="study"),
    }
    assert len(keys) == 3


def test_without_module_1_there_are_no_predictions_and_no_held_out_smears(setup):
    none = Unavailable("two classes are needed")
    found = module_training.predicted(setup, none, none)
    assert isinstance(found, Unavailable) and found.reason == "module 1 cannot be trained: two classes are needed"
    left = setup.folder / "models" / outside.FILE
    left.parent.mkdir()
    left.write_bytes(b"of an earlier training")
    assert isinstance(module_training.hold_out(setup, none, found), Unavailable) and not left.exists()
    assert module_training.counted(found) == found
    assert module_training.lacking(none, none)[1] == ("Module 2 is unavailable: {reason}.", {"reason": none.reason})


def test_what_gave_way_in_a_training_is_told_with_its_name_now_and_when_it_is_loaded(setup, monkeypatch):
    fit = fitting.fit

    def short_of_memory(*given, **more):
        done = fit(*given, **more)
        done.notes.append("iteration 3: out of memory, from then on 4 images at a time")
        return done

    monkeypatch.setattr(fitting, "fit", short_of_memory)
    told = " (module_1: iteration 3: out of memory, from then on 4 images at a time.)"
    for _ in range(2):
        trained = module_training.train(setup, MODULE_1, setup.profile.module_1)
        assert module_training.noted(trained, Unavailable("none")) == told
        monkeypatch.setattr(fitting, "fit", None)
    trained.notes.clear()
    assert module_training.noted(trained) == ""


def test_the_testing_smears_are_kept_with_the_digest_of_the_weights(setup, monkeypatch):
    trained = module_training.train(setup, MODULE_1, setup.profile.module_1)
    cells = module_training.predicted(setup, trained, Unavailable("none"))
    assert len(cells) == len(setup.data.manifest) and module_training.lacking(trained) == []
    monkeypatch.setattr(outside, "MIN_PATIENTS", 99)
    few = module_training.hold_out(setup, trained, cells)
    assert "99 testing patients are needed" in few.reason and not (setup.folder / "models" / outside.FILE).exists()
    monkeypatch.setattr(outside, "MIN_PATIENTS", 2)
    kept = module_training.hold_out(setup, trained, cells)
    model = ALNet.load(setup.folder)
    assert kept.weights == model.settings["sha256"] == model.held_out.weights
    tested = cells[cells["split"].eq("test")]
    assert len(kept.smears) == tested["smear_id"].nunique() and kept.patients == tested["patient_id"].nunique()
    nameless = module_training.hold_out(setup, trained, cells.assign(smear_known=False))
    assert isinstance(nameless, Unavailable)
