"""Pictures: what can be used is decoded once, what cannot is named with its reason."""

import numpy as np
import pytest
from PIL import Image

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
