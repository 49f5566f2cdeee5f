"""Image files that were changed at random: each is decoded, or named with its reason."""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from alnet_lib.imaging import decoding

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "PPM", "SGI", "TGA", "DDS", "ICO", "JPEG2000", "PCX", "ICNS")
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def seeds() -> list[bytes]:
    """Small pictures in every format that Pillow writes and microscopes or users have, several ways of packing each."""
    noise = np.random.default_rng(7).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    ways: list[tuple[Image.Image, str, dict]] = [(picture, name, {}) for name in FORMATS]
    ways += [
        (picture, "TIFF", {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    ]
    ways += [(picture, "JPEG", {"progressive": True}), (picture.convert("CMYK"), "JPEG", {})]
    ways += [(picture.convert("RGBA"), "PNG", {}), (picture.quantize(16), "PNG", {"transparency": 3})]
    ways += [
        (picture, "WEBP", {"lossless": True}),
        (picture.convert("L"), "PNG", {}),
        (picture, "GIF", {"save_all": True}),
    ]
    files = []
    for image, name, options in ways:
        buffer = io.BytesIO()
        (image.resize((64, 64)) if name == "ICNS" else image).save(buffer, name, **options)
        files.append(buffer.getvalue())
    return files


SEEDS = seeds()


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a file in one to six ways; headers are changed more often than what follows."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 7)):
        if not data:
            break
        reach = min(len(data), 96) if rng.random() < 0.6 else len(data)
        at = int(rng.integers(reach))
        match int(rng.integers(8)):
            case 0:
                data[at] ^= 1 << int(rng.integers(8))
            case 1:
                data[at] = int(rng.integers(256))
            case 2:
                order = "<" if rng.random() < 0.5 else ">"
                value = EXTREMES[int(rng.integers(len(EXTREMES)))]
                data[at : at + 4] = struct.pack(f"{order}I", value)
            case 3:
                value = EXTREMES[int(rng.integers(8))]
                data[at : at + 2] = struct.pack("<H" if rng.random() < 0.5 else ">H", value)
            case 4:
                del data[at:]
            case 5:
                del data[at : at + int(rng.integers(1, 40))]
            case 6:
                part = data[at : at + int(rng.integers(1, 200))]
                data[at:at] = part * int(rng.integers(1, 6))
            case 7:
                other = SEEDS[int(rng.integers(len(SEEDS)))]
                data[at : at + 40] = other[: int(rng.integers(1, 40))]
    return bytes(data)


def decoded(folder: Path, seed: int, number: int) -> str:
    """Write a changed picture and decode it; say what is wrong where that neither works nor names the file."""
    rng = np.random.default_rng([seed, number])
    start = int(rng.integers(len(SEEDS)))
    file = folder / "fuzzed.img"
    file.write_bytes(mutated(SEEDS[start], rng))
    # Pillow warns of odd tags, thousands of times here.
    warnings.simplefilter("ignore")
    try:
        found = decoding.decode(file, allow_truncated=bool(rng.integers(2)))
    except decoding.ImageError as error:
        return "" if file.name in str(error) and len(str(error)) > len(str(file)) + 4 else f"says only {error}"
    decoding.is_truncated(file)
    right = found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3 and found.size
    return "" if right else f"gave {found.dtype} {found.shape}"
