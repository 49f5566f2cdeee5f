"""A trained ALNet for use on any images, without a run's directory of pictures. Research use only."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from PIL import Image

from alnet_lib.core.outcomes import MissingArtefact, Unavailable
from alnet_lib.core.text import visible
from alnet_lib.diagnosis import outside
from alnet_lib.diagnosis.origin import NEVER_REAL, Origin
from alnet_lib.diagnosis.prediction import add_probabilities
from alnet_lib.diagnosis.tasks import MODULES, ModuleSpec
from alnet_lib.diagnosis.verdict import MIN_CELLS, Diagnosis, Refused, decide
from alnet_lib.imaging.decoding import ImageError, decode, resize
from alnet_lib.networks.storage import DIGEST, DamagedModel, load_network
from alnet_lib.training.device import resolve_device
from alnet_lib.training.inference import features
from alnet_lib.training.options import Options

if TYPE_CHECKING:
    from alnet_lib.diagnosis.outside import Distance, HeldOut
    from alnet_lib.networks.network import Network

OneImage: TypeAlias = str | Path | Image.Image | np.ndarray
Images: TypeAlias = str | Path | Iterable[OneImage]

NOT_IMAGES = {"Thumbs.db", ".DS_Store"}
"""Files that file managers leave in folders."""

NOT_CHECKED = "not checked"
"""Digest of a model that was saved without one."""

MIN_SIDE = 16
"""Fewest pixels a side of a picture of a cell; at 36 micrometres across, one of them is 2.25 micrometres."""


@dataclass(frozen=True)
class ALNet:
    """The trained modules of one run.

    Attributes
    ----------
    networks : mapping of str to Network
        `module_1`, and `module_2` where the run has one.
    settings : mapping
        The description that was saved with module 1: threshold, crop, backbone, weights, classes.
    run : str
        Name of the run.
    device : str
        `cpu`, `cuda`, or `auto`.
    origin : Origin
        What the modules were trained on, and how many cells were enough for their run.
    held_out : HeldOut or Unavailable
        The testing cells of the run, from which a smear's distance is measured.
    """

    networks: Mapping[str, Network]
    settings: Mapping[str, Any] = field(default_factory=dict)
    run: str = ""
    device: str = "auto"
    origin: Origin = field(default_factory=Origin)
    held_out: HeldOut | Unavailable = outside.NOT_KEPT

    @classmethod
    def load(cls, run_dir: str | Path, device: str = "auto") -> ALNet:
        """Read the modules that a run trained.

        Parameters
        ----------
        run_dir : str or Path
            A run's folder, e.g. `runs/synthetic-quick`; holds models/.
        device : str
            `cpu`, `cuda`, or `auto`: a GPU where there is one.

        Returns
        -------
        ALNet
            With module 2 where the run has one.

        Raises
        ------
        MissingArtefact
            The run has no trained module 1. A FileNotFoundError.
        DamagedModel
            A file of a module is damaged, or the two do not fit each other; the message names it. A ValueError.
        """
        folder = Path(run_dir) / "models"
        if not (first := folder / "module_1.safetensors").is_file():
            raise MissingArtefact(f"{first} is missing: `alnet reproduce --until 03` trains it")
        files = {spec.name: folder / f"{spec.name}.safetensors" for spec in MODULES}
        loaded = {spec.name: _module(spec, files[spec.name]) for spec in MODULES if files[spec.name].is_file()}
        for name, file in files.items():
            if name not in loaded and file.with_suffix(".json").is_file():
                raise DamagedModel(f"{file} is missing, its description is there: see `alnet verify {run_dir}`")
        networks = {name: network for name, (network, _) in loaded.items()}
        descriptions = {name: description for name, (_, description) in loaded.items()}
        of_first = descriptions["module_1"]
        for name, other in descriptions.items():
            for entry in ("input_size", "crop"):
                if other.get(entry) != of_first.get(entry):
                    what = f"its {entry} is {other.get(entry)}, that of module_1 {of_first.get(entry)}"
                    raise DamagedModel(f"{files[name].with_suffix('.json')} is damaged: {what}")
        checked = all(description.get(DIGEST) for description in descriptions.values())
        settings = {**of_first, "digest": "as saved" if checked else NOT_CHECKED}
        run = visible(Path(run_dir).resolve().name)
        held_out = outside.read(folder, of_first.get(DIGEST, ""))
        return cls(networks, settings, run, device, Origin.read(Path(run_dir), of_first), held_out)

    @property
    def threshold(self) -> float:
        """Share of a smear's cells that a class must exceed, in [0, 1)."""
        return float(self.settings.get("threshold", 0.5))

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Classes that each module was trained on."""
        return {name: network.classes for name, network in self.networks.items()}

    def predict(self, images: Images) -> pd.DataFrame:
        """Class probabilities of cell images, one row an image.

        Parameters
        ----------
        images : str, Path or iterable
            A folder (with all folders below it), or images: paths, PIL images of mode RGB, or arrays uint8 (H, W, 3),
            RGB. The central square of each is used.

        Returns
        -------
        DataFrame
            image_id (path, or number in the list from 1), smear_id (the folder's name, else `smear`), for each module
            its probabilities `p1_<class>`, `p2_<class>` (float32 in [0, 1]) and the predicted class in `module_1`,
            `module_2`. `alnet_lib.vote` takes this frame.

        Raises
        ------
        FileNotFoundError
            The folder does not exist.
        ValueError
            There is no readable image, or one of a list cannot be used; every such image is named. In a folder
            such files are left out with a warning.
        """
        cells, unreadable = self._predict(images)
        if len(unreadable):
            if not isinstance(images, str | Path):
                raise ValueError(f"some images cannot be used: {_reasons(unreadable)}")
            warnings.warn(f"{len(unreadable)} files left out: {_reasons(unreadable)}", stacklevel=2)
        return cells

    def diagnose(self, images: Images, *, few: bool = False, synthetic_anyway: bool = False) -> Diagnosis:
        """Give the verdict on the images of one smear, by the paper's rule with the run's threshold.

        Parameters
        ----------
        images : str, Path or iterable
            As for `predict`. What cannot be used is listed in the result's `unreadable`.
        few : bool
            Also give a verdict on fewer than `verdict.MIN_CELLS` cells.
        synthetic_anyway : bool
            Also let a model that was trained on drawn cells alone give a verdict on images that are not of its run's
            own cohort.

        Returns
        -------
        Diagnosis
            The verdict with the evidence for it.

        Raises
        ------
        FileNotFoundError
            The folder does not exist.
        ValueError
            There is no readable image.
        Refused
            Too few cells, or a synthetic model on other images, and not told to go on. A ValueError.
        """
        images = images if isinstance(images, str | Path) else list(images)
        names, smear, pixels, unreadable = self._read(images)
        if self.origin.synthetic and not synthetic_anyway and not self._own(images):
            raise Refused(
                f"{NEVER_REAL} It gives no verdict on images from outside its run's cohort, unless told: "
                "`--synthetic-model-anyway`, in Python `synthetic_anyway=True`"
            )
        alike = len(pixels) - len({image.tobytes() for image in pixels})
        if len(names) - alike < MIN_CELLS and not few:
            again = f" ({alike} of them like another)" if alike else ""
            raise Refused(
                f"{smear} has {len(names)} readable images{again}, a verdict needs {MIN_CELLS} cells or more: fewer "
                f"do not show a majority, even if they agree{_left_out(unreadable)}. `--few`, in Python `few=True`, "
                "gives one"
            )
        return decide(
            self._classified(names, smear, pixels), self.threshold, unreadable, self._about(),
            self._cautions(names, alike), self._distance(pixels),
        )  # fmt: skip

    def _distance(self, pixels: np.ndarray) -> Distance | Unavailable:
        if isinstance(self.held_out, Unavailable):
            return self.held_out
        return self.held_out.distance(
            features(self.networks["module_1"], pixels, np.arange(len(pixels)), self._options)
        )

    @property
    def _options(self) -> Options:
        # Prediction uses the device and the precision alone.
        return Options(iterations=1, batch_size=1, lr_min=1, lr_max=1, device=resolve_device(self.device))

    def _own(self, images: Images) -> bool:
        if isinstance(images, str | Path):
            return self.origin.is_own(Path(images))
        return all(isinstance(image, str | Path) and self.origin.is_own(Path(image)) for image in images)

    def _about(self) -> dict[str, Any]:
        about = {name: self.settings.get(name, "") for name in ("backbone", "weights", "classes")}
        origin, enough = self.origin, self.origin.enough
        return {
            "run": self.run,
            **about,
            "trained_on": {name: getattr(origin, name) for name in ("cohort", "kind", "profile", "source")},
            "digest": self.settings.get("digest", NOT_CHECKED),
            "cells_enough": {"cells": enough.cells, "correct": enough.correct} if enough else None,
        }

    def _cautions(self, names: Sequence[str], alike: int) -> list[str]:
        rests = f"The verdict rests on {len(names)} cells"
        if (enough := self.origin.enough) is None:
            rests += "; how many are enough was not measured in this model's run."
        else:
            rests += f"; in this model's run {enough.cells} did as well as more "
            rests += f"({enough.correct:.0f}% of testing smears right)."
        if len(names) < MIN_CELLS:
            rests += f" That is fewer than {MIN_CELLS}: they do not show a majority, even if they agree."
        twice = f"{alike} of the {len(names)} images are the same as another: a cell counts more than once."
        digest = "Its weights were saved without a digest: not checked."
        return [
            rests,
            self.origin.words,
            *([twice] if alike else []),
            *([NEVER_REAL] if self.origin.synthetic else []),
            *([digest] if self.settings.get("digest", NOT_CHECKED) == NOT_CHECKED else []),
        ]

    def _predict(self, images: Images) -> tuple[pd.DataFrame, pd.DataFrame]:
        names, smear, pixels, unreadable = self._read(images)
        return self._classified(names, smear, pixels), unreadable

    def _read(self, images: Images) -> tuple[list[str], str, np.ndarray, pd.DataFrame]:
        named, smear = _named(images)
        size, crop = self.networks["module_1"].input_size, self.settings.get("crop", 1.0)
        kept, arrays, problems = [], [], []
        for name, image in named:
            try:
                arrays.append(resize(_pixels(image), size, crop=crop))
                kept.append(name)
            except (OSError, ValueError) as error:
                reason = str(error).removeprefix(f"{image}: ") if isinstance(image, str | Path) else str(error)
                problems.append({"file": name, "reason": visible(reason)})
        unreadable = pd.DataFrame(problems, columns=["file", "reason"])
        if not kept:
            raise ValueError(f"{smear} holds no readable image ({_reasons(unreadable) or 'it is empty'})")
        return kept, smear, np.stack(arrays), unreadable

    def _classified(self, names: Sequence[str], smear: str, pixels: np.ndarray) -> pd.DataFrame:
        cells, rows = pd.DataFrame({"image_id": names, "smear_id": smear}), np.arange(len(names))
        for spec in MODULES:
            if spec.name in self.networks:
                cells = add_probabilities(cells, spec, self.networks[spec.name], pixels, rows, self._options)
                cells[spec.name] = spec.predicted(cells)
        return cells


def _module(spec: ModuleSpec, file: Path) -> tuple[Network, dict[str, Any]]:
    network, settings = load_network(file)
    # Training keeps the order of the module's classes: another order is another file's, or was changed by hand.
    if list(network.classes) != [name for name in spec.classes if name in network.classes]:
        what = f"its classes are {', '.join(network.classes)}; those of {spec.name} are {', '.join(spec.classes)}"
        raise DamagedModel(f"{file.with_suffix('.json')} is damaged: {what}, in this order")
    return network, settings


def _named(images: Images) -> tuple[list[tuple[str, OneImage]], str]:
    if not isinstance(images, str | Path):
        listed = list(images)
        names = (visible(str(x)) if isinstance(x, str | Path) else str(i) for i, x in enumerate(listed, start=1))
        return list(zip(names, listed, strict=True)), "smear"
    folder = Path(images)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    files = sorted(path for path in _below(folder) if path.name not in NOT_IMAGES)
    return [(visible(path.relative_to(folder).as_posix()), path) for path in files], visible(folder.resolve().name)


def _below(folder: Path) -> Iterator[Path]:
    """Everything in a folder but folders; also what cannot be read, and links to folders, which are not followed."""
    refused: list[Path] = []
    for where, folders, files in os.walk(folder, onerror=lambda error: refused.append(Path(error.filename))):
        links = (name for name in folders if (Path(where) / name).is_symlink())
        yield from (Path(where) / name for name in (*files, *links))
    yield from refused


def _pixels(image: OneImage) -> np.ndarray:
    if isinstance(image, str | Path):
        pixels = decode(Path(image))
    elif isinstance(image, Image.Image):
        if image.mode != "RGB":
            raise ImageError(f"the image is of mode {image.mode}; 8-bit RGB is needed, stain colour matters")
        pixels = np.asarray(image)
    else:
        pixels = image
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise ValueError(f"the array is {pixels.dtype} of shape {pixels.shape}; uint8 (height, width, 3) is needed")
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"the image is {width}x{height} pixels; a picture of a cell has {MIN_SIDE} or more a side")
    return pixels


def _left_out(unreadable: pd.DataFrame) -> str:
    return f" ({len(unreadable)} left out: {_reasons(unreadable)})" if len(unreadable) else ""


def _reasons(unreadable: pd.DataFrame) -> str:
    return "; ".join(f"{row.file}: {row.reason}" for row in unreadable.itertuples())
