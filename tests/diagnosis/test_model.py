"""A trained model on images: a folder, paths, PIL images and arrays; and cohort predictions."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from alnet_lib.core.vocabulary import MODULE_1_CLASSES, MODULE_2_CLASSES
from alnet_lib.diagnosis.aggregation import vote
from alnet_lib.diagnosis.model import ALNet
from alnet_lib.diagnosis.prediction import predict_cells
from alnet_lib.networks.building import build
from alnet_lib.networks.storage import save_network
from alnet_lib.training.options import Options

OPTIONS = Options(iterations=1, batch_size=1, lr_min=1, lr_max=1)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A run folder with two untrained networks of 32 pixels; module 1 calls nearly everything a blast."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    for seed, (name, classes) in enumerate((("module_1", MODULE_1_CLASSES), ("module_2", MODULE_2_CLASSES))):
        network = build("squeezenet1_1", classes, 32, seed=seed)
        if name == "module_1":
            network.head.fc3.bias.data[classes.index("blast")] = 5
        save_network(network, folder / "models" / f"{name}.safetensors", {"threshold": 0.5, "crop": 0.8})
    return folder


@pytest.fixture
def smear(tmp_path):
    """A folder of three cell images, one of them below, and a text file."""
    folder = tmp_path / "smear ü"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(2)
    for name in ("a.png", "b.png", "more/c.png"):
        Image.fromarray(rng.integers(0, 256, (40, 44, 3), dtype=np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("not a cell")
    return folder


def test_diagnose_gives_a_verdict_with_the_evidence(tiny_run, smear):
    found = ALNet.load(tiny_run).diagnose(smear, few=True)
    assert found.n_cells == len(found.cells) == 3
    assert found.verdict in {"AML", "ALL", "unknown"} and "Blasts are 100%".lower() in found.explanation.lower()
    assert found.cells["image"].tolist() == ["a.png", "b.png", "more/c.png"]
    assert found.unreadable["file"].tolist() == ["notes.txt"]
    assert found.proportions.groupby("module")["cells"].sum().to_dict() == {1: 3, 2: 3}
    assert found.model["run"] == "tiny" and found.model["backbone"] == "squeezenet1_1"
    text = json.dumps(found.as_dict())
    assert "Research use only" in text and "notes.txt" in text


def test_diagnose_says_what_is_missing(tiny_run, smear, tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        ALNet.load(tiny_run).diagnose(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no readable image"):
        ALNet.load(tiny_run).diagnose(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="--until 03"):
        ALNet.load(tmp_path).diagnose(smear)


def test_without_module_2_blasts_are_non_apl(tiny_run, smear):
    whole = ALNet.load(tiny_run)
    first = ALNet({"module_1": whole.networks["module_1"]}, whole.settings)
    found = first.diagnose(smear, few=True)
    assert found.verdict == "AL non-APL" and "no module 2" in found.explanation and "module 2" not in found.cells


def test_paths_pil_images_and_arrays_give_the_same_predictions(tiny_run, smear):
    model = ALNet.load(tiny_run)
    paths = [smear / "a.png", smear / "b.png", smear / "more" / "c.png"]
    pictures = [Image.open(path) for path in paths]
    arrays = np.stack([np.asarray(picture) for picture in pictures])
    frames = [model.predict(images).drop(columns=["image_id", "smear_id"]) for images in (paths, pictures, arrays)]
    with pytest.warns(UserWarning, match=r"notes\.txt"):
        frames.append(model.predict(smear).drop(columns=["image_id", "smear_id"]))
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frames[0], frame)
    assert np.allclose(frames[0].filter(regex="^p1_").sum(axis=1), 1, atol=1e-5)
    assert frames[0]["module_1"].tolist() == ["blast"] * 3
    assert vote(model.predict(paths)).loc[0, "verdict"] == model.diagnose(paths, few=True).verdict


def test_an_image_of_a_list_that_cannot_be_used_is_named(tiny_run, smear):
    model = ALNet.load(tiny_run)
    with pytest.raises(ValueError, match=r"notes\.txt"):
        model.predict([smear / "a.png", smear / "notes.txt"])
    with pytest.raises(ValueError, match="2: the array is float64"):
        model.predict([smear / "a.png", np.zeros((40, 40, 3))])
    with pytest.raises(ValueError, match="mode L"):
        model.predict([Image.new("L", (40, 40))])


def test_cells_of_a_cohort_get_both_modules_eligibility_and_validation(tiny_run):
    model = ALNet.load(tiny_run)
    manifest = pd.DataFrame(
        {
            "image_id": list("abcd"), "cell_type": ["monocyte", "", "basophil", "myeloblast"],
            "split": ["train", "test", "train", "train"], "immature": [False, True, True, True],
        }
    )  # fmt: skip
    pixels = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    modules = {name: (network, OPTIONS) for name, network in model.networks.items()}
    cells = predict_cells(manifest, pixels, modules, validation=[3])
    assert cells["image_id"].tolist() == ["a", "b", "d"]
    assert cells["eligible"].tolist() == [False, True, True] and cells["validation"].tolist() == [False, False, True]
    assert cells.filter(regex="^p[12]_").shape == (3, 7)
    assert (cells.filter(regex="^p[12]_").dtypes == np.float32).all()
    first = predict_cells(manifest, pixels, {"module_1": modules["module_1"]}, split="test")
    assert first["image_id"].tolist() == ["b"] and not first.filter(like="p2_").shape[1]


def test_a_class_that_the_network_lacks_has_probability_0():
    network = build("squeezenet1_1", ("lymphocyte", "blast"), 32)
    manifest = pd.DataFrame({"image_id": ["a"], "cell_type": [""], "split": ["test"]})
    cells = predict_cells(manifest, np.zeros((1, 32, 32, 3), np.uint8), {"module_1": (network, OPTIONS)})
    assert cells.loc[0, "p1_monocyte"] == 0 and cells["p1_monocyte"].dtype == np.float32
    assert cells.loc[0, "p1_lymphocyte"] + cells.loc[0, "p1_blast"] == pytest.approx(1)
