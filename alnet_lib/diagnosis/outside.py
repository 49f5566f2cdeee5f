"""Whether the cells of a smear lie outside what a model was trained on: their distance from its own testing cells.

The cells are compared in the network's embedding (`training.inference.features`), in whitened principal components: the
distance of a smear is that of the mean of its cells to the mean of the nearest held-out smear (deep nearest neighbours:
Sun et al., ICML 2022, there of single images). A whole smear of another stain or camera is shifted as one; single cells
vary more than that. The threshold is a conformal one: the held-out smears themselves, each measured against those of
other patients, exceed it at the stated rate.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from alnet_lib.core.files import atomic_path
from alnet_lib.core.outcomes import Unavailable
from alnet_lib.networks.storage import DamagedModel

FILE = "held_out.safetensors"
"""Name of the file, beside the modules."""

COMPONENTS = 50
"""Principal components of the standardised embedding; at most one for every ten held-out cells."""

FALSE_ALARMS = 0.05
"""Share of smears like the held-out ones that may be said to lie outside."""

SIZES = (1, 2, 5, 10, 20)
"""Numbers of cells with a threshold of their own: the mean of few cells varies more."""

MIN_PATIENTS = 10
"""Fewest held-out patients for a threshold: with n smears the rate cannot be below 1 in n + 1."""

NOT_KEPT = Unavailable("its testing smears were not kept")
"""Of a model without the file."""

MOST_CELLS = 4000
"""Most held-out cells that are embedded, chosen at random."""


@dataclass(frozen=True)
class Distance:
    """How far the cells of a smear lie from those that a model was tested on.

    Attributes
    ----------
    distance : float
        Of the mean of the cells from the nearest held-out smear, in standard deviations of the held-out cells.
    threshold : float
        Beyond it the smear is said to lie outside.
    false_alarms : float
        Share of held-out smears of as many cells that do, at most, in (0, 1).
    patients, smears : int
        Held-out patients and smears that stand behind the threshold.
    """

    distance: float
    threshold: float
    false_alarms: float
    patients: int
    smears: int

    @property
    def outside(self) -> bool:
        """Whether the smear lies outside."""
        return self.distance > self.threshold

    def as_dict(self) -> dict[str, Any]:
        """`outside` (bool) and the attributes."""
        return {"outside": self.outside, **vars(self)}

    @property
    def words(self) -> str:
        """One sentence."""
        rate = f"a limit that at most {self.false_alarms:.0%} of this model's own testing smears exceed"
        if self.outside:
            times = self.distance / self.threshold
            return (
                f"The cells lie OUTSIDE what the model was trained on: they are {times:.1f} times as far from its "
                f"testing smears as {rate}. The verdict says nothing about such cells."
            )
        return (
            f"The cells lie no farther from this model's testing smears than {rate}. That does not show that they "
            "are like them: cells of other laboratories may lie within it."
        )


@dataclass(frozen=True)
class HeldOut:
    """The held-out smears of a model in its embedding, with the thresholds.

    Attributes
    ----------
    centre, spread : ndarray
        float32 (f,), of the embedding, over the held-out cells.
    components : ndarray
        float32 (f, d), d of at most COMPONENTS principal components, scaled to a variance of 1.
    smears : ndarray
        float32 (n, d), the mean of each held-out smear.
    thresholds : ndarray
        float32, one for each of SIZES.
    false_alarms : float
        In (0, 1).
    patients : int
        Behind the thresholds.
    weights : str
        SHA-256 of the network's weights.
    """

    centre: np.ndarray
    spread: np.ndarray
    components: np.ndarray
    smears: np.ndarray
    thresholds: np.ndarray
    false_alarms: float
    patients: int
    weights: str = ""

    def distance(self, features: np.ndarray) -> Distance:
        """Measure a smear.

        Parameters
        ----------
        features : ndarray
            float (n, f), embedding of its cells, n of 1 or more.
        """
        placed = ((features - self.centre) / self.spread) @ self.components
        found = float(np.linalg.norm(self.smears - placed.mean(0), axis=1).min())
        size = int(np.searchsorted(SIZES, len(features), side="right")) - 1
        limit = float(self.thresholds[size])
        return Distance(found, limit, self.false_alarms, self.patients, len(self.smears))

    def save(self, folder: Path) -> None:
        """Write it to `<folder>/held_out.safetensors`."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(getattr(self, name), np.float32) for name in _ARRAYS}
        about = {"false_alarms": self.false_alarms, "patients": self.patients, "weights": self.weights}
        told = json.dumps(about, sort_keys=True)
        with atomic_path(folder / FILE) as temporary:
            save_file(arrays, temporary, {"about": told, "sha256": _digest(arrays, told)})


