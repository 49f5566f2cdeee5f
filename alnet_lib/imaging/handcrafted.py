"""Handcrafted features of single cells: geometry, colour, texture of nucleus, cytoplasm and cell.

The kinds are those of the classical systems that the paper compares with (its reference 35 and Table 12): geometric,
colour and texture descriptors of the segmented cell. Names say region, space or method, and statistic:
`nucleus_lab_a_mean`, `cytoplasm_glcm_contrast_3`. Lengths and areas are in pixels of an image whose shorter side is
WORKING_SIDE pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import joblib
import numpy as np
import pandas as pd
from filelock import FileLock
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from skimage.measure import regionprops
from skimage.morphology import disk

from alnet_lib.core.code import code_hash
from alnet_lib.core.files import atomic_path, sha256
from alnet_lib.core.integrity.reading import kept
from alnet_lib.core.resources import cores
from alnet_lib.imaging import decoding, segmentation
from alnet_lib.imaging.segmentation import WORKING_SIDE, Segmentation

if TYPE_CHECKING:
    from alnet_lib.core.progress import Progress

REGIONS = ("nucleus", "cytoplasm")


CHANNELS = (
    "rgb_red", "rgb_green", "rgb_blue", "hsv_hue", "hsv_saturation", "hsv_value", "lab_lightness", "lab_a", "lab_b",
    "cmyk_cyan", "cmyk_magenta", "cmyk_yellow", "cmyk_black",
)  # fmt: skip
"""Colour spaces and channels, each in [0, 1] but Lab's (L 0 to 100, a and b about -128 to 127)."""


STATISTICS = ("mean", "sd", "skewness", "kurtosis")


GLCM_OFFSETS = (1, 3, 6)


GLCM_LEVELS = 32


GLCM_PROPERTIES = ("contrast", "homogeneity", "energy", "correlation")


GRANULOMETRY_RADII = (1, 2, 3, 5, 8)


LBP_BINS = 10


SHARD = 5000
"""Images of a file of features: a minute or two of work."""


def describe(pixels: np.ndarray) -> dict[str, float]:
    """Compute all features of the central cell of an image.

    Definitions: area, perimeter, eccentricity, solidity (area over convex area), extent, axes as scikit-image's
    regionprops; circularity = 4 pi area / perimeter^2; profile = standard deviation over mean of the distances from the
    centroid to the outline; nc_ratio = nucleus area over cell area; first-order colour statistics (skewness and excess
    kurtosis as scipy); grey-level co-occurrence (Haralick 1973) of the green channel at GLCM_OFFSETS pixels, mean of
    four directions, inside the region only; granulometry = share of the region's grey-level volume that an opening
    (bright) or closing (dark, granules) with a disk of that radius removes; uniform local binary patterns (Ojala 2002),
    8 neighbours at radius 2, as a histogram.

    Parameters
    ----------
    pixels : ndarray
        uint8 (H, W, 3), RGB. Larger images are reduced to WORKING_SIDE.

    Returns
    -------
    dict of str to float
        A value for each of `names()`, NaN where no cell can be segmented, and `segmented` (1 or 0).
    """
    height, width = pixels.shape[:2]
    factor = min(WORKING_SIDE / min(height, width), 1.0)
    if factor < 1:
        pixels = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    found = segmentation.segment(pixels) if min(pixels.shape[:2]) >= 16 else None
    if found is None:
        return dict.fromkeys(names(), float("nan")) | {"segmented": 0.0}
    features = geometry(found) | colour(pixels, found) | texture(pixels[:, :, 1], found)
    return {name: float(features[name]) for name in names()} | {"segmented": 1.0}


def names() -> list[str]:
    """List the features' names, in order; `describe` gives `segmented` as well.

    Returns
    -------
    list of str
        Region, space or method, and statistic.
    """
    shape = (
        "area",
        "perimeter",
        "circularity",
        "eccentricity",
        "solidity",
        "extent",
        "major_axis",
        "minor_axis",
        "profile",
    )
    listed = [f"{region}_{name}" for region in ("cell", "nucleus") for name in shape]
    listed += ["nc_ratio", "nucleus_offset", "nucleus_parts", "cell_touches_border", "cells_in_view"]
    for region in REGIONS:
        listed += [f"{region}_{channel}_{name}" for channel in CHANNELS for name in STATISTICS]
        listed += [f"{region}_glcm_{name}_{d}" for name in (*GLCM_PROPERTIES, "entropy") for d in GLCM_OFFSETS]
        listed += [f"{region}_granulometry_{kind}_{r}" for kind in ("bright", "dark") for r in GRANULOMETRY_RADII]
        listed += [f"{region}_lbp_{i}" for i in range(LBP_BINS)]
    return listed


