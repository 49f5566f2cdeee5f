"""Cells that a start learns from: drawn ones of many laboratories, and real ones of healthy people.

The drawn ones share nothing with the synthetic cohort but the artist: other seeds, other patients, and stains, optics,
magnifications and mixtures of criteria that range far beyond the three hospitals of the cohort.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import joblib
import numpy as np

from alnet_lib.cohorts.adapters.layout import walk
from alnet_lib.cohorts.building import read
from alnet_lib.cohorts.synthetic import drawing, morphology
from alnet_lib.core.resources import cores
from alnet_lib.imaging.decoding import picture, resize

if TYPE_CHECKING:
    from alnet_lib.core.progress import Progress

SIDE = 176
"""Pixels a side of a teaching cell."""

VIEW = 0.8
"""Central square of the picture that is kept, as a fraction of its shorter side."""

MIXED = 0.5
"""Share of drawn cells whose criteria lie between two cell types."""

_LOW = np.array([low for _, low, _ in morphology.CRITERIA.values()])
_HIGH = np.array([high for _, _, high in morphology.CRITERIA.values()])


def laboratory(rng: np.random.Generator) -> dict[str, float]:
    """Choose stain and optics of one laboratory.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draw.

    Returns
    -------
    dict of str to float
        As `morphology.optics`, over wider ranges.
    """
    return {
        "hue": rng.uniform(-0.35, 0.35),
        "blur": rng.uniform(0.4, 2.2),
        "zoom": rng.uniform(0.75, 1.3),
        "warmth": rng.uniform(0, 1),
        "stain": rng.uniform(0.6, 1.5),
        "pinkness": rng.uniform(0.7, 1.35),
        "density": rng.uniform(0, 22),
        "pallor": rng.uniform(0.2, 0.95),
        "crenation": max(rng.normal(-0.005, 0.02), 0.0),
        "noise": rng.uniform(0.5, 3.0),
    }


def criteria(rng: np.random.Generator) -> tuple[dict[str, float], str]:
    """Choose the morphology of one cell: of one of the ten drawn types, or between two of them.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the draw.

    Returns
    -------
    values : dict of str to float
        Criterion to value, in the ranges of `morphology.CRITERIA`.
    cell_type : str
        The type that it is nearer to; it gives the granules their colour.
    """
    first, second = rng.permutation(len(morphology.MEAN))[:2]
    share = rng.uniform(0, 0.5) if rng.random() < MIXED else 0.0
    mean = (1 - share) * morphology.MEAN.iloc[first] + share * morphology.MEAN.iloc[second]
    deviation = rng.standard_normal(len(_LOW)) * rng.uniform(0.5, 1.5)
    values = np.clip(mean + morphology.SPREAD.loc[morphology.MEAN.index[first]].to_numpy() * deviation, _LOW, _HIGH)
    return dict(zip(morphology.CRITERIA, values, strict=True)), morphology.MEAN.index[first]


def draw(number: int, seed: int) -> np.ndarray:
    """Draw one teaching cell, as a JPEG decoder would give it.

    Parameters
    ----------
    number : int
        Of the cell, from 0.
    seed : int
        Of all of them.

    Returns
    -------
    ndarray
        uint8 (SIDE, SIDE, 3), RGB.
    """
    rng = np.random.default_rng([seed, number])
    values, cell_type = criteria(rng)
    pixels = drawing.draw(values, cell_type, laboratory(rng), rng)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return resize(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), SIDE, crop=VIEW)


def _drawn_part(numbers: range, seed: int) -> np.ndarray:
    # Two processes with a pool of threads each would only wait for each other.
    cv2.setNumThreads(1)
    return np.stack([draw(number, seed) for number in numbers])


def drawn(count: int, seed: int, progress: Progress | None = None) -> np.ndarray:
    """Draw teaching cells, the same whatever the number of processors.

    Parameters
    ----------
    count : int
        How many, at least 1.
    seed : int
        Of all of them.
    progress : callable, optional
        Called with cells drawn and their number.

    Returns
    -------
    ndarray
        uint8 (count, SIDE, SIDE, 3), RGB.
    """
    parts = [range(first, min(first + 100, count)) for first in range(0, count, 100)]
    found: list[np.ndarray] = []
    jobs = joblib.Parallel(n_jobs=cores(), return_as="generator")(
        joblib.delayed(_drawn_part)(part, seed) for part in parts
    )
    for done, part in zip(parts, jobs, strict=True):
        found.append(part)
        if progress:
            progress(done.stop, count)
    return np.concatenate(found)


def healthy(data: str | Path) -> np.ndarray:
    """Read all cells of healthy people of `pbc_normal_dib`, of whatever type.

    Parameters
    ----------
    data : str or Path
        Folder of the original download.

    Returns
    -------
    ndarray
        uint8 (n, SIDE, SIDE, 3), RGB.

    Raises
    ------
    alnet_lib.cohorts.manifest.CohortError
        The folder does not hold the data set.
    """
    files = [file for file in walk(read("pbc_normal_dib", data).root) if file.suffix.lower() == ".jpg"]
    return np.stack([resize(picture(file), SIDE, crop=VIEW) for file in files])
