"""Shared fixtures: a small drawn cohort, and the real one where it lies."""

import os
from pathlib import Path

import pytest

from alnet_lib import cohorts


@pytest.fixture(scope="session")
def twin(tmp_path_factory):
    """The drawn cohort at scale 0.004: a few pictures of every class, split and site."""
    return cohorts.build("synthetic", tmp_path_factory.mktemp("twin dir, ä"), scale=0.004)


@pytest.fixture(scope="session")
def jhu_folder():
    """The real JHU cohort's folder, named by $ALNET_JHU_APL."""
    folder = os.environ.get("ALNET_JHU_APL", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set ALNET_JHU_APL to the folder of the JHU cohort to run this test")
    return Path(folder)
