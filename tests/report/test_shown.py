"""How items stand on the pages of notebooks: figures at one scale, links to their files, ids that are allowed."""

import struct

import numpy as np
import pandas as pd
import pytest

from alnet_lib.figures import charts, pictures, tables
from alnet_lib.report.pages import notebook


def _png(width, height):
    return b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", width, height)


def test_figures_of_one_and_two_columns_are_shown_at_one_scale():
    assert notebook.size(_png(2126, 1000)) == ' width="978" height="460"'
    assert notebook.size(_png(1063, 1000)) == ' width="489" height="460"'
    assert notebook.size(b"no picture") == ""


@pytest.mark.parametrize("index", [True, False])
def test_a_header_cell_without_a_name_is_no_header(index):
    text = tables.html_table(pd.DataFrame({"": ["", "x"], "a": [1, 2]}, index=["", "y"]), caption="c", index=index)
    assert '<th scope="col"></th>' not in text and '<th scope="row"></th>' not in text
    assert text.count("<tr>") == 3 and text.count("<td></td>") >= 2
    rows = [row.count("<td") + row.count("<th ") for row in text.split("<tr>")[1:]]
    assert len(set(rows)) == 1, "every row has as many cells as the head"


def test_text_alternatives_are_words():
    picture = np.zeros((4, 4, 3), np.uint8)
    alt = pictures.montage({"Blasts\nClínic": [picture], "Grad-CAM\u200b": [picture] * 2}).alt
    assert alt == "Pictures of cells in rows, from top to bottom: Blasts Clínic, 1 picture; Grad-CAM, 2 pictures."
    shares = {f"share_{name}": [1.0] for name in charts.MODULE_1_CLASSES}
    votes = pd.DataFrame({"smear_id": ["s"], "diagnosis": ["APL"], "module_1": ["blast"], **shares})
    assert charts.vote_bars(votes).alt.endswith("by diagnosis: 1 APL.")