def geometry(found: Segmentation) -> dict[str, float]:
    """Measure the shapes of cell and nucleus, and how they lie to each other.

    Parameters
    ----------
    found : Segmentation
        Masks of the cell.

    Returns
    -------
    dict of str to float
        Lengths in pixels, areas in square pixels, ratios without unit.
    """
    features: dict[str, float] = {}
    centres = {}
    for region, mask in (("cell", found.cell), ("nucleus", found.nucleus)):
        shape = regionprops(mask.astype(np.uint8))[0]
        contour = max(cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=len)
        radii = np.linalg.norm(contour[:, 0, ::-1] - np.array(shape.centroid), axis=1)
        perimeter = max(shape.perimeter, 1.0)
        centres[region] = np.array(shape.centroid)
        features |= {
            f"{region}_area": shape.area,
            f"{region}_perimeter": perimeter,
            f"{region}_circularity": min(4 * np.pi * shape.area / perimeter**2, 1.5),
            f"{region}_eccentricity": shape.eccentricity,
            f"{region}_solidity": shape.solidity,
            f"{region}_extent": shape.extent,
            f"{region}_major_axis": shape.axis_major_length,
            f"{region}_minor_axis": shape.axis_minor_length,
            f"{region}_profile": radii.std() / max(radii.mean(), 1e-6),
        }
    radius = np.sqrt(features["cell_area"] / np.pi)
    parts, _ = cv2.connectedComponents(found.nucleus.astype(np.uint8))
    return features | {
        "nc_ratio": features["nucleus_area"] / features["cell_area"],
        "nucleus_offset": np.linalg.norm(centres["cell"] - centres["nucleus"]) / radius,
        "nucleus_parts": parts - 1,
        "cell_touches_border": found.touches_border,
        "cells_in_view": found.n_cells,
    }


def spaces(pixels: np.ndarray) -> np.ndarray:
    """Convert an image to the colour channels of CHANNELS.

    Parameters
    ----------
    pixels : ndarray
        uint8 (H, W, 3), RGB.

    Returns
    -------
    ndarray
        float32 (H, W, 13).
    """
    rgb = pixels.astype(np.float32) / 255
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV) / np.array([360, 1, 1], np.float32)
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)
    black = 1 - rgb.max(2, keepdims=True)
    cmy = (1 - rgb - black) / np.maximum(1 - black, 1e-6)
    return np.concatenate([rgb, hsv, lab, cmy, black], axis=2)


def colour(pixels: np.ndarray, found: Segmentation) -> dict[str, float]:
    """Compute first-order statistics of every channel over each region.

    Parameters
    ----------
    pixels : ndarray
        uint8 (H, W, 3), RGB.
    found : Segmentation
        Masks of the cell.

    Returns
    -------
    dict of str to float
        NaN where a region has fewer than 8 pixels.
    """
    channels = spaces(pixels)
    features: dict[str, float] = {}
    for region in REGIONS:
        values = channels[getattr(found, region)]
        if len(values) < 8:
            table = np.full((4, len(CHANNELS)), np.nan)
        else:
            mean = values.mean(0, dtype=float)
            centred = values - mean
            sd = centred.std(0)
            # A channel without any variation has neither skewness nor kurtosis; 0 says so without a hole.
            scaled = np.divide(centred, sd, out=np.zeros_like(centred), where=sd > 1e-7)
            kurtosis = np.where(sd > 1e-7, (scaled**4).mean(0) - 3, 0)
            table = np.stack([mean, sd, (scaled**3).mean(0), kurtosis])
        for c, channel in enumerate(CHANNELS):
            features |= {f"{region}_{channel}_{name}": table[s, c] for s, name in enumerate(STATISTICS)}
    return features


def texture(green: np.ndarray, found: Segmentation) -> dict[str, float]:
    """Compute co-occurrence, granulometry and local binary patterns over each region.

    Parameters
    ----------
    green : ndarray
        uint8 (H, W), the green channel.
    found : Segmentation
        Masks of the cell.

    Returns
    -------
    dict of str to float
        NaN where a region has fewer than 8 pixels.
    """
    features: dict[str, float] = {}
    patterns = local_binary_pattern(green, 8, 2, method="uniform")
    for region in REGIONS:
        mask = getattr(found, region)
        if mask.sum() < 8:
            features |= {name: np.nan for name in names() if name.startswith(f"{region}_") and name not in features}
            continue
        features |= _cooccurrence(green, mask, region) | _granulometry(green, mask, region)
        histogram = np.bincount(patterns[mask].astype(int), minlength=LBP_BINS) / mask.sum()
        features |= {f"{region}_lbp_{i}": histogram[i] for i in range(LBP_BINS)}
    return features


