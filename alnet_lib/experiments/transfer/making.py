"""The start `cells` from its parts: teaching cells drawn and read, students taught, one file a network written.

Source of the deepening: Chen, Goodfellow and Shlens, Net2Net, ICLR 2016 (arXiv:1511.05641).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from alnet_lib.core.integrity.index import digest_of
from alnet_lib.experiments.transfer import teaching_cells
from alnet_lib.experiments.transfer.distillation import TEACHER_SIZE, Recipe, distil, views
from alnet_lib.networks.building import build
from alnet_lib.networks.starts import files, imagenet
from alnet_lib.networks.starts.start import CELLS

if TYPE_CHECKING:
    from alnet_lib.core.progress import Progress
    from alnet_lib.networks.network import Network

TEACHER = "squeezenet1_1"
"""Network that the students learn from."""

STUDENTS = ("vgg16_miniature", "resnet_miniature", "densenet_miniature", "senet_miniature")
"""Networks that learn; VGG19 in miniature is VGG16's, deepened."""

DRAWN = 8400
"""Cells drawn to learn from."""

LICENCE = "MIT"
"""Of the starts, as of the kit; the teacher's weights, in the file of keras-squeezenet, are under it as well."""

_SHALLOW, _DEEP = "vgg16_miniature", "vgg19_miniature"
_CLASSES = ("a", "b")
"""Of the heads, which are thrown away."""

_SIZE = 64
"""Pixels a side that the students are built for; their blocks take any size."""

_DRAWN_CELLS, _REAL_CELLS = "drawn cells", "cells of healthy people (pbc_normal_dib)"

_TAKEN = (32, 224)
"""Smallest and largest input size that the starts are meant for, in pixels."""


@dataclass(frozen=True)
class Made:
    """What was made.

    Attributes
    ----------
    losses : dict of str to float
        Student to its loss at the end; 1.5 is that of one that knows nothing.
    paths : tuple of Path
        The starts, and the list of their checksums.
    """

    losses: dict[str, float]
    paths: tuple[Path, ...]


def make_cells(
    teacher_file: Path,
    healthy: Path | None,
    out: Path,
    *,
    drawn: int = DRAWN,
    networks: Sequence[str] = STUDENTS,
    recipe: Recipe | None = None,
    seed: int = 77,
    progress: Callable[[str], Progress] | None = None,
) -> Made:
    """Make the start `cells`: 20 to 40 minutes on two cores; the same file on the same machine.

    Parameters
    ----------
    teacher_file : Path
        ImageNet weights of SqueezeNet 1.1: torchvision's .pth, or the .h5 of keras-squeezenet.
    healthy : Path, optional
        Folder of the original download of `pbc_normal_dib`, cells of healthy people; left out where not given.
    out : Path
        Folder for `cells-<network>.safetensors` and the list of checksums.
    drawn : int
        Cells to draw; 0 for none.
    networks : sequence of str
        Students, miniatures of ARCHITECTURES; with `vgg16_miniature` comes `vgg19_miniature`.
    recipe : Recipe, optional
        How they learn; default `Recipe()`.
    seed : int
        Of the drawn cells.
    progress : callable, optional
        Given what is counted, gives what is called with how many are done and how many there are.

    Returns
    -------
    Made
        Losses and files.

    Raises
    ------
    ValueError
        There is neither a drawn nor a real cell to learn from, or a network is unknown.
    alnet_lib.networks.starts.imagenet.WeightsError
        The teacher's file cannot be read or does not fit.
    alnet_lib.cohorts.manifest.CohortError
        The folder does not hold the cells of healthy people.
    OSError
        A file cannot be written.
    """
    if drawn < 1 and healthy is None:
        raise ValueError("nothing to learn from: draw cells, or name the folder of cells of healthy people, or both")
    recipe = recipe or Recipe()
    # What can fail at once fails before the long computation.
    out.mkdir(parents=True, exist_ok=True)
    teacher = build(TEACHER, _CLASSES, TEACHER_SIZE, seed=recipe.seed)
    imagenet.load_file(teacher, teacher_file)
    students = [build(name, _CLASSES, _SIZE, seed=recipe.seed) for name in networks]
    cells = _cells(healthy, drawn, seed, progress)
    losses = distil(teacher, students, list(cells.values()), recipe, progress("steps") if progress else None)
    made = list(students)
    for student in students:
        if student.name == _SHALLOW and _DEEP not in networks:
            rng = np.random.default_rng([recipe.seed, 4])
            some = np.concatenate([own[rng.integers(0, len(own), 64)] for own in cells.values()])
            made.append(deepened(student, views(some, rng)))
    about = _about(teacher, teacher_file, cells, recipe, seed)
    paths = [out / f"{CELLS}-{network.name}.safetensors" for network in made]
    for network, path in zip(made, paths, strict=True):
        grown = f"; {_SHALLOW} deepened by Net2Net" if network.name == _DEEP else ""
        files.write(path, network, **about | {"method": f"{about['method']}{grown}"})
    return Made(dict(zip(networks, losses, strict=True)), (*paths, files.note_sums(paths)))


