"""The images that a task trains, validates and tests on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.training.data import Images, split_validation

if TYPE_CHECKING:
    from alnet_lib.core.profile import Profile
    from alnet_lib.diagnosis.tasks import ModuleSpec

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
    cohort, kind : str
        Name of the cohort and its kind (`synthetic`, `public`, `private`): a saved model says what it was trained on.
    """

    manifest: pd.DataFrame
    pixels: np.ndarray
    content_hash: str = ""
    cohort: str = ""
    kind: str = ""

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


def split_by_patient(
    labels: np.ndarray, patients: np.ndarray, fraction: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Split images into those to fit on and those for validation, so that no patient is on both sides.

    Each class of two patients or more first gets a patient for validation, where every class keeps one to fit on; then
    patients are added in random order as long as the classes' shares come nearer to the fraction.

    Parameters
    ----------
    labels : ndarray
        int (n,), classes from 0.
    patients : ndarray
        (n,), patient of each image.
    fraction : float
        Share of each class for validation, in (0, 1); met as nearly as whole patients allow.
    rng : numpy.random.Generator
        Source of the draw.

    Returns
    -------
    tuple of ndarray
        Positions to fit on and positions for validation, both ascending. Every class has at least one image to fit on.
    """
    counts = pd.crosstab(patients, labels)
    counts = counts.iloc[rng.permutation(len(counts))]
    own, total = counts.to_numpy(), counts.to_numpy().sum(0)
    taken, held = np.zeros(len(own), bool), np.zeros(own.shape[1], np.int64)

    def distance(extra: np.ndarray) -> float:
        return float((((held + extra) / total - fraction) ** 2).sum())

    def keeps(patient: int) -> bool:
        return not taken[patient] and bool((held + own[patient] < total).all())

    for label in np.argsort((own > 0).sum(0), kind="stable"):
        possible = [i for i in range(len(own)) if own[i, label] and keeps(i)]
        if possible and not held[label]:
            best = min(possible, key=lambda i: distance(own[i]))
            taken[best], held = True, held + own[best]
    for i in range(len(own)):
        if keeps(i) and distance(own[i]) < distance(np.zeros_like(held)):
            taken[i], held = True, held + own[i]
    out = np.isin(patients, counts.index[taken])
    return np.flatnonzero(~out), np.flatnonzero(out)


def validation_split(
    images: Images, spec: ModuleSpec, profile: Profile, *, by_patient: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the images to fit on and of those kept for validation; the one place that draws this split.

    Parameters
    ----------
    images : Images
        The training split's images under the task, in the manifest's order, of `labelled`.
    spec : ModuleSpec
        The task: each has a draw of its own.
    profile : Profile
        Seed and `validation_fraction`.
    by_patient : bool
        No patient is on both sides (`split_by_patient`); as printed, images are drawn.

    Returns
    -------
    tuple of ndarray
        int64, both ascending.
    """
    if by_patient:
        rng = profile.generator(f"validation by patient/{spec.name}")
        return split_by_patient(images.labels, images.groups, profile.validation_fraction, rng)
    return split_validation(images.labels, profile.validation_fraction, profile.generator(f"validation/{spec.name}"))


def fit_and_validation(
    data: CellImages, spec: ModuleSpec, profile: Profile, *, by_patient: bool = False
) -> tuple[Images, Images]:
    """The training split's images that a network is fitted on, and those kept for validation."""
    everything = labelled(data, spec)
    fitted, held = validation_split(everything, spec, profile, by_patient=by_patient)
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
    parts = validation_split(images, spec, profile)
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
    shares = np.empty((len(pixels), len(COLOUR_BINS)))
    for row, picture in enumerate(channels):
        shares[row] = np.bincount((picture // 16 + [0, 16, 32]).ravel(), minlength=48) / channels.shape[1]
    colours = pd.DataFrame(shares, manifest.index, COLOUR_BINS)
    return pd.concat([manifest, features.set_index(manifest.index), colours], axis=1)
