"""Shared fixtures: a small synthetic cohort, and the real ones where they lie."""

import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from filelock import FileLock
from threadpoolctl import threadpool_limits

from alnet_lib.cohorts import building
from alnet_lib.cohorts.synthetic import twin as synthetic_twin
from alnet_lib.cohorts.synthetic.composition import composition
from alnet_lib.core.files import atomic_path, write_json
from alnet_lib.core.integrity import index
from alnet_lib.core.profile import Profile
from alnet_lib.diagnosis import cell_map
from alnet_lib.diagnosis.tasks import MODULES
from alnet_lib.networks.building import build
from alnet_lib.networks.storage import save_network
from alnet_lib.training.data import Images


def pytest_configure(config):
    """Leave the processors to the workers: threads of several of them would only wait for each other."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        threadpool_limits(1)


@pytest.fixture(scope="session")
def twin(tmp_path_factory):
    """The synthetic cohort at fraction 0.004: a few pictures of every class, split and site. No test may change it.

    Drawn by whichever of the test processes comes first.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = shared / "twin dir, ä"
    with FileLock(shared / "twin.lock"):
        if not (kept := folder / "cohort.pickle").is_file():
            cohort = building.build("synthetic", folder, fraction=0.004, workers=1)
            write_bytes(kept, pickle.dumps(cohort))
        return pickle.loads(kept.read_bytes())


def write_bytes(path, content):
    """Write a file, all or nothing."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


@pytest.fixture
def few_drawn(monkeypatch):
    """A function: let the synthetic cohort have so many images of each cell type and no more."""

    def limit(per_type):
        monkeypatch.setattr(
            synthetic_twin, "composition", lambda *given: composition(*given).groupby("cell_type").head(per_type)
        )

    return limit


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


@pytest.fixture(scope="session")
def finished_run(twin, tmp_path_factory):
    """A small finished run: untrained networks, and probabilities with cells and smears right, wrong and unknown."""
    folder = tmp_path_factory.mktemp("finished") / "run, é"
    folder.mkdir()
    index.begin(folder)
    shown = twin.manifest[twin.manifest["split"].isin(["test", "external"])].reset_index(drop=True)
    for path in shown["path"]:
        (folder / "cohort" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(twin.root / path, folder / "cohort" / path)
    replace(twin, root=folder / "cohort", manifest=shown).save(folder / "cohort")
    rng = np.random.default_rng(3)
    cells = shown.assign(validation=False, eligible=True)
    cells[list(cell_map.COLUMNS)] = rng.standard_normal((len(cells), 2)).astype(np.float32)
    for seed, spec in enumerate(MODULES):
        network = build("vgg16_miniature", spec.classes, 32, seed=seed)
        save_network(network, folder / "models" / f"{spec.name}.safetensors", {"threshold": 0.5, "crop": 1.0})
        chances = rng.dirichlet(np.ones(len(spec.classes)), len(cells))
        chances += 0.25 * (spec.reference(cells).to_numpy()[:, None] == np.array(spec.classes))
        cells[spec.columns] = (chances / chances.sum(axis=1, keepdims=True)).astype(np.float32)
    with atomic_path(folder / "predictions" / "cells.parquet") as temporary:
        cells.to_parquet(temporary, index=False)
    write_json(folder / "provenance.json", {"profile": Profile.load("smoke").model_dump()})
    return folder
