"""A trained ALNet for use on any images, without a run's directory of pictures. Research use only."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from PIL import Image

from alnet_lib.core.outcomes import MissingArtefact
from alnet_lib.diagnosis.prediction import add_probabilities
from alnet_lib.diagnosis.tasks import MODULES
from alnet_lib.diagnosis.verdict import Diagnosis, decide
from alnet_lib.imaging.decoding import ImageError, decode, resize
from alnet_lib.networks.network import Network
from alnet_lib.networks.storage import load_network
from alnet_lib.training.device import resolve_device
from alnet_lib.training.options import Options

OneImage: TypeAlias = str | Path | Image.Image | np.ndarray
Images: TypeAlias = str | Path | Iterable[OneImage]

NOT_IMAGES = {"Thumbs.db", ".DS_Store"}
"""Files that file managers leave in folders."""


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
    """

    networks: Mapping[str, Network]
    settings: Mapping[str, Any] = field(default_factory=dict)
    run: str = ""
    device: str = "auto"

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
        """
        folder = Path(run_dir) / "models"
        if not (first := folder / "module_1.safetensors").is_file():
            raise MissingArtefact(f"{first} is missing: `alnet reproduce --until 03` trains it")
        files = {spec.name: folder / f"{spec.name}.safetensors" for spec in MODULES}
        loaded = {name: load_network(file) for name, file in files.items() if file.is_file()}
        networks = {name: network for name, (network, _) in loaded.items()}
        return cls(networks, loaded["module_1"][1], Path(run_dir).resolve().name, device)

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

    def diagnose(self, images: Images) -> Diagnosis:
        """Give the verdict on the images of one smear, by the paper's rule with the run's threshold.

        Parameters
        ----------
        images : str, Path or iterable
            As for `predict`. What cannot be used is listed in the result's `unreadable`.

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
        """
        cells, unreadable = self._predict(images)
        about = {name: self.settings.get(name, "") for name in ("backbone", "weights", "classes")}
        return decide(cells, self.threshold, unreadable, {"run": self.run, **about})

    def _predict(self, images: Images) -> tuple[pd.DataFrame, pd.DataFrame]:
        named, smear = _named(images)
        size, crop = self.networks["module_1"].input_size, self.settings.get("crop", 1.0)
        kept, arrays, problems = [], [], []
        for name, image in named:
            try:
                arrays.append(resize(_pixels(image), size, crop=crop))
                kept.append(name)
            except (OSError, ValueError) as error:
                problems.append({"file": name, "reason": str(error)})
        unreadable = pd.DataFrame(problems, columns=["file", "reason"])
        if not kept:
            raise ValueError(f"{smear} holds no readable image ({_reasons(unreadable) or 'it is empty'})")
        cells = pd.DataFrame({"image_id": kept, "smear_id": smear})
        pixels, rows = np.stack(arrays), np.arange(len(kept))
        # Prediction uses the device and the precision alone.
        options = Options(iterations=1, batch_size=1, lr_min=1, lr_max=1, device=resolve_device(self.device))
        for spec in MODULES:
            if spec.name in self.networks:
                cells = add_probabilities(cells, spec, self.networks[spec.name], pixels, rows, options)
                cells[spec.name] = spec.predicted(cells)
        return cells, unreadable


def _named(images: Images) -> tuple[list[tuple[str, OneImage]], str]:
    if not isinstance(images, str | Path):
        listed = list(images)
        return [(str(x) if isinstance(x, str | Path) else str(i), x) for i, x in enumerate(listed, start=1)], "smear"
    folder = Path(images)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in NOT_IMAGES)
    return [(path.relative_to(folder).as_posix(), path) for path in files], folder.resolve().name


def _pixels(image: OneImage) -> np.ndarray:
    if isinstance(image, str | Path):
        return decode(Path(image))
    if isinstance(image, Image.Image):
        if image.mode != "RGB":
            raise ImageError(f"the image is of mode {image.mode}; 8-bit RGB is needed, stain colour matters")
        return np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(f"the array is {image.dtype} of shape {image.shape}; uint8 (height, width, 3) is needed")
    return image


def _reasons(unreadable: pd.DataFrame) -> str:
    return "; ".join(f"{row.file}: {row.reason}" for row in unreadable.itertuples())