_ARRAYS = ("centre", "spread", "components", "smears", "thresholds")


def read(folder: Path, weights: str) -> HeldOut | Unavailable:
    """Read what `HeldOut.save` wrote, checked against its digest and against the network's weights.

    Parameters
    ----------
    folder : Path
        The models of a run.
    weights : str
        SHA-256 of the weights of module 1, from its description.

    Returns
    -------
    HeldOut or Unavailable
        Unavailable where there is no such file, or where it is of other weights.

    Raises
    ------
    DamagedModel
        It cannot be read, or is not what was written; the message names it.
    """
    from safetensors import SafetensorError, safe_open

    if not (file := folder / FILE).is_file():
        return NOT_KEPT
    try:
        with safe_open(file, "numpy") as content:
            arrays = {name: content.get_tensor(name) for name in _ARRAYS}
            metadata = content.metadata() or {}
        told = metadata["about"]
        if _digest(arrays, told) != metadata["sha256"]:
            raise ValueError("it is not what was written")
        about: Mapping[str, Any] = json.loads(told)
        found = HeldOut(**arrays, **about)
    except (SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
        raise DamagedModel(f"{file} is damaged: {error}") from error
    return found if found.weights == weights else Unavailable("the kept testing smears are of other weights")


def held_out(features: np.ndarray, about: pd.DataFrame, rng: np.random.Generator) -> HeldOut | Unavailable:
    """Set the thresholds.

    Parameters
    ----------
    features : ndarray
        float (n, f), embedding of a model's testing cells.
    about : DataFrame
        `patient_id` and `smear_id` of each.
    rng : numpy.random.Generator
        Chooses the cells of a smear for the thresholds of fewer cells.

    Returns
    -------
    HeldOut or Unavailable
        Without `weights`. Unavailable with fewer than MIN_PATIENTS patients.
    """
    from sklearn.decomposition import PCA

    patients = about["patient_id"].to_numpy()
    number = len(np.unique(patients))
    if number < MIN_PATIENTS:
        return Unavailable(f"{MIN_PATIENTS} testing patients are needed for a limit; there are {number}")
    centre, spread = features.mean(0), features.std(0) + 1e-6
    standard = (features - centre) / spread
    most = max(min(COMPONENTS, len(features) // 10, features.shape[1]), 1)
    found = PCA(most, svd_solver="full").fit(standard)
    axes = (found.components_ / np.sqrt(found.explained_variance_ + 1e-6)[:, None]).T.astype(np.float32)
    cells = standard @ axes
    members = [rows for _, rows in sorted(about.groupby(about["smear_id"].to_numpy()).indices.items())]
    means, of = np.stack([cells[rows].mean(0) for rows in members]), patients[[rows[0] for rows in members]]
    thresholds = []
    for size in SIZES:
        drawn = np.stack([cells[rng.permutation(rows)[:size]].mean(0) for rows in members])
        apart = np.linalg.norm(drawn[:, None] - means[None], axis=2)
        thresholds.append(_limit(np.where(of[:, None] == of[None], np.inf, apart).min(1), of))
    rate = max(FALSE_ALARMS, 1 / (number + 1))
    return HeldOut(centre, spread, axes, means, np.array(thresholds), rate, number)


def _limit(distances: np.ndarray, patients: np.ndarray) -> float:
    """The conformal quantile over patients, each with the farthest of its smears."""
    ordered = np.sort(pd.Series(distances).groupby(patients).max().to_numpy())
    return float(ordered[min(int(np.ceil((len(ordered) + 1) * (1 - FALSE_ALARMS))), len(ordered)) - 1])


def _digest(arrays: Mapping[str, np.ndarray], told: str) -> str:
    digest = hashlib.sha256(told.encode())
    for name in _ARRAYS:
        digest.update(repr(arrays[name].shape).encode() + arrays[name].astype(np.float32).tobytes())
    return digest.hexdigest()
