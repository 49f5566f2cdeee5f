"""What a verdict may rest on: enough cells, a whole model; and what it says of what was left out and trained on."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from alnet_lib.core.files import write_json
from alnet_lib.core.integrity import index
from alnet_lib.core.vocabulary import MODULE_1_CLASSES, MODULE_2_CLASSES
from alnet_lib.diagnosis.model import ALNet
from alnet_lib.diagnosis.verdict import MIN_CELLS, Refused
from alnet_lib.networks.building import build
from alnet_lib.networks.storage import DamagedModel, save_network


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    """A run folder with two untrained networks of 32 pixels."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    for name, classes in (("module_1", MODULE_1_CLASSES), ("module_2", MODULE_2_CLASSES)):
        network = build("squeezenet1_1", classes, 32)
        save_network(network, folder / "models" / f"{name}.safetensors", {"threshold": 0.5, "crop": 0.8})
    return folder


@pytest.fixture
def run(untouched, tmp_path):
    """A copy of the run, to be changed."""
    return shutil.copytree(untouched, tmp_path / "run")


def drawn(folder, number, size=(40, 44)):
    """A folder of so many pictures of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2)
    for i in range(number):
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


def described(run, name="module_1", **changes):
    """Change a module's description; None takes an entry away."""
    file = run / "models" / f"{name}.json"
    entries = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in entries.items() if value is not None}))


def numbers(content):
    if isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from numbers(value)
    elif isinstance(content, float):
        yield content


def test_what_was_left_out_is_told_with_its_reason(run, tmp_path):
    folder = drawn(tmp_path / "smear", 6)
    whole = (folder / "0.png").read_bytes()
    (folder / "cut [").mkdir()
    (folder / "cut [/w]\x1b.png").write_bytes(whole[:-600])
    found = ALNet.load(run).diagnose(folder)
    text, content = "\n".join(found.lines()), found.as_dict()
    assert text.startswith("RESEARCH USE ONLY") and "Left out, 1 of 7 files:" in text
    assert "\x1b" not in text and re.search(r"cut \[/w\].*truncated", text)
    assert content["n_cells"] == 6 and content["left_out"] == 1
    assert "truncated" in content["unreadable"][0]["reason"] and str(tmp_path) not in json.dumps(content["unreadable"])


def test_a_verdict_on_fewer_cells_than_the_minimum_must_be_asked_for(run, tmp_path):
    model, folder = ALNet.load(run), drawn(tmp_path / "smear", MIN_CELLS - 1)
    with pytest.raises(Refused, match=rf"smear has {MIN_CELLS - 1} readable images.*needs {MIN_CELLS}.*--few"):
        model.diagnose(folder)
    found = model.diagnose(folder, few=True)
    assert any(f"rests on {MIN_CELLS - 1} cells" in line and "fewer than" in line for line in found.cautions)
    assert model.diagnose(drawn(folder, MIN_CELLS)).n_cells == MIN_CELLS


def test_a_picture_of_one_pixel_is_no_cell(run, tmp_path):
    with pytest.raises(ValueError, match=r"no readable image.*1x1 pixels"):
        ALNet.load(run).diagnose(drawn(tmp_path / "smear", 1, (1, 1)), few=True)


def test_numbers_are_rounded(run, tmp_path):
    found = ALNet.load(run).diagnose(drawn(tmp_path / "smear", 7))
    shown = list(numbers(found.as_dict()))
    assert len(shown) > 15 and all(value == round(value, 6) for value in shown)
    assert all(len(str(value)) <= 5 for value in found.cells["probability 1"])


def test_what_the_run_found_to_be_enough_stands_beside_the_number_of_cells(run, tmp_path):
    sizes = {1: 60.0, 3: 79.5, 5: 80.1, 8: 80.4, 20: None}
    values = [{"key": f"cells_needed.{size}.correct", "reproduced": share} for size, share in sizes.items()]
    (run / "results.json").write_text(json.dumps({"items": [{"values": values}]}))
    found = ALNet.load(run).diagnose(drawn(tmp_path / "smear", 6))
    assert found.as_dict()["model"]["cells_enough"] == {"cells": 3, "correct": 79.5}
    assert (
        "rests on 6 cells; in this model's run 3 did as well as more (80% of testing smears right)."
        in found.cautions[0]
    )
    for damaged in ("", "[]", '{"items": [{"values": 3}, 4], "provenance": []}'):
        (run / "results.json").write_text(damaged)
        assert "was not measured" in ALNet.load(run).diagnose(drawn(tmp_path / "smear", 6)).cautions[0]


