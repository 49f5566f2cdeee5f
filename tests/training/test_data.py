"""The validation split, the sampling of patients, the batches of a training."""

import dataclasses

import numpy as np
import pytest
import torch

from alnet_lib.imaging import augmentation
from alnet_lib.training import data
from alnet_lib.training.options import Options

OPTIONS = Options(iterations=4, batch_size=8, lr_min=1e-4, lr_max=1e-3)


def plan(images):
    return augmentation.balancing_plan(images.labels, 25, np.random.default_rng(1))


def test_validation_is_a_fifth_of_every_class_and_disjoint():
    labels = np.repeat([0, 1, 2], [100, 50, 2])
    train, held = data.split_validation(labels, 0.2, np.random.default_rng(0))
    assert sorted([*train, *held]) == list(range(152))
    assert np.bincount(labels[held]).tolist() == [20, 10, 1]


def test_patient_sampling_makes_classes_and_patients_alike(images):
    groups = np.where(np.arange(40) < 36, 0, np.arange(40))
    uneven = dataclasses.replace(images, groups=groups)
    p = plan(uneven)
    weight = data.sampling_weights(uneven, p)
    labels, patients = uneven.labels[p.source], groups[p.source]
    assert weight.sum() == pytest.approx(1)
    assert weight[labels == 0].sum() == pytest.approx(0.5)
    assert weight[(labels == 0) & (patients == 0)].sum() == pytest.approx(0.5 / 3)


def test_an_epoch_shows_every_entry_once_and_the_next_in_another_order(images):
    batches = data.Batches(images, plan(images), OPTIONS)
    entries = np.concatenate([batches(i) for i in range(13)])
    first, second = entries[:50], entries[50:100]
    assert sorted(first) == sorted(second) == list(range(50))
    assert not np.array_equal(first, second)
    assert np.array_equal(batches(3), data.Batches(images, plan(images), OPTIONS)(3))


def test_images_on_the_device_are_the_same(images):
    some = images.take(np.array([3, 1, 7]))
    index = np.array([2, 0])
    assert torch.equal(some.batch(index, "cpu"), some.on(torch.device("cpu")).batch(index, torch.device("cpu")))
