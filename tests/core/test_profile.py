"""Profiles: the paper's numbers are in `paper`, mistakes are named, seeds are named for their purpose."""

import pytest

from alnet_lib.core.profile import HOLD_OUT, HOLD_OUT_BY_PATIENT, LearnedVote, Profile, ProfileError, Transfer
from alnet_lib.core.resources import PROFILES_DIR


@pytest.mark.parametrize("name", ["smoke", "quick", "paper"])
def test_profiles_in_the_repository_are_valid_for_every_cohort(name):
    for cohort in ("synthetic", "jhu_apl"):
        assert Profile.load(name, cohort).name == name


def test_paper_profile_is_the_papers_protocol():
    paper = Profile.load("paper")
    assert (paper.module_1.iterations, paper.module_1.batch_size) == (470, 64)
    assert (paper.module_1.backbone, paper.module_2.backbone) == ("vgg16", "vgg19")
    assert (paper.module_1.upsample_target, paper.module_2.upsample_target) == (2500, 2900)
    assert (paper.comparison.folds, paper.comparison.fine_tuned_blocks) == (5, (1, 2, 3, 4, 5))
    assert (paper.image_size, paper.start, paper.rotation, paper.augmentations_per_image) == (224, "imagenet", 60, 4)


def test_unknown_profile_and_unknown_setting_are_named(tmp_path):
    with pytest.raises(ProfileError, match=r"no profile `fast`: known are paper, quick, smoke"):
        Profile.load("fast")
    text = (PROFILES_DIR / "quick.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(text + "\nlearning_rat: 1\nscale: 7\n")
    with pytest.raises(ProfileError) as caught:
        Profile.load("mine", directory=tmp_path)
    assert "learning_rat" in str(caught.value) and "scale" in str(caught.value)


def test_generators_differ_by_purpose_and_repeat():
    profile = Profile.load("smoke")
    a, b, c = (profile.generator(p).random() for p in ("plan", "plan", "validation"))
    assert a == b != c


def test_cross_fitting_has_the_modules_own_settings_under_paper_and_quick():
    paper, quick, smoke = (Profile.load(name) for name in ("paper", "quick", "smoke"))
    assert (paper.ablation_seeds, quick.ablation_seeds, smoke.ablation_seeds) == (5, 5, 1)
    assert [profile.cross_fitting.folds for profile in (paper, quick, smoke)] == [5, 2, 2]
    for profile in (paper, quick, Profile.load("quick", "jhu_apl")):
        folds = profile.cross_fitting
        assert (folds.module_1, folds.module_2) == (profile.module_1, profile.module_2)
    assert smoke.cross_fitting.module_1.backbone == smoke.ablations.backbone
    assert Profile(**{**quick.model_dump(), "cross_fitting": None}).cross_fitting is None


def test_validation_by_patient_is_an_evaluation_with_all_iterations():
    quick = Profile.load("quick").comparison
    assert quick.evaluations[:3] == (HOLD_OUT, HOLD_OUT_BY_PATIENT, "fold-1")
    assert quick.training("vgg16", HOLD_OUT_BY_PATIENT) == quick.training("vgg16", HOLD_OUT)
    assert quick.training("vgg16", "fold-1").iterations == round(quick.fold_iterations * quick.iterations["default"])
    without = quick.model_copy(update={"validation_by_patient": False})
    assert HOLD_OUT_BY_PATIENT not in without.evaluations


def test_the_learned_votes_numbers_are_settings_that_are_checked(tmp_path):
    assert Profile.load("quick").learned_vote == LearnedVote(
        hidden=64, dropout=0.25, epochs=40, learning_rate=1e-3, weight_decay=1e-2
    )
    (tmp_path / "mine.yaml").write_text((PROFILES_DIR / "quick.yaml").read_text() + "\nlearned_vote: {epochs: 0}\n")
    with pytest.raises(ProfileError, match="epochs"):
        Profile.load("mine", directory=tmp_path)


def test_a_start_is_one_name_or_one_for_each_network():
    quick = Profile.load("quick", "jhu_apl")
    assert (quick.start_of("vgg16_miniature"), quick.start_of("squeezenet1_1")) == ("cells", "imagenet")
    assert Profile.load("paper").start_of("vgg16") == "imagenet"
    with pytest.raises(ValueError, match="no `default`"):
        Profile(**{**quick.model_dump(), "start": {"vgg16": "imagenet"}})


def test_every_network_that_a_profile_trains_is_named_once():
    assert Profile.load("paper").networks == ["vgg16", "vgg19", "resnet101", "densenet121", "senet154"]
    assert "squeezenet1_1" in Profile.load("quick", "jhu_apl").networks
    assert "squeezenet1_1" not in Profile.load("quick").networks


def test_starts_that_tables_could_not_tell_apart_are_refused():
    files = [{"network": "vgg16", "start": f"{folder}/mine.safetensors"} for folder in ("a", "b")]
    with pytest.raises(ValueError, match="same name in tables: mine of vgg16; rename a file"):
        Transfer(starts=files)
    alike = [{"network": "vgg16", "start": f"{name}.safetensors"} for name in ("mine-a", "Mine_A")]
    with pytest.raises(ValueError, match="mine-a of vgg16, Mine_A of vgg16"):
        Transfer(starts=alike)
    assert len(Transfer(starts=[files[0], {"network": "vgg19", "start": "b/mine.safetensors"}]).starts) == 2