@pytest.mark.parametrize("source", ["models/module_1.json", "results.json", "cohort/cohort.json"])
def test_a_synthetic_model_says_so_and_judges_other_images_only_if_told(run, tmp_path, source):
    if source == "models/module_1.json":
        described(run, trained_on={"cohort": "synthetic", "kind": "synthetic", "profile": "quick"})
    elif source == "results.json":
        about = {"cohort": {"name": "synthetic", "kind": "synthetic"}, "profile": {"name": "quick"}}
        (run / source).write_text(json.dumps({"provenance": about}))
    own = drawn(run / "cohort" / "images" / "s", 6)
    if source.startswith("cohort"):
        (run / source).write_text(json.dumps({"name": "synthetic", "kind": "synthetic"}))
    model, folder = ALNet.load(run), drawn(tmp_path / "smear", 6)
    paths, arrays = sorted(folder.iterdir()), [np.zeros((40, 40, 3), np.uint8)] * 6
    for images in (folder, paths, arrays, iter(paths)):
        with pytest.raises(Refused, match=r"never seen a real cell.*--synthetic-model-anyway"):
            model.diagnose(images)
    for found in (model.diagnose(folder, synthetic_anyway=True), model.diagnose(own), model.diagnose(own.iterdir())):
        trained_on = found.as_dict()["model"]["trained_on"]
        assert (trained_on["kind"], trained_on["cohort"], trained_on["source"]) == ("synthetic", "synthetic", source)
        assert any("never seen a real cell" in line for line in found.lines())


def test_a_model_of_real_cells_says_which(run, tmp_path):
    described(run, trained_on={"cohort": "jhu_apl", "kind": "public", "profile": "paper"})
    lines = ALNet.load(run).diagnose(drawn(tmp_path / "smear", 6)).lines()
    assert "Trained on the public cohort `jhu_apl`, profile `paper`." in lines
    assert not any("never seen" in line or "not checked" in line for line in lines)


def test_a_model_without_a_digest_is_not_checked_and_says_so(run, tmp_path):
    described(run, sha256=None)
    found = ALNet.load(run).diagnose(drawn(tmp_path / "smear", 6))
    assert found.model["digest"] == "not checked" and any("not checked" in line for line in found.lines())


def _flip(file, byte):
    content = bytearray(file.read_bytes())
    content[byte] ^= 1
    file.write_bytes(content)


def _cut(file):
    file.write_bytes(file.read_bytes()[:-9])


def _weights(run, change):
    file = run / "models" / "module_1.safetensors"
    weights = load_file(file)
    change(weights)
    save_file(weights, file)


OTHER_CLASSES = ["lymphocyte", "monocyte", "reactive_lymphocyte", "abnormal_promyelocyte", "teapot"]
SWAPPED = [*reversed(MODULE_1_CLASSES)]
TWICE = ["lymphocyte", "monocyte", "blast", "abnormal_promyelocyte", "blast"]

DAMAGES = {
    "a class twice": (".json", "blast is there more than once", lambda r: described(r, classes=TWICE)),
    "a class unknown": (".json", "its classes are", lambda r: described(r, classes=OTHER_CLASSES)),
    "classes in another order": (".json", "in this order", lambda r: described(r, classes=SWAPPED)),
    "no class": (".json", "classes", lambda r: described(r, classes=[])),
    "classes of no list": (".json", "classes", lambda r: described(r, classes="blast")),
    "a class too few": (".safetensors", "does not fit", lambda r: described(r, classes=[*MODULE_1_CLASSES[:4]])),
    "no backbone": (".json", "backbone", lambda r: described(r, backbone=None)),
    "unknown backbone": (".json", "teapot", lambda r: described(r, backbone="teapot")),
    "other backbone": (".safetensors", "does not fit", lambda r: described(r, backbone="vgg16")),
    "no preprocessing": (".json", "preprocessing", lambda r: described(r, preprocessing={"mean": [1, 1, 1]})),
    "spread of zero": (
        ".json", "std", lambda r: described(r, preprocessing={"mean": [0, 0, 0], "std": [0, 1, 1], "bgr": False}),
    ),
    "threshold of two": (".json", "threshold", lambda r: described(r, threshold=2)),
    "crop of nothing": (".json", "crop", lambda r: described(r, crop=0)),
    "other crop": (".json", "crop", lambda r: described(r, "module_2", crop=0.5)),
    "size of text": (".json", "input_size", lambda r: described(r, input_size="32")),
    "size without end": (".json", "input_size", lambda r: described(r, input_size=10**7)),
    "bad JSON": (".json", "", lambda r: (r / "models" / "module_1.json").write_text("{")),
    "empty JSON": (".json", "", lambda r: (r / "models" / "module_1.json").write_text("")),
    "a list": (".json", "", lambda r: (r / "models" / "module_1.json").write_text("[]")),
    "no UTF-8": (".json", "", lambda r: (r / "models" / "module_1.json").write_bytes(b"\xff\xfe{")),
    "deep JSON": (".json", "", lambda r: (r / "models" / "module_1.json").write_text("[" * 10**5)),
    "no JSON": (".json", "missing", lambda r: (r / "models" / "module_1.json").unlink()),
    "one byte of the weights": (".safetensors", "SHA-256", lambda r: _flip(r / "models/module_1.safetensors", -9)),
    "truncated weights": (
        ".safetensors", "SHA-256",
        lambda r: _cut(r / "models/module_1.safetensors"),
    ),
    "emptied weights": (".safetensors", "SHA-256", lambda r: (r / "models/module_1.safetensors").write_bytes(b"")),
    "weights of the other module": (
        ".safetensors", "SHA-256",
        lambda r: shutil.copy(r / "models/module_2.safetensors", r / "models/module_1.safetensors"),
    ),
}  # fmt: skip

