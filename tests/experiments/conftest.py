"""A tiny cohort and settings that train in a second."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from alnet_lib.core.profile import Profile
from alnet_lib.experiments.datasets import CellImages
from alnet_lib.experiments.preparation import Setup
from alnet_lib.imaging import handcrafted

DIAGNOSIS = {
    "lymphocyte": "control",
    "reactive_lymphocyte": "infection",
    "abnormal_promyelocyte": "APL",
    "myeloblast": "AML",
    "b_lymphoblast": "ALL",
}


NAMES = list(dict.fromkeys(["nucleus_area", "cell_area", *handcrafted.names()]))[:12]


def silent(*_):
    """A progress line that shows nothing."""
    return lambda *_: None


@pytest.fixture(scope="session")
def tiny():
    """Five cell types that differ in colour: 7 smears of 4 cells each, two smears a patient, an external site."""
    rows = [
        {
            "cell_type": cell_type,
            "smear_id": f"{cell_type}-{smear}",
            "patient_id": f"{cell_type}-p{smear // 2}",
            "site": "b" if smear == 6 else "a",
            "diagnosis": diagnosis,
            "split": "external" if smear == 6 else "test" if smear in (1, 5) else "train",
        }
        for cell_type, diagnosis in DIAGNOSIS.items()
        for smear in range(7)
        for _ in range(4)
    ]
    manifest = pd.DataFrame(rows).assign(image_id=[f"i{n:03d}" for n in range(len(rows))])
    kind = manifest["cell_type"].map({name: i for i, name in enumerate(DIAGNOSIS)}).to_numpy()
    pixels = np.random.default_rng(3).integers(0, 100, (len(rows), 32, 32, 3), dtype=np.uint8)
    pixels += (np.stack([kind * 30, 120 - kind * 30, (kind % 2) * 90], 1)[:, None, None]).astype(np.uint8)
    return CellImages(manifest, pixels, "tiny")


@pytest.fixture
def setup(tiny, tmp_path, monkeypatch):
    """The settings of `smoke` with squeezenet, a few iterations and two folds; a dozen handcrafted features."""
    monkeypatch.setattr(handcrafted, "names", lambda: NAMES)
    profile = Profile.load("smoke")
    module = profile.module_1.model_copy(update={"backbone": "squeezenet1_1", "iterations": 4, "batch_size": 8})
    changed = {
        "backbones": ("squeezenet1_1",), "fine_tuned_blocks": (1, 5), "folds": 2, "iterations": {"default": 6},
        "units": False,
    }  # fmt: skip
    update = {
        "comparison": profile.comparison.model_copy(update=changed), "module_1": module, "checkpoint_minutes": 0,
        "precision": "float32", "start": "random",
    }  # fmt: skip
    return Setup(tiny, profile.model_copy(update=update), tmp_path, "cpu", silent)


@pytest.fixture(scope="session")
def features(tiny):
    """Handcrafted features of the tiny cohort: noise, but for two that tell the cell type; some cells have none."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(rng.normal(size=(len(tiny.manifest), len(NAMES))), columns=NAMES)
    kind = tiny.manifest["cell_type"].astype("category").cat.codes
    frame["nucleus_area"] += 6 * kind
    frame["cell_area"] += 6 * (kind % 2)
    frame.loc[::35, :] = np.nan
    return frame.assign(segmented=frame["cell_area"].notna().astype(float))


@pytest.fixture
def with_comparison():
    """A function: the setup with other settings of the comparison."""

    def changed(setup, **update):
        comparison = setup.profile.comparison.model_copy(update=update)
        return replace(setup, profile=setup.profile.model_copy(update={"comparison": comparison}))

    return changed
