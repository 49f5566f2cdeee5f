"""Pictures: what can be used is decoded once, what cannot is named with its reason."""

import errno
import os
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from alnet_lib.core.files import DiskFull
from alnet_lib.imaging import decoding, hashing, pixels
from alnet_lib.imaging import decoding as images

RNG = np.random.default_rng(7)
NOISE = RNG.integers(0, 256, (60, 64, 3), dtype=np.uint8)


def _save(path, array, mode="", **options):
    picture = Image.fromarray(array)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


def test_rgb_comes_as_it_is(tmp_path):
    assert np.array_equal(decoding.decode(_save(tmp_path / "a, ü.png", NOISE)), NOISE)


def test_an_opaque_alpha_channel_is_dropped_and_a_transparent_one_refused(tmp_path):
    alpha = np.dstack([NOISE, np.full(NOISE.shape[:2], 255, np.uint8)])
    assert np.array_equal(decoding.decode(_save(tmp_path / "opaque.png", alpha)), NOISE)
    alpha[0, 0, 3] = 10
    with pytest.raises(decoding.ImageError, match="transparent"):
        decoding.decode(_save(tmp_path / "clear.png", alpha))


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("missing.jpg", lambda path: None, "missing"),
        ("empty.jpg", lambda path: path.write_bytes(b""), "zero bytes"),
        ("text.jpg", lambda path: path.write_text("not a picture"), "not an image"),
        ("grey.png", lambda path: _save(path, NOISE, "L"), "greyscale"),
        ("cmyk.jpg", lambda path: _save(path, NOISE, "CMYK"), "CMYK"),
        ("deep.png", lambda path: Image.fromarray(NOISE[:, :, 0].astype(np.uint16) * 200).save(path), "16-bit"),
    ],
)
def test_what_is_no_picture_of_a_cell_is_refused_with_its_name(tmp_path, name, make, message):
    path = tmp_path / name
    make(path)
    with pytest.raises(decoding.ImageError, match=message) as caught:
        decoding.decode(path)
    assert name in str(caught.value)


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _text_bomb(path):
    whole = _save(path, NOISE).read_bytes()
    text = _chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 10_000_000))
    path.write_bytes(whole[:33] + text + whole[33:])


def _patched(path, at, content):
    whole = bytearray(_save(path, NOISE).read_bytes())
    whole[at : at + len(content)] = content
    path.write_bytes(whole)


def _tiles_without_offsets(path):
    """A TIFF of tiles, of which the offset and the sizes are not whole."""
    entries = [(256, 64), (257, 60), (258, 8), (259, 1), (262, 2), (277, 3), (322, 7), (323, 7), (324, 8), (325, 9)]
    packed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + struct.pack("<I", 0))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("bomb.png", _text_bomb),
        ("header.bmp", lambda path: _patched(path, 14, struct.pack("<I", 99))),
        ("depth.sgi", lambda path: _patched(path, 3, b"\7")),
        ("flags.dds", lambda path: path.write_bytes(b"DDS " + struct.pack("<I", 124) + bytes(116) + b"zzzz" * 10)),
        ("size.ppm", lambda path: path.write_bytes(b"P6 4 x 255\n" + b"a" * 48)),
        ("tiles.tif", _tiles_without_offsets),
    ],
)
def test_whatever_a_decoder_fails_with_names_the_file(tmp_path, name, make):
    make(tmp_path / name)
    with pytest.raises(decoding.ImageError, match=name):
        decoding.decode(tmp_path / name)
    assert not decoding.is_truncated(tmp_path / name)


@pytest.mark.parametrize("failure", [NotImplementedError("tiles"), ValueError(), MemoryError(), struct.error("short")])
def test_no_failure_of_a_decoder_comes_through(tmp_path, monkeypatch, failure):
    path = _save(tmp_path / "a.png", NOISE)
    monkeypatch.setattr(images.Image, "open", lambda *_: (_ for _ in ()).throw(failure))
    with pytest.raises(decoding.ImageError, match=r"a\.png: \w"):
        decoding.decode(path)
    assert not decoding.is_truncated(path)