WITHOUT_DIGEST = {
    "truncated weights": DAMAGES["truncated weights"][2],
    "emptied weights": DAMAGES["emptied weights"][2],
    "zeroed weights": lambda r: (r / "models/module_1.safetensors").write_bytes(b"\0" * 9000),
    "weights of the other module": DAMAGES["weights of the other module"][2],
    "a tensor less": lambda r: _weights(r, lambda w: w.pop("head.fc3.bias")),
    "other shape": lambda r: _weights(r, lambda w: w.update({"head.fc3.bias": w["head.fc3.bias"][:2].clone()})),
    "halves": lambda r: _weights(r, lambda w: w.update({"head.fc3.bias": w["head.fc3.bias"].half()})),
    "not finite": lambda r: _weights(r, lambda w: w["head.fc3.bias"].fill_(float("nan"))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_gives_one_error_that_names_the_file(run, damage):
    suffix, what, change = DAMAGES[damage]
    change(run)
    with pytest.raises((DamagedModel, FileNotFoundError), match=rf"module_[12]\{suffix}") as caught:
        ALNet.load(run)
    assert what in str(caught.value) and "errors.pydantic.dev" not in str(caught.value)


@pytest.mark.parametrize("damage", WITHOUT_DIGEST)
def test_damaged_weights_of_a_model_without_digest_are_found_by_their_form(run, damage):
    described(run, sha256=None)
    WITHOUT_DIGEST[damage](run)
    with pytest.raises(DamagedModel, match=r"module_1\.safetensors"):
        ALNet.load(run)


def test_what_is_no_file_is_named_and_no_other_program_is_started(run, tmp_path):
    folder = drawn(tmp_path / "smear", MIN_CELLS)
    (folder / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (folder / "linked").symlink_to(drawn(tmp_path / "other", 1))
    os.mkfifo(folder / "pipe.png")
    (folder / "program.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\nshowpage\n")
    left_out = ALNet.load(run).diagnose(folder).unreadable.set_index("file")["reason"]
    assert set(left_out.index) == {"gone.jpg", "linked", "pipe.png", "program.png"}
    assert "not an image" in left_out["program.png"] and "no file" in left_out["pipe.png"]


def test_one_picture_many_times_is_one_cell(run, tmp_path):
    folder = drawn(tmp_path / "smear", 1)
    for i in range(1, MIN_CELLS + 1):
        shutil.copy(folder / "0.png", folder / f"{i}.png")
    with pytest.raises(Refused, match=rf"{MIN_CELLS + 1} readable images \({MIN_CELLS} of them like another\)"):
        ALNet.load(run).diagnose(folder)
    drawn(folder, MIN_CELLS)  # All but the last are pictures of their own now.
    assert any("1 of the" in line and "the same" in line for line in ALNet.load(run).diagnose(folder).cautions)


def test_a_module_whose_description_alone_is_there_is_missing(run):
    (run / "models" / "module_2.safetensors").unlink()
    with pytest.raises(DamagedModel, match=r"module_2\.safetensors is missing"):
        ALNet.load(run)


def test_results_that_are_not_as_they_were_written_say_nothing(run):
    index.begin(run)
    write_json(run / "results.json", {"provenance": {"cohort": {"name": "x", "kind": "private"}}})
    assert "private" in ALNet.load(run).origin.words
    text = (run / "results.json").read_text()
    (run / "results.json").write_text(text.replace("private", "publics"))
    assert "not known" in ALNet.load(run).origin.words
