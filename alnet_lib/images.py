"""Files -> one uint8 pixel array per cohort and size, decoded once."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from alnet_lib.files import atomic_path, sha256

if TYPE_CHECKING:
    from alnet_lib.cohorts.manifest import Cohort

Progress = Callable[[int, int], None]

PLACE_COLUMNS = ("centre_x", "centre_y", "view", "view_height")
"""Optional columns of a manifest: the cell's centre in its file (pixels; missing is the middle), and how many pixels of
the file are as wide and as high as a CellaVision picture, 36 micrometres (missing: the file is used whole; without
height, as high as wide)."""

Place = tuple[float, float, float, float]
WHOLE: Place = (float("nan"),) * 4


class ImageError(OSError):
    """A file that is not a usable picture of a cell; the message names the file and what is wrong."""


def decode(path: Path, *, allow_truncated: bool = False) -> np.ndarray:
    """Pixels of an image file, uint8 (H, W, 3), RGB. An opaque alpha channel is dropped.

    Raises
    ------
    ImageError
        missing, empty, not an image, truncated (unless allowed), greyscale, CMYK, 16-bit or with real transparency.
    """
    if not path.is_file():
        raise ImageError(f"{path}: the file is missing")
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: the file has zero bytes")
    try:
        with Image.open(path) as picture:
            return _rgb(picture, path, allow_truncated)
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    text = str(error)
    return f"the image is truncated ({text})" if "truncated" in text or "broken" in text else text


def _rgb(picture: Image.Image, path: Path, allow_truncated: bool) -> np.ndarray:
    try:
        picture.load()
    except OSError as error:
        if not (allow_truncated and "truncated" in str(error)):
            raise
        return _decode_truncated(path)
    if picture.mode == "RGBA":
        if picture.getextrema()[3][0] < 255:
            raise ImageError(f"{path}: the image has transparent pixels")
        picture = picture.convert("RGB")
    if picture.mode == "P":
        picture = picture.convert("RGB")
    if picture.mode != "RGB":
        kind = {"L": "greyscale", "CMYK": "CMYK", "1": "black and white", "LA": "greyscale with alpha"}
        what = kind.get(picture.mode, f"of mode {picture.mode} (16-bit or unusual)")
        raise ImageError(f"{path}: the image is {what}; 8-bit RGB is needed, stain colour matters")
    return np.asarray(picture)


def _decode_truncated(path: Path) -> np.ndarray:
    # An end-of-image marker lets the decoder stop; Pillow's own switch for this is process-wide, seen by other threads.
    with Image.open(BytesIO(path.read_bytes() + 32 * b"\xff\xd9")) as picture:
        return np.asarray(picture.convert("RGB"))


def is_truncated(path: Path) -> bool:
    """Whether it is a JPEG file whose data ends early although the rest can be shown."""
    jpeg = False
    try:
        with Image.open(path) as picture:
            jpeg = picture.format == "JPEG"
            picture.load()
    except OSError as error:
        return "truncated" in str(error) and jpeg
    return False


def resize(pixels: np.ndarray, size: int, *, crop: float = 1.0) -> np.ndarray:
    """The central square, `crop` times the shorter side, resampled by area: uint8 (size, size, 3)."""
    height, width = pixels.shape[:2]
    side = max(round(crop * min(height, width)), 1)
    square = cut(pixels, (height - side) // 2, (width - side) // 2, side)
    method = cv2.INTER_AREA if side >= size else cv2.INTER_CUBIC
    return cv2.resize(square, (size, size), interpolation=method)


def cut(pixels: np.ndarray, top: int, left: int, side: int, high: int | None = None) -> np.ndarray:
    """`side` pixels across and `high` (as many) down; what lies outside the picture is its mirror image."""
    height, width = pixels.shape[:2]
    high = side if high is None else high
    outside = max(-top, -left, top + high - height, left + side - width, 0)
    if outside:
        pixels = cv2.copyMakeBorder(pixels, outside, outside, outside, outside, cv2.BORDER_REFLECT_101)
        top, left = top + outside, left + outside
    return pixels[top : top + high, left : left + side]


def picture(file: Path, place: Place = WHOLE, *, allow_truncated: bool = False) -> np.ndarray:
    """Pixels of one cell, as wide and high as a CellaVision picture: the whole file, or what lies around `place`.

    A view that is not square (a file squeezed in one direction) becomes square again, at its longer side.

    Raises
    ------
    ImageError
        see `decode`.
    """
    pixels = decode(file, allow_truncated=allow_truncated)
    x, y, view, view_height = place
    if np.isnan(view):
        return pixels
    height, width = pixels.shape[:2]
    side = max(round(view), 1)
    high = side if np.isnan(view_height) else max(round(view_height), 1)
    top = (height - high) // 2 if np.isnan(y) else round(y - high / 2)
    left = (width - side) // 2 if np.isnan(x) else round(x - side / 2)
    found = cut(pixels, top, left, side, high)
    longer = max(side, high)
    return found if side == high else cv2.resize(found, (longer, longer), interpolation=cv2.INTER_CUBIC)


def pixels(
    cohort: Cohort,
    size: int,
    *,
    crop: float = 1.0,
    cache: Path,
    allow_truncated: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """All images of a cohort, uint8 (n, size, size, 3), RGB, in the manifest's order; memory-mapped.

    Decoded once: the array lies in `cache` under a name that changes with the cohort's content, size and crop.

    Raises
    ------
    ImageError
        an image that cannot be used.
    """
    key = sha256(cohort.content_hash, f"{size} {crop}")[:16]
    path = cache / f"pixels_{key}.npy"
    if path.is_file():
        return np.load(path, mmap_mode="r")
    files, places = cohort.files, cohort.places
    with atomic_path(path) as temporary:
        array = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(files), size, size, 3))

        def fill(row: int) -> None:
            array[row] = resize(picture(files[row], places[row], allow_truncated=allow_truncated), size, crop=crop)

        with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
            for done, _ in enumerate(pool.map(fill, range(len(files))), start=1):
                if progress:
                    progress(done, len(files))
        array.flush()
    return np.load(path, mmap_mode="r")


def perceptual_hashes(array: np.ndarray) -> np.ndarray:
    """64-bit perceptual hash (DCT, imagehash.phash) of each image of a uint8 (n, S, S, 3) array, as bool (n, 64)."""
    import imagehash

    return np.array([imagehash.phash(Image.fromarray(image)).hash.ravel() for image in array]).reshape(-1, 64)


# Pillow must fail on truncated files, whatever another library set: they are then named and counted.
ImageFile.LOAD_TRUNCATED_IMAGES = False