def deepened(shallow: Network, images: Tensor) -> Network:
    """Deepen VGG16 in miniature to VGG19: another convolution at the end of blocks 3, 4 and 5 gives what it is given.

    Its kernel is the identity, and its batch normalisation undoes itself with the mean and deviation of the maps at
    hand, so that it gives what it is given in training too, when it takes them from the batch. ReLU changes nothing:
    the maps come from one.

    Parameters
    ----------
    shallow : Network
        `vgg16_miniature`.
    images : Tensor
        float32 (N, 3, S, S) in [0, 1], some tens of cells.

    Returns
    -------
    Network
        `vgg19_miniature` with the same maps after each block, in evaluation mode.
    """
    deep = build(_DEEP, shallow.classes, shallow.input_size)
    deep.blocks.load_state_dict(shallow.blocks.state_dict(), strict=False)
    deep.preprocessing, deep.weights = shallow.preprocessing, shallow.weights
    shallow.eval()
    with torch.no_grad():
        x = shallow.preprocessing(images)
        for own, block in zip(shallow.blocks, deep.blocks, strict=True):
            layers, deeper = list(own.children()), list(block.children())
            # The last layer halves the maps.
            x = nn.Sequential(*layers[:-1])(x)
            for layer in deeper[len(layers) - 1 : -1]:
                if isinstance(layer, nn.Conv2d):
                    identity = nn.init.dirac_(torch.empty_like(layer.weight))
                    layer.load_state_dict({"weight": identity, "bias": torch.zeros(layer.out_channels)})
                elif isinstance(layer, nn.BatchNorm2d):
                    _undo(layer, x)
            x = layers[-1](x)
    return deep.eval()


def _undo(norm: nn.BatchNorm2d, maps: Tensor) -> None:
    mean, variance = maps.mean((0, 2, 3)), maps.var((0, 2, 3))
    norm.running_mean, norm.running_var = mean.clone(), variance.clone()
    norm.bias.copy_(mean)
    norm.weight.copy_((variance + norm.eps).sqrt())


def _cells(
    healthy: Path | None, drawn: int, seed: int, progress: Callable[[str], Progress] | None
) -> dict[str, np.ndarray]:
    # Read first, since a wrong folder is then found at once.
    real = {} if healthy is None else {_REAL_CELLS: teaching_cells.healthy(healthy)}
    if drawn < 1:
        return real
    return {_DRAWN_CELLS: teaching_cells.drawn(drawn, seed, progress(_DRAWN_CELLS) if progress else None)} | real


def _about(
    teacher: Network, teacher_file: Path, cells: dict[str, np.ndarray], recipe: Recipe, seed: int
) -> dict[str, object]:
    folder = "--healthy DIR " if _REAL_CELLS in cells else ""
    return {
        "sizes": _TAKEN,
        "trained_on": " and ".join(f"{len(own):,} {name}" for name, own in cells.items()),
        "method": (
            f"distillation without labels: the maps of {teacher.name} with ImageNet weights ({teacher_file.name}, "
            f"SHA-256 {digest_of(teacher_file)}) over {recipe.steps:,} steps of {recipe.batch_size} cells, "
            f"seed {recipe.seed}, drawn cells from seed {seed}"
        ),
        "licence": LICENCE,
        "origin": (
            f"alnet starts make cells --teacher {teacher_file.name} {folder}--out DIR "
            f"--steps {recipe.steps} --drawn {len(cells.get(_DRAWN_CELLS, ()))} --seed {recipe.seed} "
            f"--threads {recipe.threads}"
        ),
    }
