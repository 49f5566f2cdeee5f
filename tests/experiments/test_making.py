"""The start `cells` is made from its parts, the same each time, and VGG19 from VGG16 without a change of its maps."""

import h5py
import numpy as np
import pytest
import torch

from alnet_lib.core.integrity.index import digest_of
from alnet_lib.experiments.transfer import making, teaching_cells
from alnet_lib.experiments.transfer.distillation import Recipe
from alnet_lib.experiments.transfer.making import deepened, make_cells
from alnet_lib.networks import building
from alnet_lib.networks.starts import files
from alnet_lib.networks.starts.imagenet import WeightsError

TINY = {"drawn": 8, "recipe": Recipe(steps=2, batch_size=4)}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """SqueezeNet in Keras' format, from a random start."""
    path = tmp_path_factory.mktemp("teacher") / "teacher.h5"
    names = ["conv1"] + [f"fire{i}/{p}" for i in range(2, 10) for p in ("squeeze1x1", "expand1x1", "expand3x3")]
    tensors = list(building.build("squeezenet1_1", ("a", "b"), 32, seed=5).blocks.state_dict().values())
    with h5py.File(path, "w") as file:
        for number, name in enumerate(names):
            file[f"{name}/kernel:0"] = tensors[2 * number].permute(2, 3, 1, 0).numpy()
            file[f"{name}/bias:0"] = tensors[2 * number + 1].numpy()
    return path


@pytest.mark.slow
def test_the_same_seed_makes_the_same_file(teacher, tmp_path):
    seen = []

    def count(done, total):
        seen.append((done, total))

    for folder in ("one", "two"):
        made = make_cells(
            teacher, None, tmp_path / folder, **TINY, networks=("resnet_miniature",), progress=lambda _: count
        )
        assert [path.name for path in made.paths] == ["cells-resnet_miniature.safetensors", "SHA256SUMS"]
        assert 0 < made.losses["resnet_miniature"] < 50
    one, two = (tmp_path / folder / "cells-resnet_miniature.safetensors" for folder in ("one", "two"))
    assert one.read_bytes() == two.read_bytes() and (8, 8) in seen and (2, 2) in seen
    described, tensors = files.read(one)
    assert described.trained_on == "8 drawn cells" and described.sizes == (32, 224) and described.licence == "MIT"
    assert digest_of(teacher) in described.method and str(teacher.parent) not in described.model_dump_json()
    assert "--teacher teacher.h5 --out DIR --steps 2 --drawn 8 --seed 7 --threads 2" in described.origin
    files.check(one)
    network = building.build("resnet_miniature", tuple("abc"), 48, start=str(one))
    assert torch.equal(network.blocks[0].conv1.weight, tensors["0.conv1.weight"])


@pytest.mark.slow
def test_vgg19_comes_with_vgg16_and_real_cells_are_counted(teacher, tmp_path, monkeypatch):
    monkeypatch.setattr(teaching_cells, "healthy", lambda folder: teaching_cells.drawn(5, 9))
    made = make_cells(teacher, tmp_path, tmp_path, drawn=0, recipe=TINY["recipe"], networks=("vgg16_miniature",))
    assert [path.name for path in made.paths[:2]] == [
        "cells-vgg16_miniature.safetensors", "cells-vgg19_miniature.safetensors"
    ]  # fmt: skip
    described = files.read(made.paths[1])[0]
    assert described.trained_on == "5 cells of healthy people (pbc_normal_dib)" and "Net2Net" in described.method
    assert "--healthy DIR" in described.origin


@pytest.mark.slow
def test_a_deepened_vgg_gives_the_same_maps_in_evaluation_and_in_training(tmp_path):
    shallow = building.build("vgg16_miniature", ("a", "b"), 64, seed=4)
    images = torch.rand(24, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for module in shallow.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.5)
            module.momentum = 1.0
    # Its statistics are those of its maps, as after a training.
    torch.nn.Sequential(*shallow.train().blocks)(shallow.preprocessing(images))
    deep = deepened(shallow, images)
    assert deep.name == "vgg19_miniature" and deep.preprocessing == shallow.preprocessing
    # Of other images, and as the file keeps it, in half precision.
    other = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    _assert_same_maps(shallow, deep, other, 1e-4)
    files.write(tmp_path / "deep.safetensors", deep, sizes=(32, 160), trained_on="", method="", licence="", origin="")
    half = building.build("vgg19_miniature", ("a", "b"), 64, start=str(tmp_path / "deep.safetensors")).eval()
    _assert_same_maps(shallow, half, other, 2e-2)
    _assert_same_maps(shallow.train(), deep.train(), images, 2e-2)


def _assert_same_maps(shallow, deep, images, tolerance):
    with torch.no_grad():
        x = y = shallow.preprocessing(images)
        for own, block in zip(shallow.blocks, deep.blocks, strict=True):
            x, y = own(x), block(y)
            assert float((x - y).abs().mean()) <= tolerance * float(x.abs().mean())


def test_what_cannot_be_made_is_refused_at_once(teacher, tmp_path, monkeypatch):
    monkeypatch.setattr(making, "distil", lambda *given: pytest.fail("too late"))
    with pytest.raises(ValueError, match="nothing to learn from"):
        make_cells(teacher, None, tmp_path, drawn=0)
    (tmp_path / "broken.h5").write_bytes(b"x")
    torch.save({"a": 1}, tmp_path / "other.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "misfit.pth")
    for name, message in (
        ("none.h5", "cannot be read as weights"),
        ("broken.h5", "cannot be read as weights"),
        ("other.pth", "holds no tensors by their names"),
        ("misfit.pth", "do not fit squeezenet1_1"),
    ):
        with pytest.raises(WeightsError, match=message):
            make_cells(tmp_path / name, None, tmp_path, **TINY)
    with pytest.raises(ValueError, match="unknown network"):
        make_cells(teacher, None, tmp_path, **TINY, networks=("vgg17",))
    assert not list(tmp_path.glob("cells-*"))


def test_torchvisions_file_teaches_with_torchvisions_preprocessing(tmp_path, monkeypatch):
    import torchvision

    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), tmp_path / "squeezenet.pth")
    seen = []
    monkeypatch.setattr(making, "distil", lambda teacher, students, *_: seen.append(teacher) or [1.5])
    monkeypatch.setattr(teaching_cells, "drawn", lambda count, *_: np.zeros((count, 32, 32, 3), np.uint8))
    make_cells(tmp_path / "squeezenet.pth", None, tmp_path / "out", **TINY, networks=("resnet_miniature",))
    assert seen[0].preprocessing.mean == (0.485, 0.456, 0.406) and not seen[0].preprocessing.bgr
