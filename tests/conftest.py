"""Shared fixtures: a small drawn cohort, and the real one where it lies."""

import os
from pathlib import Path

import numpy as np
import pytest

from alnet_lib import cohorts
from alnet_lib.training import Images


@pytest.fixture(scope="session")
def twin(tmp_path_factory):
    """The drawn cohort at scale 0.004: a few pictures of every class, split and site."""
    return cohorts.build("synthetic", tmp_path_factory.mktemp("twin dir, ä"), scale=0.004)


def _folder_named_by(variable, what):
    folder = os.environ.get(variable, "")
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"set {variable} to the folder of {what} to run this test")
    return Path(folder)


@pytest.fixture(scope="session")
def jhu_folder():
    """The real JHU cohort's folder, named by $ALNET_JHU_APL."""
    return _folder_named_by("ALNET_JHU_APL", "the JHU cohort")


@pytest.fixture(scope="session")
def pbc_folder():
    """The real PBC images' folder, named by $ALNET_PBC."""
    return _folder_named_by("ALNET_PBC", "the PBC images")


@pytest.fixture(scope="session")
def weights_sample():
    """The folder with SqueezeNet's published ImageNet weights in Keras' format, named by $ALNET_WEIGHTS_SAMPLE."""
    return _folder_named_by("ALNET_WEIGHTS_SAMPLE", "the SqueezeNet weights")


@pytest.fixture(scope="session")
def lmu_metadata():
    """The folder with annotations.dat of AML-Cytomorphology_LMU, named by $ALNET_LMU_METADATA."""
    return _folder_named_by("ALNET_LMU_METADATA", "the annotations of AML-Cytomorphology_LMU")


@pytest.fixture(scope="session")
def images():
    """Two classes that differ in colour: 40 images of 32 x 32."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    pixels = rng.integers(0, 120, (40, 32, 32, 3), dtype=np.uint8)
    pixels[labels == 1, :, :, 0] += 120
    return Images(pixels, np.arange(40), labels.astype(np.int64), np.arange(40) // 4, ("dark", "red"))
