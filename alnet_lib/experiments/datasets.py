"""The images that a task trains, validates and tests on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.profile import Profile
from alnet_lib.diagnosis.tasks import ModuleSpec
from alnet_lib.training.data import Images, split_validation

PSEUDO_PATIENT_SIZE = 25
"""Images that count as one patient, for balanced sampling, where a source names none: about a patient's share."""


COLOUR_BINS = [f"{channel}_{number:02d}" for channel in ("red", "green", "blue") for number in range(16)]
"""Columns of `described` with the colour histogram, 16 bins a channel."""


@dataclass(frozen=True)
class CellImages:
    """A cohort as a training sees it.

    Attributes
    ----------
    manifest : DataFrame
        One row an image.
    pixels : ndarray
        uint8 (n, S, S, 3), RGB, in the manifest's order; may be memory-mapped.
    content_hash : str
        Changes with the images and their labels.
    """

    manifest: pd.DataFrame
    pixels: np.ndarray
    content_hash: str = ""

    def with_manifest(self, manifest: pd.DataFrame) -> CellImages:
        """The same pictures with other labels or splits (same rows)."""
        return replace(self, manifest=manifest)

    def rows_of(self, image_ids: pd.Series) -> np.ndarray:
        """int64 positions in the manifest of the images named."""
        position = pd.Series(np.arange(len(self.manifest)), index=self.manifest["image_id"])
        return position[image_ids].to_numpy()


def labelled(
    data: CellImages, spec: ModuleSpec, *, split: str | None = "train", classes: tuple[str, ...] | None = None
) -> Images:
    """The images of a split that have a class under a task.

    Parameters
    ----------
    data : CellImages
        The cohort.
    spec : ModuleSpec
        The task.
    split : str or None
        `train`, `test`, `external`; None takes all.
    classes : tuple of str, optional
        Classes to use, e.g. those that a network was trained on; by default those of the task that have images.

    Returns
    -------
    Images
        With the patient of each image as its group.
    """
    manifest = data.manifest
    chosen = manifest["split"].eq(split) if split else pd.Series(True, manifest.index)
    chosen &= manifest["cell_type"].isin(spec.mapping)
    rows = np.flatnonzero(chosen.to_numpy())
    names = spec.reference(manifest.iloc[rows])
    if classes is None:
        classes = tuple(name for name in spec.classes if name in set(names))
    labels = names.map({name: i for i, name in enumerate(classes)}).fillna(-1).to_numpy(np.int64)
    kept = labels >= 0
    patients = _patients(manifest).to_numpy()[rows]
    return Images(data.pixels, rows[kept], labels[kept], patients[kept], classes)


def _patients(manifest: pd.DataFrame) -> pd.Series:
    patients = manifest["patient_id"].astype(str)
    if "smear_known" not in manifest:
        return patients
    number = manifest.groupby(["site", "cell_type"]).cumcount() // PSEUDO_PATIENT_SIZE
    return patients.where(manifest["smear_known"], manifest["site"] + "/" + number.astype(str))


def validation_split(labels: np.ndarray, spec: ModuleSpec, profile: Profile) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the images to fit on and of those kept for validation; the one place that draws this split.

    Parameters
    ----------
    labels : ndarray
        int (n,), classes of the training split's images under the task, in the manifest's order.
    spec : ModuleSpec
        The task: each has a draw of its own.
    profile : Profile
        Seed and `validation_fraction`.
    """
    rng = profile.generator(f"validation/{spec.name}")
    return split_validation(labels, profile.validation_fraction, rng)


def fit_and_validation(data: CellImages, spec: ModuleSpec, profile: Profile) -> tuple[Images, Images]:
    """The training split's images that a network is fitted on, and those kept for validation."""
    everything = labelled(data, spec)
    fitted, held = validation_split(everything.labels, spec, profile)
    return everything.take(fitted), everything.take(held)


def validation_rows(data: CellImages, spec: ModuleSpec, profile: Profile) -> np.ndarray:
    """Positions in the manifest of the training images that are kept for validation, int64.

    Parameters
    ----------
    data : CellImages
        The cohort.
    spec : ModuleSpec
        The task.
    profile : Profile
        Seed and `validation_fraction`.
    """
    return fit_and_validation(data, spec, profile)[1].rows


def planned(manifest: pd.DataFrame, spec: ModuleSpec, profile: Profile) -> pd.DataFrame | Unavailable:
    """Images of each class to fit on and for validation, as a training will split them; needs no pixel.

    Returns
    -------
    DataFrame or Unavailable
        Index the classes that have images, columns `train` and `validation`; unavailable with fewer than two classes.
    """
    without_pixels = CellImages(manifest, np.empty((len(manifest), 0, 0, 3), np.uint8))
    images = labelled(without_pixels, spec)
    if len(images.classes) < 2:
        return Unavailable(spec.lacking(manifest))
    parts = validation_split(images.labels, spec, profile)
    sizes = [np.bincount(images.labels[part], minlength=len(images.classes)) for part in parts]
    return pd.DataFrame({"train": sizes[0], "validation": sizes[1]}, index=list(images.classes))


def described(data: CellImages, features: pd.DataFrame) -> pd.DataFrame:
    """What baselines see of each image: manifest, handcrafted features, colour histogram.

    Parameters
    ----------
    data : CellImages
        The cohort.
    features : DataFrame
        Handcrafted features, one row an image in the manifest's order.

    Returns
    -------
    DataFrame
        One row an image, with the manifest's index; the bins of each channel (`COLOUR_BINS`) are shares that sum to 1.
    """
    manifest, pixels = data.manifest, data.pixels
    channels = pixels.reshape(len(pixels), -1, 3)
    bins = [np.bincount((picture // 16 + [0, 16, 32]).ravel(), minlength=48) for picture in channels]
    colours = pd.DataFrame(np.stack(bins) / channels.shape[1], manifest.index, COLOUR_BINS)
    return pd.concat([manifest, features.set_index(manifest.index), colours], axis=1)
