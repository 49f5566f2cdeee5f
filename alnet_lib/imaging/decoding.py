"""Image files to uint8 pixels: decoding, cropping and resizing."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

FIELD_OF_VIEW_MICROMETRES = 36.0
"""Width of a CellaVision image: 360 pixels of about 0.1 micrometre."""


CROP_COLUMNS = ("centre_x", "centre_y", "field_of_view", "field_of_view_height")
"""Optional columns of a table of images: the crop centre in the file (pixels; NaN is the middle), and the width and
height of the field of view, the pixels of the file that cover FIELD_OF_VIEW_MICROMETRES (NaN: the whole file is used;
without a height the field of view is square)."""


Crop = tuple[float, float, float, float]
"""Crop centre x and y, width and height of the field of view, in pixels of the file; NaN where unknown."""


WHOLE: Crop = (float("nan"),) * 4


SHOWN_SIDE = 192
"""Pixels a side of a picture of a cell in a figure, whatever the networks see: one inch at 200 pixels an inch."""


MAX_PIXELS = 50_000_000
"""Largest image in pixels: a picture of one cell has under a million, a field of view under 20 million, and 50 million
take 150 megabytes in each thread that decodes."""

FORMATS = ("PNG", "JPEG", "JPEG2000", "TIFF", "BMP", "GIF", "PPM", "WEBP")
"""Formats that microscopes and data sets have. Pillow knows more by a file's content, whatever its name: some start
other programs (PostScript), some hold another picture than their header tells (icons)."""

_BITS_PER_SAMPLE = 258


class ImageError(OSError):
    """A file that is not a usable cell image; the message names the file and what is wrong."""


def decode(path: Path, *, allow_truncated: bool = False) -> np.ndarray:
    """Read an image file. An opaque alpha channel is dropped, a palette of colours is applied.

    Parameters
    ----------
    path : Path
        The file.
    allow_truncated : bool
        Use a JPEG file that ends early.

    Returns
    -------
    ndarray
        uint8 (H, W, 3), RGB.

    Raises
    ------
    ImageError
        Missing, empty, of none of FORMATS, damaged, truncated (unless allowed), of more than MAX_PIXELS, greyscale
        (also as a palette of greys), CMYK, of more than 8 bits a channel or with transparent pixels.
    """
    try:
        if not path.exists():
            raise ImageError(f"{path}: the file is missing")
        if not path.is_file():
            raise ImageError(f"{path}: a folder, or something else that is no file")
        if path.stat().st_size == 0:
            raise ImageError(f"{path}: the file has zero bytes")
        with Image.open(path, formats=FORMATS) as picture:
            _fits(picture, path)
            try:
                picture.load()
            except OSError as error:
                if not (allow_truncated and "truncated" in str(error)):
                    raise
            else:
                return _rgb(picture, path)
        return _decode_truncated(path)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image ({', '.join(FORMATS)})") from error
    # Pillow's decoders fail on damaged files with nearly every kind of exception.
    except Exception as error:
        raise ImageError(f"{path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    text = str(error) or type(error).__name__
    return f"the image is truncated ({text})" if "truncated" in text or "broken" in text else text


def _fits(picture: Image.Image, path: Path) -> None:
    """Refuse, from the header alone, what would take much memory, and what has more than 8 bits a channel."""
    width, height = picture.size
    if width * height > MAX_PIXELS:
        what = f"{width}x{height} pixels are more than {MAX_PIXELS // 10**6} million"
        raise ImageError(f"{path}: {what}; a picture of one cell is needed, not of a slide")
    if _deep(picture):
        raise ImageError(f"{path}: the image is 16-bit; 8-bit RGB is needed, stain colour matters")


def _deep(picture: Image.Image) -> bool:
    # Pillow shows such files as RGB and drops the lower bits; only the file's header or the plan of its decoding tell.
    bits = getattr(picture, "tag_v2", {}).get(_BITS_PER_SAMPLE, 8)
    if picture.mode not in ("1", "P", "L") and (np.atleast_1d(bits) > 8).any():
        return True
    if picture.format == "JPEG2000":
        return _deep_jpeg2000(Path(str(picture.filename)))  # type: ignore[attr-defined]
    for codec, _, _, arguments in getattr(picture, "tile", ()):
        given = arguments if isinstance(arguments, tuple) else (arguments,)
        if any(isinstance(part, str) and ";16" in part for part in given):
            return True
        if codec in ("ppm", "ppm_plain") and len(given) > 1 and isinstance(given[1], int) and given[1] > 255:
            return True
    return False


def _deep_jpeg2000(path: Path) -> bool:
    with open(path, "rb") as file:
        head = file.read(1 << 16)
    sizes = head.find(b"\xff\x4f\xff\x51")
    # ISO 15444-1, annex A.5.1: 38 bytes of sizes follow the marker, then a byte a channel, its bits less one.
    return sizes >= 0 and any((bits & 0x7F) > 7 for bits in head[sizes + 42 : sizes + 43])


def _rgb(picture: Image.Image, path: Path) -> np.ndarray:
    if "transparency" in picture.info or picture.mode in ("RGBA", "PA"):
        grey = picture.mode in ("L", "1", "LA") or _grey_palette(picture)
        if np.asarray(picture.convert("RGBA"))[:, :, 3].min() < 255:
            raise ImageError(f"{path}: the image has transparent pixels")
        picture = picture.convert("L" if grey else "RGB")
    if picture.mode == "P":
        picture = picture.convert("L" if _grey_palette(picture) else "RGB")
    if picture.mode != "RGB":
        kind = {"L": "greyscale", "CMYK": "CMYK", "1": "black and white", "LA": "greyscale with alpha"}
        what = kind.get(picture.mode, f"of mode {picture.mode} (16-bit or unusual)")
        raise ImageError(f"{path}: the image is {what}; 8-bit RGB is needed, stain colour matters")
    return np.asarray(picture)


def _grey_palette(picture: Image.Image) -> bool:
    """Whether all colours that a picture takes from its palette are greys."""
    if picture.mode not in ("P", "PA"):
        return False
    red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB")), 2, 0)
    return bool((red == green).all() and (green == blue).all())


def _decode_truncated(path: Path) -> np.ndarray:
    # An end-of-image marker lets the decoder stop; Pillow's own switch for this is process-wide, seen by other threads.
    with Image.open(BytesIO(path.read_bytes() + 32 * b"\xff\xd9"), formats=("JPEG",)) as picture:
        picture.load()
        return _rgb(picture, path)


def is_truncated(path: Path) -> bool:
    """Whether a file is a JPEG image that ends early although the rest can be shown.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    bool
        False also for files that are no image at all.
    """
    jpeg = False
    try:
        with Image.open(path, formats=FORMATS) as picture:
            jpeg = picture.format == "JPEG"
            picture.load()
    except Exception as error:
        return "truncated" in str(error) and jpeg
    return False


def resize(pixels: np.ndarray, size: int, *, crop: float = 1.0) -> np.ndarray:
    """Resample the central square of an image, by area.

    Parameters
    ----------
    pixels : ndarray
        uint8 (H, W, 3).
    size : int
        Pixels a side of the result.
    crop : float
        Side of the square as a fraction of the shorter side, in (0, 1].

    Returns
    -------
    ndarray
        uint8 (size, size, 3).
    """
    height, width = pixels.shape[:2]
    side = max(round(crop * min(height, width)), 1)
    square = cut(pixels, (height - side) // 2, (width - side) // 2, side)
    method = cv2.INTER_AREA if side >= size else cv2.INTER_CUBIC
    return cv2.resize(square, (size, size), interpolation=method)


def cut(pixels: np.ndarray, top: int, left: int, side: int, high: int | None = None) -> np.ndarray:
    """Cut a rectangle out of an image; what lies outside the image is filled by reflection.

    Parameters
    ----------
    pixels : ndarray
        uint8 (H, W, 3).
    top, left : int
        Corner of the rectangle in pixels; may be negative.
    side : int
        Width in pixels.
    high : int, optional
        Height in pixels; default `side`.

    Returns
    -------
    ndarray
        uint8 (high, side, 3).
    """
    height, width = pixels.shape[:2]
    high = side if high is None else high
    outside = max(-top, -left, top + high - height, left + side - width, 0)
    if outside:
        pixels = cv2.copyMakeBorder(pixels, outside, outside, outside, outside, cv2.BORDER_REFLECT_101)
        top, left = top + outside, left + outside
    return pixels[top : top + high, left : left + side]


def picture(file: Path, crop: Crop = WHOLE, *, allow_truncated: bool = False) -> np.ndarray:
    """Read one cell at the scale of a CellaVision image.

    Parameters
    ----------
    file : Path
        The image file.
    crop : Crop
        Centre and field of view in pixels; the whole file where there is no field of view. A field of view that is
        not square (a file squeezed in one direction) is stretched to a square of its longer side.
    allow_truncated : bool
        Use a JPEG file that ends early.

    Returns
    -------
    ndarray
        uint8 (H, W, 3), RGB.

    Raises
    ------
    ImageError
        See `decode`.
    """
    pixels = decode(file, allow_truncated=allow_truncated)
    x, y, across, down = crop
    if np.isnan(across):
        return pixels
    height, width = pixels.shape[:2]
    side = max(round(across), 1)
    high = side if np.isnan(down) else max(round(down), 1)
    top = (height - high) // 2 if np.isnan(y) else round(y - high / 2)
    left = (width - side) // 2 if np.isnan(x) else round(x - side / 2)
    found = cut(pixels, top, left, side, high)
    longer = max(side, high)
    return found if side == high else cv2.resize(found, (longer, longer), interpolation=cv2.INTER_CUBIC)


# Pillow must fail on truncated files, whatever another library set: they are then named and counted.
ImageFile.LOAD_TRUNCATED_IMAGES = False
