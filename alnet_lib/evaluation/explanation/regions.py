"""Nucleus, cytoplasm and background as the networks see them: reference masks of synthetic cells, else segmented."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from alnet_lib.cohorts.synthetic import twin
from alnet_lib.imaging import decoding, segmentation

if TYPE_CHECKING:
    from alnet_lib.cohorts.manifest import Cohort
    from alnet_lib.core.profile import Profile

REGIONS = ("nucleus", "cytoplasm", "background")


def reference_masks(cohort: Cohort, profile: Profile, row: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """The exact masks of cell and nucleus, which only synthetic cells have.

    Parameters
    ----------
    cohort : Cohort
        The cohort of the image.
    profile : Profile
        Its seed generated the cells.
    row : mapping
        The image's row of the manifest.

    Returns
    -------
    tuple of ndarray, or None
        Cell and nucleus, bool (H, W) at the size of the file; None for other cohorts.
    """
    return twin.masks(row, profile.seed) if cohort.name == twin.NAME else None


def regions(cohort: Cohort, profile: Profile, row: Mapping[str, Any]) -> np.ndarray | None:
    """The region of each pixel that the networks see.

    Parameters
    ----------
    cohort : Cohort
        The cohort of the image, with its folder.
    profile : Profile
        Image size, crop, seed and whether truncated files are used.
    row : mapping
        The image's row of the manifest, or of the cells.

    Returns
    -------
    ndarray or None
        uint8 (S, S), the index in REGIONS; None where the cell cannot be segmented.
    """
    masks = reference_masks(cohort, profile, row)
    if masks is None:
        x, y, width, height = (float(row.get(column, np.nan)) for column in decoding.CROP_COLUMNS)
        pixels = decoding.picture(
            cohort.root / row["path"], (x, y, width, height), allow_truncated=profile.allow_truncated
        )
        found = segmentation.segment(pixels)
        if found is None:
            return None
        masks = found.cell, found.nucleus
    cell, nucleus = masks
    label = np.where(nucleus, 0, np.where(cell, 1, 2)).astype(np.uint8)
    shares = [
        decoding.resize((label == k).astype(np.uint8) * 255, profile.image_size, crop=profile.crop) for k in range(3)
    ]
    return np.argmax(shares, axis=0).astype(np.uint8)
