"""The cell of interest, its nucleus and its cytoplasm, from a single-cell image (for the classical baselines).

May-Gruenwald-Giemsa gives the channels their roles: azure dyes of nucleus and cytoplasm absorb more red than blue
light, eosin in red cells the other way round. So the cell is what is bluer than red cells, and the nucleus what is
darkest in it, with Otsu's thresholds on optical densities (Otsu 1979; multi-level: Liao et al. 2001, both as in
scikit-image); cells that touch are parted by a watershed from their nuclei.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage
from skimage.filters import threshold_multiotsu, threshold_otsu
from skimage.measure import label, regionprops
from skimage.morphology import disk
from skimage.segmentation import watershed

WORKING_SIDE = 180
"""Pixels of the shorter side at which is segmented; masks come back at full size."""


FAINT = 0.10
"""Summed optical density of the three channels below which a pixel is background."""


RED_CELL_BLUENESS = (-0.04, 0.05)
"""Range of red minus blue optical density in which the threshold between red cells and the azure-stained cell lies."""


SMALLEST_NUCLEUS, SMALLEST_CELL = 0.012, 0.02
"""Shares of the image's area: what is smaller is a platelet or a stain deposit."""


@dataclass(frozen=True)
class Segmentation:
    """Masks of the central cell of an image.

    Attributes
    ----------
    cell, nucleus : ndarray
        bool (H, W), the nucleus within the cell.
    touches_border : bool
        Whether the cell reaches the edge of the image.
    n_cells : int
        Nucleated cells in the image.
    """

    cell: np.ndarray
    nucleus: np.ndarray
    touches_border: bool
    n_cells: int

    @property
    def cytoplasm(self) -> np.ndarray:
        """Cell without nucleus, bool (H, W)."""
        return self.cell & ~self.nucleus


def absorbance(pixels: np.ndarray) -> np.ndarray:
    """Compute the optical density of each channel over the background, its brightest twentieth.

    Parameters
    ----------
    pixels : ndarray
        uint8 (H, W, 3), RGB.

    Returns
    -------
    ndarray
        float32 (H, W, 3), at least 0, which is background.
    """
    values = pixels.astype(np.float32) + 1
    background = np.percentile(values.reshape(-1, 3), 95, axis=0)
    return np.clip(-np.log10(values / background), 0, None).astype(np.float32)


def segment(pixels: np.ndarray) -> Segmentation | None:
    """Find the central nucleated cell of an image.

    Parameters
    ----------
    pixels : ndarray
        uint8 (H, W, 3), RGB, at least 16 pixels a side.

    Returns
    -------
    Segmentation or None
        None where there is no cell (blank, saturated, no nucleus).
    """
    height, width = pixels.shape[:2]
    factor = min(WORKING_SIDE / min(height, width), 1.0)
    small = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) if factor < 1 else pixels
    found = _segment(cv2.GaussianBlur(small, (0, 0), 1.0))
    if found is None:
        return None
    cell, nucleus, touches, n = found
    full = [_enlarged(mask, (width, height)) for mask in (cell, nucleus)]
    return Segmentation(full[0] | full[1], full[1], touches, n)


RED_CELL_AREA = (0.0123, 0.0733)
"""Shares of a CellaVision image's area between which a single red cell lies: 4.5 to 11 micrometres across."""


def red_cells(pixels: np.ndarray) -> np.ndarray:
    """Measure the red cells that lie whole and alone in an image.

    They are a ruler: red cells are 7 to 8 micrometres wide whatever the disease of the white cells.

    Parameters
    ----------
    pixels : ndarray
        uint8 (H, W, 3), RGB, about 36 micrometres wide.

    Returns
    -------
    ndarray
        float (n,), diameters in pixels.
    """
    density = absorbance(cv2.GaussianBlur(pixels, (0, 0), 1.5))
    stained = ndimage.binary_fill_holes(density.sum(2) > FAINT)
    lone = label(cv2.morphologyEx(stained.astype(np.uint8), cv2.MORPH_OPEN, disk(3)))
    blue = density[:, :, 0] - density[:, :, 2]
    low, high = (share * lone.size for share in RED_CELL_AREA)
    height, width = lone.shape
    found = []
    for region in regionprops(lone):
        top, left, bottom, right = region.bbox
        whole = top > 0 and left > 0 and bottom < height and right < width
        if whole and low < region.area < high and region.solidity > 0.94 and region.eccentricity < 0.6:
            rows, columns = region.coords.T
            if blue[rows, columns].mean() < RED_CELL_BLUENESS[1]:
                found.append(region.equivalent_diameter_area)
    return np.array(found)


