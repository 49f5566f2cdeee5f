"""Sizes of cells and of red cells: what was drawn is measured, and sources at two scales are told."""

import cv2
import numpy as np
import pandas as pd
import pytest

from alnet_lib import audit, segmentation
from alnet_lib.cohorts.synthetic import morphology

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


def test_drawn_cells_and_sites_are_measured_as_they_were_drawn(twin):
    frame = audit.sizes(twin, rng=np.random.default_rng(0)).set_index(["source", "cell type"])
    home = frame.loc["Hospital Clínic"]
    for name, label in (("lymphocyte", "Lymphocytes"), ("monocyte", "Monocytes"), ("myeloblast", "Myeloblasts")):
        drawn = morphology.MEAN.loc[name, "cell_diameter"]
        assert home.loc[label, "cell"] == pytest.approx(drawn, rel=0.12), name
    assert home["red cell"].dropna().between(6.5, 8.3).all() and home["red cells"].sum() > 50


def _measured(*rows):
    return pd.DataFrame([(source, "Lymphocytes", 25, 12.0, n, width) for source, n, width in rows], columns=COLUMNS)


def test_sources_at_two_scales_are_warned_of():
    apart = audit.scale_sentences(_measured(("a", 40, 8.0), ("b", 20, 6.4), ("b", 20, 6.6)))
    assert len(apart) == 3 and "6.5 micrometres" in apart[1] and "a and b are not at one scale" in apart[2]
    assert not any("warning" in line for line in audit.scale_sentences(_measured(("a", 40, 7.5), ("b", 40, 7.2))))


def test_few_red_cells_judge_nothing_and_it_is_said():
    said = audit.scale_sentences(_measured(("a", 40, 7.5), ("b", 3, 4.0), ("c", 0, np.nan)))
    assert said[0] == "Red cells of a are 7.5 micrometres wide at the scale used (40 measured)."
    assert "scale of b cannot be judged by red cells: 3" in said[1] and "scale of c" in said[2] and len(said) == 3


def test_a_single_source_at_a_wrong_scale_and_cells_of_two_sizes_are_warned_of():
    assert "a warning" in audit.scale_sentences(_measured(("a", 40, 5.6)))[0]
    frame = _measured(("a", 40, 7.5), ("b", 0, np.nan))
    frame.loc[1, "cell"] = 6.1
    said = audit.scale_sentences(frame)
    assert "Lymphocytes are 12.0 micrometres wide in a and 6.1 in b: **a warning**" in said[-1]


def test_the_two_real_sources_are_at_one_scale(pbc_folder, jhu_folder):
    from alnet_lib import cohorts

    both = cohorts.read("pbc+jhu_apl", f"pbc={pbc_folder},jhu_apl={jhu_folder}")
    frame = audit.sizes(both, rng=np.random.default_rng(0), allow_truncated=True)
    said = audit.scale_sentences(frame)
    assert len(said) == 2 and not any("warning" in line for line in said)
    width = (frame["red cell"] * frame["red cells"]).groupby(frame["source"]).sum()
    assert (width / frame.groupby("source")["red cells"].sum()).between(7.0, 8.2).all()