def test_a_path_that_no_file_can_have_is_named(tmp_path):
    for name in ("a" * 300, "a\0b"):
        with pytest.raises(decoding.ImageError, match=r"too long|missing"):
            decoding.decode(tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm", ".jp2"])
def test_16_bits_a_channel_are_refused(tmp_path, suffix):
    path = tmp_path / f"deep{suffix}"
    assert cv2.imwrite(str(path), NOISE.astype(np.uint16) * 256)
    with pytest.raises(decoding.ImageError, match="16-bit"):
        decoding.decode(path)
    assert decoding.decode(_save(tmp_path / f"whole{suffix}", NOISE)).shape == NOISE.shape


def test_transparency_without_an_alpha_channel_is_refused_where_a_pixel_has_it(tmp_path):
    used, unused = tuple(map(int, NOISE[3, 3])), (1, 2, 3)
    with pytest.raises(decoding.ImageError, match="transparent"):
        decoding.decode(_save(tmp_path / "used.png", NOISE, transparency=used))
    assert np.array_equal(decoding.decode(_save(tmp_path / "unused.png", NOISE, transparency=unused)), NOISE)
    colours = Image.fromarray(NOISE).quantize(16)
    colours.save(tmp_path / "palette.png", transparency=3)
    with pytest.raises(decoding.ImageError, match="transparent"):
        decoding.decode(tmp_path / "palette.png")


def test_a_palette_of_colours_is_applied_and_one_of_greys_refused(tmp_path):
    colours = Image.fromarray(NOISE).quantize(16)
    colours.save(tmp_path / "colours.png")
    assert np.array_equal(decoding.decode(tmp_path / "colours.png"), np.asarray(colours.convert("RGB")))
    Image.fromarray(NOISE).convert("L").convert("P").save(tmp_path / "greys.png")
    with pytest.raises(decoding.ImageError, match="greyscale"):
        decoding.decode(tmp_path / "greys.png")


def test_a_picture_of_too_many_pixels_is_refused_from_its_header(tmp_path):
    side = 8_000
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 + 3 * side) * side, 1)
    path = tmp_path / "slide.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b""))
    tracemalloc.start()
    with pytest.raises(decoding.ImageError, match=r"slide\.png: 8000x8000 pixels are more than 50 million"):
        decoding.decode(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_what_is_refused_whole_is_refused_truncated(tmp_path):
    path = _save(tmp_path / "cmyk.jpg", NOISE, "CMYK")
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(decoding.ImageError, match="CMYK"):
        decoding.decode(path, allow_truncated=True)


def test_a_truncated_picture_is_refused_and_used_only_where_allowed(tmp_path):
    whole = _save(tmp_path / "whole.jpg", NOISE, quality=90)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:-400])
    with pytest.raises(decoding.ImageError, match="truncated"):
        decoding.decode(cut)
    assert decoding.is_truncated(cut) and not decoding.is_truncated(whole)
    shown = decoding.decode(cut, allow_truncated=True)
    assert shown.shape == NOISE.shape
    assert np.array_equal(shown[:16], decoding.decode(whole)[:16])


def test_resize_takes_the_central_square():
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, 20:40] = 200
    small = decoding.resize(picture, 10, crop=0.5)
    assert small.shape == (10, 10, 3) and (small == 200).all()
    assert decoding.resize(picture, 80).shape == (80, 80, 3)


def _array(cohort, cache):
    return pixels.pixel_array(cohort.files, cohort.crops, 16, crop=0.6, cache=cache, content_hash=cohort.content_hash)


def test_a_change_of_the_decoding_code_makes_new_pixels(twin, tmp_path, monkeypatch):
    _array(twin, tmp_path)
    asked = []
    monkeypatch.setattr(pixels, "code_hash", lambda *modules: asked.extend(modules) or "changed")
    _array(twin, tmp_path)
    assert asked == ["alnet_lib.imaging.decoding"] and len(list(tmp_path.glob("pixels_*.npy"))) == 2


def test_pixels_are_decoded_once_and_keyed_by_content(twin, tmp_path, monkeypatch):
    first = _array(twin, tmp_path)
    assert first.shape == (len(twin.manifest), 16, 16, 3) and first.dtype == np.uint8
    assert np.array_equal(first[3], decoding.resize(decoding.decode(twin.file(3)), 16, crop=0.6))
    monkeypatch.setattr(images, "decode", lambda *_, **__: pytest.fail("decoded again"))
    assert np.array_equal(_array(twin, tmp_path), first)


def test_an_interrupted_decoding_leaves_no_array(twin, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "decode", lambda *_, **__: (_ for _ in ()).throw(decoding.ImageError("gone")))
    with pytest.raises(decoding.ImageError):
        _array(twin, tmp_path)
    assert not list(tmp_path.glob("*.npy"))


def test_perceptual_hashes_tell_the_same_picture_from_another():
    # Blocks survive the hash's shrinking; pixel noise would not.
    blocks = RNG.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    slightly = np.clip(blocks[0].astype(int) + 3, 0, 255).astype(np.uint8)
    hashes = hashing.perceptual_hashes(np.stack([blocks[0], slightly, blocks[1]]))
    assert (hashes[0] != hashes[1]).sum() <= 4 < (hashes[0] != hashes[2]).sum()


def test_a_full_disk_is_told_before_pixels_are_written(twin, tmp_path, monkeypatch):
    asked = []

    def full(file, offset, length):
        asked.append(length)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFull, match="no room on the disk"):
        _array(twin, tmp_path)
    assert asked[0] > len(twin.manifest) * 16 * 16 * 3 and not list(tmp_path.glob("*pixels*"))
