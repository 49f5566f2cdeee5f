"""Segmentation finds the drawn cell; features mean what their names say; nothing breaks them."""

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alnet_lib.cohorts.synthetic.twin import masks
from alnet_lib.core.code import closure
from alnet_lib.imaging import decoding, handcrafted, segmentation

YY, XX = np.mgrid[:180, :180]
PLASMA, CYTOPLASM, NUCLEUS, RED_CELL = (238, 226, 216), (168, 170, 214), (88, 58, 140), (196, 150, 150)


def picture(*cells: tuple[int, int, int, int], red: tuple[int, int, int] | None = None) -> np.ndarray:
    """Round cells on plasma: (row, column, radius, radius of the nucleus)."""
    pixels = np.full((180, 180, 3), PLASMA, np.uint8)
    if red:
        pixels[(YY - red[0]) ** 2 + (XX - red[1]) ** 2 <= red[2] ** 2] = RED_CELL
    for row, column, radius, inner in cells:
        distance = (YY - row) ** 2 + (XX - column) ** 2
        pixels[distance <= radius**2] = CYTOPLASM
        pixels[distance <= inner**2] = NUCLEUS
    return cv2.GaussianBlur(pixels, (0, 0), 0.8)


def test_masks_of_drawn_cells_are_found(twin):
    rows = twin.manifest.groupby("cell_type").head(4)
    overlaps = []
    for position, row in zip(rows.index, rows.to_dict("records"), strict=True):
        found = segmentation.segment(decoding.decode(twin.file(position)))
        assert found is not None, row["path"]
        cell, nucleus = masks(row)
        overlaps.append((segmentation.dice(found.cell, cell), segmentation.dice(found.nucleus, nucleus)))
        assert (found.nucleus <= found.cell).all()
    cell, nucleus = np.mean(overlaps, axis=0)
    assert cell >= 0.90 and nucleus >= 0.90


def test_geometry_of_a_disc():
    features = handcrafted.describe(picture((90, 90, 40, 24)))
    assert features["segmented"] == 1
    assert features["cell_area"] == pytest.approx(np.pi * 40**2, rel=0.05)
    assert features["nucleus_area"] == pytest.approx(np.pi * 24**2, rel=0.08)
    assert features["nc_ratio"] == pytest.approx(0.36, abs=0.03)
    assert features["cell_circularity"] == pytest.approx(1, abs=0.1)
    assert features["cell_eccentricity"] < 0.2 and features["cell_solidity"] > 0.95 and features["cell_profile"] < 0.03
    assert features["nucleus_offset"] < 0.03 and features["cells_in_view"] == 1
    assert features["nucleus_rgb_red_mean"] == pytest.approx(88 / 255, abs=0.03)
    assert features["nucleus_hsv_value_mean"] == pytest.approx(140 / 255, abs=0.03)
    assert features["nucleus_cmyk_black_mean"] == pytest.approx(1 - 140 / 255, abs=0.03)
    assert features["cytoplasm_lab_b_mean"] < 0 < features["nucleus_lab_a_mean"]


def test_moments_and_entropy_are_scipys():
    pixels = np.random.default_rng(3).integers(0, 256, (180, 180, 3), dtype=np.uint8)
    cell = (YY - 90) ** 2 + (XX - 90) ** 2 <= 40**2
    found = segmentation.Segmentation(cell=cell, nucleus=cell, n_cells=1, touches_border=False)
    features = handcrafted.colour(pixels, found)
    red = pixels[..., 0][cell] / 255
    assert features["nucleus_rgb_red_skewness"] == pytest.approx(stats.skew(red), abs=1e-5)
    assert features["nucleus_rgb_red_kurtosis"] == pytest.approx(stats.kurtosis(red), abs=1e-5)
    flat = handcrafted.colour(np.full_like(pixels, 120), found)
    assert flat["nucleus_rgb_red_skewness"] == flat["nucleus_rgb_red_kurtosis"] == 0
    levels = pixels[..., 1][cell].astype(int) * handcrafted.GLCM_LEVELS // 256
    entropy = handcrafted.texture(pixels[..., 1], found)["nucleus_glcm_entropy_1"]
    independent = 2 * stats.entropy(np.bincount(levels), base=2)
    assert entropy == pytest.approx(independent, abs=0.3), "neighbours of white noise are independent"


def test_the_central_cell_of_two_is_taken_and_a_touching_red_cell_is_not():
    alone = handcrafted.describe(picture((90, 90, 34, 22)))
    two = handcrafted.describe(picture((90, 90, 34, 22), (90, 152, 26, 18)))
    assert two["cells_in_view"] == 2
    assert two["cell_area"] == pytest.approx(alone["cell_area"], rel=0.1)
    beside = handcrafted.describe(picture((90, 90, 34, 22), red=(90, 146, 22)))
    assert beside["cell_area"] == pytest.approx(alone["cell_area"], rel=0.1)


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((363, 360, 3), 255, np.uint8),
        np.zeros((363, 360, 3), np.uint8),
        np.full((363, 360, 3), PLASMA, np.uint8),
        np.full((8, 8, 3), 120, np.uint8),
        np.full((1, 1, 3), 120, np.uint8),
        picture(red=(90, 90, 30)),
    ],
    ids=["white", "black", "plasma", "tiny", "one pixel", "red cell"],
)
def test_where_no_cell_is_all_features_are_missing(pixels):
    features = handcrafted.describe(pixels)
    assert features.pop("segmented") == 0
    assert list(features) == handcrafted.names() and np.isnan(list(features.values())).all()