def _segment(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool, int] | None:
    density = absorbance(pixels)
    stained = density.sum(2) > FAINT
    blue = density[:, :, 0] - density[:, :, 2]
    azure = stained & (blue > _between(blue[stained]))
    nuclei = _nuclei(density[:, :, 0] + density[:, :, 1], azure | ~stained)
    if nuclei is None:
        return None
    body = cv2.morphologyEx(azure.astype(np.uint8), cv2.MORPH_CLOSE, disk(2))
    body = cv2.morphologyEx(body, cv2.MORPH_OPEN, disk(4)).astype(bool)
    body = ndimage.binary_fill_holes(body | (nuclei > 0))
    # Depth inside the cell, not brightness, decides where two touching cells part.
    depth = ndimage.distance_transform_edt(body)
    owners = watershed(-depth, markers=nuclei, mask=body)
    central = _central(nuclei)
    cell = ndimage.binary_fill_holes(owners == central).astype(np.uint8)
    # What hangs on by less than this are rims of red cells.
    cell = _largest(cv2.morphologyEx(cell, cv2.MORPH_OPEN, disk(7)).astype(bool) | (nuclei == central))
    nucleus = (nuclei == central) & cell
    if cell.mean() < SMALLEST_CELL or not nucleus.any():
        return None
    edge = np.concatenate([cell[0], cell[-1], cell[:, 0], cell[:, -1]])
    return cell, nucleus, bool(edge.any()), int(len(np.unique(nuclei)) - 1)


def _between(blue: np.ndarray) -> float:
    """The blueness between red cells and the azure-stained cell, kept in its usual range."""
    if blue.size < 2 or np.ptp(blue) < 0.02:
        return RED_CELL_BLUENESS[1]
    try:
        threshold = threshold_multiotsu(blue, classes=3)[0]
    except ValueError:  # fewer than three grey levels
        threshold = threshold_otsu(blue)
    return float(np.clip(threshold, *RED_CELL_BLUENESS))


def _nuclei(dark: np.ndarray, allowed: np.ndarray) -> np.ndarray | None:
    """Labelled nuclei, lobes of one cell under one label; None where nothing is dark enough."""
    if np.ptp(dark) < 0.25:
        return None
    try:
        # Red cells are left in: with background and cytoplasm alone a cell of little cytoplasm splits its chromatin.
        threshold = threshold_multiotsu(dark, classes=3)[1]
    except ValueError:  # fewer than three grey levels
        return None
    mask = (allowed & (dark > threshold)).astype(np.uint8)
    mask = cv2.morphologyEx(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disk(2)), cv2.MORPH_OPEN, disk(3))
    mask = ndimage.binary_fill_holes(mask)
    joined = label(cv2.dilate(mask.astype(np.uint8), disk(4)))
    labels = joined * mask
    kept = np.zeros_like(labels)
    for region in regionprops(labels):
        if region.area >= SMALLEST_NUCLEUS * mask.size:
            kept[labels == region.label] = region.label
    return kept if kept.any() else None


def _central(nuclei: np.ndarray) -> int:
    """Label of the nucleus nearest to the centre, large ones first among equals."""
    middle = np.array(nuclei.shape) / 2
    regions = regionprops(nuclei)
    return min(
        regions, key=lambda r: np.linalg.norm(np.array(r.centroid) - middle) - 0.5 * np.sqrt(r.area / np.pi)
    ).label


def _largest(mask: np.ndarray) -> np.ndarray:
    labels = label(mask)
    if labels.max() <= 1:
        return mask
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])


def _enlarged(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0.5


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Compute Dice's overlap of two masks.

    Parameters
    ----------
    a, b : ndarray
        bool, of one shape.

    Returns
    -------
    float
        In [0, 1]; 1 when both are empty.
    """
    total = a.sum() + b.sum()
    return float(2 * (a & b).sum() / total) if total else 1.0


def across(mask: np.ndarray) -> float:
    """Compute the diameter of the circle that is as large as a mask.

    Parameters
    ----------
    mask : ndarray
        bool (H, W).

    Returns
    -------
    float
        In pixels.
    """
    return float(2 * np.sqrt(mask.sum() / np.pi))