def _box(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    down, across = (slice(max(i[0] - margin, 0), i[-1] + margin + 1) for i in (rows, columns))
    return down, across


def _cooccurrence(green: np.ndarray, mask: np.ndarray, region: str) -> dict[str, float]:
    box = _box(mask, 0)
    levels = np.where(mask[box], 1 + green[box].astype(int) * GLCM_LEVELS // 256, 0).astype(np.uint8)
    angles = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
    matrix = graycomatrix(levels, GLCM_OFFSETS, angles, levels=GLCM_LEVELS + 1, symmetric=True)
    # Level 0 is outside of the region: pairs with it say where the outline runs, not how the inside looks.
    inside = matrix[1:, 1:].sum(3, keepdims=True).astype(float)
    inside /= np.maximum(inside.sum((0, 1), keepdims=True), 1)
    features = {
        f"{region}_glcm_{name}_{d}": graycoprops(inside, name)[i, 0]
        for name in GLCM_PROPERTIES
        for i, d in enumerate(GLCM_OFFSETS)
    }
    share = inside[:, :, :, 0].reshape(-1, len(GLCM_OFFSETS))
    entropy = -(share * np.log2(share, out=np.zeros_like(share), where=share > 0)).sum(0)
    return features | {f"{region}_glcm_entropy_{d}": entropy[i] for i, d in enumerate(GLCM_OFFSETS)}


def _granulometry(green: np.ndarray, mask: np.ndarray, region: str) -> dict[str, float]:
    box = _box(mask, 2 * max(GRANULOMETRY_RADII))
    grey, inside = green[box], mask[box]
    volume = max(float(grey[inside].sum()), 1.0)
    features = {}
    for radius in GRANULOMETRY_RADII:
        kernel = disk(radius)
        opened = cv2.morphologyEx(grey, cv2.MORPH_OPEN, kernel)
        closed = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, kernel)
        features[f"{region}_granulometry_bright_{radius}"] = float((grey - opened)[inside].sum()) / volume
        features[f"{region}_granulometry_dark_{radius}"] = float((closed - grey)[inside].sum()) / volume
    return features


def extract(
    files: Sequence[Path],
    crops: Sequence[decoding.Crop],
    *,
    content_hash: str,
    cache: Path,
    allow_truncated: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Compute the features of many images once; the result does not depend on the number of workers.

    A damaged table is put aside and made again.

    Parameters
    ----------
    files : sequence of Path
        The image files, n of them.
    crops : sequence of Crop
        Crop centre and field of view of each cell in its file.
    content_hash : str
        Changes with the files' contents and crops.
    cache : Path
        Folder of the tables, one for each SHARD images: what was measured before an interruption stays. Their names
        change with content and with the code that decodes, segments and measures.
    allow_truncated : bool
        Use JPEG files that end early.
    workers : int, optional
        Processes; default one a processor.
    progress : callable, optional
        Called with images done and in all.

    Returns
    -------
    DataFrame
        One row an image, in the order of `files`; columns as of `describe`.

    Raises
    ------
    ImageError
        An image that cannot be used.
    """
    key = sha256(content_hash, code_hash("alnet_lib.imaging.handcrafted"))[:16]
    cache.mkdir(parents=True, exist_ok=True)
    values = np.empty((len(files), len(names()) + 1))
    # Notebooks that run side by side need the same features: one of them extracts, the other waits.
    with FileLock(cache / ".lock"):
        for first in range(0, len(files), SHARD):
            rows = slice(first, first + SHARD)
            path = cache / f"features_{key}_{first // SHARD:04d}.parquet"

            def shown(done: int, _: int, first: int = first) -> None:
                if progress:
                    progress(first + done, len(files))

            if (frame := kept(path, pd.read_parquet)) is None:
                frame = _described(files[rows], crops[rows], allow_truncated, workers, shown)
                with atomic_path(path) as temporary:
                    frame.to_parquet(temporary, index=False)
            values[rows] = frame.to_numpy()
    return pd.DataFrame(values, columns=[*names(), "segmented"])


def _described(
    files: Sequence[Path], crops: Sequence[decoding.Crop], allow_truncated: bool, workers: int | None,
    progress: Progress | None,
) -> pd.DataFrame:  # fmt: skip
    jobs = list(zip(files, crops, strict=True))
    parts = [jobs[first : first + 50] for first in range(0, len(jobs), 50)]
    rows: list[dict[str, float]] = []
    # Workers are started afresh, not forked: a forked copy of OpenCV's threads never ends.
    described = joblib.Parallel(n_jobs=workers or cores(), return_as="generator")(
        joblib.delayed(_describe_files)(part, allow_truncated) for part in parts
    )
    for part in described:
        rows += part
        if progress:
            progress(len(rows), len(jobs))
    return pd.DataFrame(rows, columns=[*names(), "segmented"])


def _describe_files(files: list[tuple[Path, decoding.Crop]], allow_truncated: bool) -> list[dict[str, float]]:
    cv2.setNumThreads(1)
    return [describe(decoding.picture(file, crop, allow_truncated=allow_truncated)) for file, crop in files]