def test_a_cell_without_cytoplasm_misses_its_cytoplasm_only():
    features = handcrafted.describe(picture((90, 90, 36, 36)))
    assert features["segmented"] == 1 and features["nucleus_area"] > 0
    nucleus = [v for k, v in features.items() if k.startswith("nucleus_")]
    assert np.isfinite(nucleus).all()


def test_texture_tells_smooth_from_granular():
    smooth = picture((90, 90, 44, 22))
    granular = smooth.copy()
    rng = np.random.default_rng(0)
    for _ in range(60):
        angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(27, 40)
        centre = (int(90 + radius * np.cos(angle)), int(90 + radius * np.sin(angle)))
        cv2.circle(granular, centre, 1, (130, 40, 120), -1)
    a, b = handcrafted.describe(smooth), handcrafted.describe(granular)
    assert b["cytoplasm_granulometry_dark_2"] > 3 * a["cytoplasm_granulometry_dark_2"]
    assert b["cytoplasm_glcm_contrast_1"] > a["cytoplasm_glcm_contrast_1"]


def test_a_change_of_the_code_makes_new_features(twin, tmp_path, monkeypatch):
    few = {"files": twin.files[:2], "crops": twin.crops[:2], "content_hash": "x", "cache": tmp_path, "workers": 1}
    handcrafted.extract(**few)
    asked = []
    monkeypatch.setattr(handcrafted, "code_hash", lambda *modules: asked.extend(modules) or "changed")
    handcrafted.extract(**few)
    assert asked == ["alnet_lib.imaging.handcrafted"] and len(list(tmp_path.glob("features_*.parquet"))) == 2


def test_the_features_code_includes_decoding_and_segmentation():
    names = {path.name for path in closure(["alnet_lib.imaging.handcrafted"])}
    assert {"decoding.py", "segmentation.py", "handcrafted.py"} <= names and "manifest.py" not in names


@pytest.mark.slow
def test_features_of_a_cohort_do_not_depend_on_workers_and_are_kept(twin, tmp_path, monkeypatch):
    # More than the 50 images of one part: each of two processes gets a part.
    rows = twin.manifest.groupby("cell_type").head(8).index
    few = {"files": [twin.files[n] for n in rows], "crops": [twin.crops[n] for n in rows], "content_hash": "x"}
    one = handcrafted.extract(**few, cache=tmp_path / "one", workers=1)
    two = handcrafted.extract(**few, cache=tmp_path / "two", workers=2)
    pd.testing.assert_frame_equal(one, two)
    assert len(one) == len(rows) > 50 and one["segmented"].mean() > 0.97
    monkeypatch.setattr(handcrafted, "_describe_files", lambda *_: pytest.fail("extracted again"))
    pd.testing.assert_frame_equal(handcrafted.extract(**few, cache=tmp_path / "one"), one)


def test_features_that_were_measured_before_an_interruption_stay(twin, tmp_path, monkeypatch):
    few = {"files": twin.files[:5], "crops": twin.crops[:5], "content_hash": "x", "workers": 1}
    whole = handcrafted.extract(**few, cache=tmp_path / "whole")
    monkeypatch.setattr(handcrafted, "SHARD", 2)
    describe, asked, told = handcrafted._described, [], []

    def described(files, *given):
        asked.append(files)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return describe(files, *given)

    monkeypatch.setattr(handcrafted, "_described", described)
    with pytest.raises(KeyboardInterrupt):
        handcrafted.extract(**few, cache=tmp_path / "parts")
    found = handcrafted.extract(**few, cache=tmp_path / "parts", progress=lambda *counts: told.append(counts))
    pd.testing.assert_frame_equal(found, whole, check_exact=True)
    assert asked == [twin.files[:2], twin.files[2:4], twin.files[2:4], twin.files[4:5]]
    assert told == [(4, 5), (5, 5)]


def test_a_damaged_file_of_features_is_measured_again(twin, tmp_path, capsys):
    few = {"files": twin.files[:2], "crops": twin.crops[:2], "content_hash": "x", "cache": tmp_path, "workers": 1}
    whole = handcrafted.extract(**few)
    (file,) = tmp_path.glob("features_*.parquet")
    file.write_bytes(file.read_bytes()[:100])
    pd.testing.assert_frame_equal(handcrafted.extract(**few), whole)
    assert "is damaged" in capsys.readouterr().err
