"""The balancing plan reaches its targets as Table 6 asks; its transforms are what they say."""

import numpy as np
import pytest
import torch

from alnet_lib.imaging import augmentation
from alnet_lib.imaging.augmentation import Plan, balancing_plan


def counts(plan, labels):
    return np.bincount(labels[plan.source])


def test_every_image_is_kept_once_untouched_and_classes_reach_the_target():
    labels = np.repeat([0, 1, 2], [100, 30, 60])
    plan = balancing_plan(labels, 100, np.random.default_rng(0))
    assert counts(plan, labels).tolist() == [100, 100, 100]
    originals = np.flatnonzero(plan.original)[: len(labels)]
    assert plan.source[originals].tolist() == list(range(len(labels)))
    assert ((plan.angle >= 0) & (plan.angle <= 60)).all()


def test_the_papers_targets_for_module_2_cannot_be_reached_with_four_versions():
    # Table 6: 494 B-lymphoblast images upsampled to 2,900; four versions of each give 494 * 5.
    labels = np.repeat([0, 1], [2296, 494])
    plan = balancing_plan(labels, 2900, np.random.default_rng(0), augmentations_per_image=4)
    assert counts(plan, labels).tolist() == [2900, 2470]


def test_no_image_gets_a_second_version_before_all_have_one_and_larger_classes_stay_whole():
    labels = np.repeat([0, 1], [50, 10])
    plan = balancing_plan(labels, 25, np.random.default_rng(0))
    assert counts(plan, labels).tolist() == [50, 25]
    versions = np.bincount(plan.source)[50:] - 1
    assert set(versions) == {1, 2}


def test_the_plan_depends_on_its_generator_alone():
    labels = np.repeat([0, 1], [20, 5])
    a, b = (balancing_plan(labels, 20, np.random.default_rng(7)) for _ in range(2))
    assert (a.source == b.source).all() and (a.angle == b.angle).all()
    assert (a.angle != balancing_plan(labels, 20, np.random.default_rng(8)).angle).any()


def plan_of(vertical, horizontal, angle):
    n = len(angle)
    return Plan(np.arange(n), np.array(vertical), np.array(horizontal), np.array(angle, np.float32))


def test_originals_come_back_bit_for_bit_and_flips_are_exact():
    images = torch.rand(3, 3, 9, 9)
    plan = plan_of([False, True, False], [False, False, True], [0, 0, 0])
    out = augmentation.transform(images, plan, np.arange(3))
    assert torch.equal(out[0], images[0])
    assert torch.equal(out[1], images[1].flip(1))
    assert torch.equal(out[2], images[2].flip(2))


def test_rotation_agrees_with_pillow_inside_the_inscribed_circle():
    from PIL import Image

    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (8, 8), dtype=np.uint8)
    picture = Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC)
    ours = augmentation.rotate(torch.tensor(np.array(picture), dtype=torch.float32)[None, None], np.array([30.0]))[
        0, 0
    ].numpy()
    candidates = [np.array(picture.rotate(a, Image.Resampling.BILINEAR), np.float32) for a in (30, -30)]
    y, x = np.mgrid[:64, :64] - 31.5
    inside = np.hypot(x, y) < 28
    errors = [np.abs(ours - other)[inside].mean() for other in candidates]
    assert min(errors) < 2.0 < max(errors)


def test_a_quarter_turn_of_a_rotation_is_rot90():
    image = torch.rand(1, 3, 16, 16)
    turned = augmentation.rotate(image, np.array([90.0]))
    matches = [torch.allclose(turned, torch.rot90(image, k, (2, 3)), atol=1e-4) for k in (1, 3)]
    assert any(matches)


def test_stain_jitter_keeps_white_and_black_and_range():
    images = torch.cat([torch.ones(1, 3, 4, 4), torch.rand(1, 3, 4, 4)])
    out = augmentation.jitter_stain(images, 0.3, np.random.default_rng(0))
    assert torch.equal(out[0], images[0])
    assert out.min() >= 0 and out.max() <= 1
    assert not torch.allclose(out[1], images[1])


def test_scale_jitter_zooms_about_the_centre():
    dot = torch.zeros(64, 1, 33, 33)
    dot[:, :, 12:21, 12:21] = 1
    out = augmentation.vary_scale(dot, 0.3, np.random.default_rng(0))
    rows = torch.arange(33).float() - 16
    centre = (out.sum((1, 3)) * rows).sum(1) / out.sum((1, 2, 3))
    assert centre.abs().max() < 0.05
    magnified = (out.sum((1, 2, 3)) / 81).sqrt()
    assert 0.68 < magnified.min() < 0.8 and 1.2 < magnified.max() < 1.32
    assert torch.allclose(augmentation.vary_scale(dot, 0.0, np.random.default_rng(0)), dot, atol=1e-5)


def test_focus_jitter_blurs_half_of_the_images_and_keeps_their_mean_light():
    images = torch.rand(400, 3, 8, 8)
    out = augmentation.vary_focus(images, 1.0, np.random.default_rng(0))
    same = (out == images).flatten(1).all(1)
    assert 0.42 < same.float().mean() < 0.58
    assert (out[~same].var((1, 2, 3)) < images[~same].var((1, 2, 3))).all()
    assert torch.allclose(out.mean(), images.mean(), atol=5e-3)


def test_light_jitter_multiplies_each_channel_and_stays_in_range():
    images = torch.full((200, 3, 2, 2), 0.5)
    out = augmentation.vary_light(images, 0.2, np.random.default_rng(0))
    assert torch.equal(out, out[:, :, :1, :1].expand_as(out)), "one factor a channel"
    assert 0.4 <= out.min() < 0.42 and 0.58 < out.max() <= 0.6
    assert augmentation.vary_light(torch.ones(50, 3, 2, 2), 0.2, np.random.default_rng(0)).max() == 1


def test_random_rotation_turns_half_of_the_images_whatever_their_class():
    images = torch.rand(400, 3, 16, 16)
    turned = augmentation.random_orientation(images, np.random.default_rng(0), 60.0)
    kept = [
        torch.equal(a.sort().values, b.sort().values) for a, b in zip(images.flatten(1), turned.flatten(1), strict=True)
    ]
    assert 0.42 < np.mean(kept) < 0.58


def test_random_orientation_only_permutes_pixels():
    images = torch.rand(16, 3, 5, 5)
    out = augmentation.random_orientation(images, np.random.default_rng(0))
    assert torch.allclose(out.flatten(2).sort(2).values, images.flatten(2).sort(2).values)
    assert not torch.equal(out, images)


@pytest.mark.parametrize("n", [1, 2])
def test_a_class_of_one_image_can_be_balanced(n):
    labels = np.repeat([0, 1], [10, n])
    plan = balancing_plan(labels, 10, np.random.default_rng(0), augmentations_per_image=4)
    assert counts(plan, labels).tolist() == [10, min(10, 5 * n)]
