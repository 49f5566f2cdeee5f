"""Notebooks that run side by side make what they share once."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

from alnet_lib.imaging import handcrafted, pixels


def _twice(job):
    with ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(job) for _ in range(2))
        return first.result(), second.result()


def test_pixels_are_decoded_once(twin, tmp_path, monkeypatch):
    decoded, picture = [], pixels.picture

    def slowly(file, crop, **given):
        decoded.append(file)
        time.sleep(0.02)
        return picture(file, crop, **given)

    monkeypatch.setattr(pixels, "picture", slowly)
    files, crops = twin.files[:6], twin.crops[:6]
    one, two = _twice(lambda: pixels.pixel_array(files, crops, 32, cache=tmp_path / "p", content_hash="x", workers=1))
    assert sorted(decoded) == sorted(files) and np.array_equal(one, two)


def test_features_are_extracted_once(twin, tmp_path, monkeypatch):
    extracted, described = [], handcrafted._described

    def slowly(files, *given):
        extracted.append(files)
        time.sleep(0.2)
        return described(files, *given)

    monkeypatch.setattr(handcrafted, "_described", slowly)
    few = {"files": twin.files[:3], "crops": twin.crops[:3], "content_hash": "x", "workers": 1}
    one, two = _twice(lambda: handcrafted.extract(**few, cache=tmp_path / "f"))
    assert len(extracted) == 1
    pd.testing.assert_frame_equal(one, two)
