"""Distillation: students come nearer to the teacher's maps, and the same seed gives the same student."""

import numpy as np
import pytest
import torch

from alnet_lib.cohorts.manifest import CohortError
from alnet_lib.experiments.transfer import distillation, teaching_cells
from alnet_lib.experiments.transfer.distillation import Recipe
from alnet_lib.networks.building import build


@pytest.fixture(scope="module")
def cells():
    """Eight drawn cells."""
    return teaching_cells.drawn(8, 3)


def taught(cells, steps=2):
    teacher = build("squeezenet1_1", ("a", "b"), distillation.TEACHER_SIZE, seed=1)
    student = build("resnet_miniature", ("a", "b"), 64, seed=2)
    recipe = Recipe(steps=steps, batch_size=4)
    losses = distillation.distil(teacher, [student], [cells, cells[:3]], recipe)
    return student, losses[0]


def test_teaching_cells_depend_on_seed_and_number_alone(cells):
    assert cells.shape == (8, teaching_cells.SIDE, teaching_cells.SIDE, 3) and cells.dtype == np.uint8
    assert np.array_equal(teaching_cells.draw(5, 3), cells[5])
    assert not np.array_equal(teaching_cells.draw(5, 4), cells[5])


def test_views_are_pictures_and_differ(cells):
    views = distillation.views(cells, np.random.default_rng(0))
    assert views.shape == (8, 3, distillation.TEACHER_SIZE, distillation.TEACHER_SIZE)
    assert float(views.min()) >= 0 and float(views.max()) <= 1
    assert not torch.equal(views, distillation.views(cells, np.random.default_rng(1)))


@pytest.mark.slow
def test_the_same_seed_teaches_the_same_and_more_steps_teach_more(cells):
    threads = torch.get_num_threads()
    (first, early), (again, _) = taught(cells), taught(cells)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not first.training and torch.get_num_threads() == threads
    assert taught(cells, steps=12)[1] < early


def test_a_folder_without_cells_of_healthy_people_is_refused(tmp_path):
    with pytest.raises(CohortError):
        teaching_cells.healthy(tmp_path)
