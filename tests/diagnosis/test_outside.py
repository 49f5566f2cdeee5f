"""The distance of a smear's cells from a model's own testing cells: its false alarms, its file, what a verdict says."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import MODULE_1_CLASSES
from alnet_lib.diagnosis import outside
from alnet_lib.diagnosis.model import ALNet
from alnet_lib.networks.building import build
from alnet_lib.networks.storage import DamagedModel, save_network
from alnet_lib.training.inference import features
from alnet_lib.training.options import Options

OPTIONS = Options(iterations=1, batch_size=1, lr_min=1, lr_max=1)
WIDTH = 8


def patients(rng, number, cells, shift=0.0):
    """Embeddings of so many patients, each around a middle of its own, and who they are of."""
    middles = rng.normal(size=(number, 1, WIDTH)) + shift
    values = (middles + rng.normal(size=(number, cells, WIDTH))).reshape(-1, WIDTH).astype(np.float32)
    names = np.repeat([f"P{i}" for i in range(number)], cells)
    return values, pd.DataFrame({"patient_id": names, "smear_id": names})


@pytest.mark.parametrize("cells", [2, 12])
def test_at_most_the_stated_share_of_smears_like_the_held_out_ones_lies_outside(cells):
    rng, found = np.random.default_rng(1), []
    for _ in range(20):
        held = outside.held_out(*patients(rng, 40, 12), rng)
        new = patients(rng, 40, cells)[0].reshape(40, cells, WIDTH)
        found += [held.distance(smear).outside for smear in new]
    # Standard error of 800 smears whose limit is drawn 20 times: about 0.01.
    assert held.false_alarms == 0.05 and 0.01 < np.mean(found) < 0.08


def test_what_is_far_away_lies_outside_and_what_is_like_the_held_out_cells_does_not():
    rng = np.random.default_rng(2)
    held = outside.held_out(*patients(rng, 40, 12), rng)
    far = held.distance(patients(rng, 1, 12, shift=9.0)[0])
    near = held.distance(patients(rng, 1, 12)[0])
    assert far.outside and "OUTSIDE" in far.words and far.as_dict()["outside"] is True
    assert not near.outside and near.smears == 40 and near.patients == 40 and "at most 5%" in near.words


def test_a_patients_own_cells_do_not_make_its_distance_small():
    """Every patient at a place of its own: measured against its own cells each distance would be near 0."""
    rng = np.random.default_rng(3)
    names = np.repeat([f"P{i}" for i in range(20)], 10)
    values = np.repeat(np.eye(20, dtype=np.float32) * 50, 10, axis=0) + rng.normal(0, 0.01, (200, 20)).astype(
        np.float32
    )
    held = outside.held_out(values, pd.DataFrame({"patient_id": names, "smear_id": names}), rng)
    assert held.thresholds.min() > 1


def test_few_patients_give_no_limit_or_one_with_more_false_alarms():
    rng = np.random.default_rng(4)
    few = outside.held_out(*patients(rng, outside.MIN_PATIENTS - 1, 5), rng)
    assert isinstance(few, Unavailable) and "there are 9" in few.reason
    assert outside.held_out(*patients(rng, outside.MIN_PATIENTS, 5), rng).false_alarms == pytest.approx(1 / 11)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A run with one untrained network, and the held-out cells of 20 patients: dark noise."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    network = build("resnet_miniature", MODULE_1_CLASSES, 32)
    save_network(network, run / "models" / "module_1.safetensors", {"crop": 1.0})
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 120, (100, 32, 32, 3), dtype=np.uint8)
    names = np.repeat([f"P{i}" for i in range(20)], 5)
    found = features(network, pixels, np.arange(100), OPTIONS)
    held = outside.held_out(found, pd.DataFrame({"patient_id": names, "smear_id": names}), rng)
    digest = json.loads((run / "models" / "module_1.json").read_text())["sha256"]
    outside.HeldOut(**vars(held) | {"weights": digest}).save(run / "models")
    return run


@pytest.fixture
def run(model, tmp_path):
    return shutil.copytree(model, tmp_path / "run")


def smear(folder, top):
    rng = np.random.default_rng(6)
    folder.mkdir()
    for i in range(6):
        Image.fromarray(rng.integers(0, top, (32, 32, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


def test_a_diagnosis_says_whether_its_cells_lie_outside(run, tmp_path):
    al = ALNet.load(run)
    alike, other = (al.diagnose(smear(tmp_path / str(top), top)) for top in (120, 256))
    assert not alike.distance.outside and alike.as_dict()["distance"]["outside"] is False
    assert other.as_dict()["distance"]["outside"] is True and other.as_dict()["distance"]["false_alarms"] == 0.05
    assert "OUTSIDE" in other.cautions[0] and any("OUTSIDE" in line for line in other.lines())
    assert not any("OUTSIDE" in line for line in alike.lines())


def test_without_held_out_cells_or_with_those_of_other_weights_it_is_not_known(run, tmp_path):
    folder = smear(tmp_path / "smear", 120)
    description = run / "models" / "module_1.json"
    network = build("resnet_miniature", MODULE_1_CLASSES, 32, seed=9)
    save_network(network, run / "models" / "module_1.safetensors", {"crop": 1.0})
    found = ALNet.load(run).diagnose(folder)
    assert found.as_dict()["distance"] == {"outside": None, "reason": "the kept testing smears are of other weights"}
    (run / "models" / outside.FILE).unlink()
    assert any(
        "is not known: its testing smears were not kept" in line for line in ALNet.load(run).diagnose(folder).lines()
    )
    assert description.is_file()


@pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied", "zeroed"])
def test_damaged_held_out_cells_are_named(run, damage):
    file = run / "models" / outside.FILE
    content = bytearray(file.read_bytes())
    if damage == "flipped":
        content[-9] ^= 1
    changed = {"truncated": content[:-50], "emptied": b"", "zeroed": bytes(len(content))}.get(damage, content)
    file.write_bytes(changed)
    with pytest.raises(DamagedModel, match=r"held_out\.safetensors is damaged"):
        ALNet.load(run)
