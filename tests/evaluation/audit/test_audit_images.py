"""Sizes of cells and of red cells: what was drawn is measured, and sources at two scales are recognised."""

import cv2
import numpy as np
import pandas as pd
import pytest

from alnet_lib.cohorts import building
from alnet_lib.cohorts.synthetic import morphology
from alnet_lib.cohorts.synthetic.composition import HOME
from alnet_lib.evaluation.audit import images
from alnet_lib.imaging import segmentation
from alnet_lib.paper.values import Result
from alnet_lib.report.sentences import scale_sentences

COLUMNS = ["source", "cell type", "cells", "cell", "red cells", "red cell"]


def _smear(*discs):
    """Pink discs (x, y, diameter) on a light ground, 360 pixels wide."""
    picture = np.full((360, 360, 3), (236, 228, 222), np.uint8)
    for x, y, diameter in discs:
        cv2.circle(picture, (x, y), round(diameter / 2), (196, 150, 160), -1)
    return picture


def test_red_cells_that_lie_whole_and_alone_are_measured():
    lone = segmentation.red_cells(_smear((100, 100, 76), (250, 120, 70)))
    assert sorted(lone) == pytest.approx([70, 76], abs=2)
    assert segmentation.red_cells(_smear((100, 100, 76), (160, 110, 76))).size == 0  # they touch
    assert segmentation.red_cells(_smear((10, 100, 76))).size == 0  # cut by the edge
    assert segmentation.red_cells(_smear((100, 100, 25))).size == 0  # a platelet
    assert segmentation.red_cells(_smear()).size == 0
    assert segmentation.red_cells(np.zeros((360, 360, 3), np.uint8)).size == 0


def test_a_cell_with_a_nucleus_is_no_red_cell():
    picture = _smear((100, 100, 76))
    cv2.circle(picture, (250, 250), 40, (96, 58, 142), -1)
    assert segmentation.red_cells(picture) == pytest.approx([76], abs=2)


@pytest.mark.slow
def test_drawn_cells_and_sites_are_measured_as_they_were_drawn(twin):
    frame = images.sizes(twin, rng=np.random.default_rng(0)).frame.set_index(["source", "cell type"])
    home = frame.loc[HOME]
    for name, label in (("lymphocyte", "Lymphocytes"), ("monocyte", "Monocytes"), ("myeloblast", "Myeloblasts")):
        drawn = morphology.MEAN.loc[name, "cell_diameter"]
        assert home.loc[label, "cell"] == pytest.approx(drawn, rel=0.12), name
    assert home["red cell"].dropna().between(6.5, 8.3).all() and home["red cells"].sum() > 50


def _said(frame):
    return scale_sentences(images.scale_findings(Result(frame)))


def _measured(*rows):
    return pd.DataFrame([(source, "Lymphocytes", 25, 12.0, n, width) for source, n, width in rows], columns=COLUMNS)


def test_sources_at_two_scales_are_warned_of():
    apart = _said(_measured(("a", 40, 8.0), ("b", 20, 6.4), ("b", 20, 6.6)))
    assert len(apart) == 3 and "6.5 micrometres" in apart[1] and "a and b are not at one scale" in apart[2]
    assert not any("warning" in line for line in _said(_measured(("a", 40, 7.5), ("b", 40, 7.2))))


def test_few_red_cells_judge_nothing_and_it_is_said():
    said = _said(_measured(("a", 40, 7.5), ("b", 3, 4.0), ("c", 0, np.nan)))
    assert said[0] == "Red cells of a are 7.5 micrometres wide at the scale used (40 measured)."
    assert "scale of b cannot be judged by red cells: 3" in said[1] and "scale of c" in said[2] and len(said) == 3


def test_a_single_source_at_a_wrong_scale_and_cells_of_two_sizes_are_warned_of():
    assert "a warning" in _said(_measured(("a", 40, 5.6)))[0]
    frame = _measured(("a", 40, 7.5), ("b", 0, np.nan))
    frame.loc[1, "cell"] = 6.1
    said = _said(frame)
    assert "Lymphocytes are 12.0 micrometres wide in a and 6.1 in b: **a warning**" in said[-1]


def test_the_two_real_sources_are_at_one_scale(pbc_folder, jhu_folder):

    both = building.read("pbc+jhu_apl", f"pbc={pbc_folder},jhu_apl={jhu_folder}")
    frame = images.sizes(both, rng=np.random.default_rng(0), allow_truncated=True).frame
    said = _said(frame)
    assert len(said) == 2 and not any("warning" in line for line in said)
    width = (frame["red cell"] * frame["red cells"]).groupby(frame["source"]).sum()
    assert (width / frame.groupby("source")["red cells"].sum()).between(7.0, 8.2).all()


def test_near_duplicates_are_found_across_splits_and_listed_in_part():
    pixels = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), dtype=np.uint8)
    pixels[2] = pixels[0]
    pixels[3] = np.clip(pixels[0].astype(int) + 1, 0, 255)
    about = {"path": list("abcd"), "split": ["train", "train", "test", "train"], "cell_type": ["x", "x", "y", "x"]}
    found = images.near_duplicates(pd.DataFrame(about), pixels)
    assert set(zip(found.frame["first"], found.frame["second"], strict=True)) == {("a", "c"), ("a", "d"), ("c", "d")}
    assert found.facts == {"pairs": 3, "across_splits": 2}
    one = found.frame.set_index(["first", "second"]).loc[("a", "c")]
    assert one["bits"] == 0 and one["across splits"] and one["other cell type"]
    part = images.near_duplicates(pd.DataFrame(about), pixels, first=1)
    assert len(part.frame) == 1 and part.facts["pairs"] == 3
