"""Module 1 judged on cells: by source, against counts by hand, and the sentence that closes notebook 03."""

import numpy as np
import pandas as pd
import pytest

from alnet_lib import cells, evaluation
from alnet_lib.alnet import TASKS

CLASSES = TASKS["module_1"][1]


def _cells(rows):
    """rows: (source, cell type, class called); the called class has all of the probability."""
    frame = pd.DataFrame(rows, columns=["source", "cell_type", "called"])
    for name in CLASSES:
        frame[f"p1_{name}"] = frame["called"].eq(name).astype(float)
    return frame


def test_cells_are_judged_by_source():
    own = [("b", "lymphocyte", "lymphocyte")] * 3 + [("b", "monocyte", "lymphocyte")]
    frame, values = cells.by_source(
        _cells([*own, ("a", "myeloblast", "blast"), ("a", "myeloblast", "blast")]), "module_1"
    )
    found = frame.set_index(["source", "class"])
    assert list(frame["source"]) == ["a", "a", "b", "b", "b"]
    assert found.loc[("a", "Blasts"), ["cells", "right"]].tolist() == [2, 100]
    assert found.loc[("b", "all classes"), ["cells", "right"]].tolist() == [4, 75]
    assert found.loc[("b", "Monocytes"), "right"] == 0
    assert {v.key: v.reproduced for v in values} == {
        "source.a.module_1.accuracy": 100,
        "source.b.module_1.accuracy": 75,
    }
    # Wilson for 3 of 4, from R: prop.test(3, 4, correct = FALSE)
    assert [values[1].ci_low, values[1].ci_high] == pytest.approx([30.06, 95.44], abs=0.01)


def test_one_source_is_not_parted():
    frame, values = cells.by_source(_cells([("a", "lymphocyte", "lymphocyte")]), "module_1")
    assert frame.empty and values == []


def test_the_sentence_has_both_intervals_or_says_nothing_of_one_patient():
    truth = pd.Series(["lymphocyte"] * 3 + ["blast"])
    counts = evaluation.confusion(truth, pd.Series(["lymphocyte"] * 4), CLASSES)
    assert "75.0% of 4 testing cells" in cells.Judged("module_1", counts, (0.5, 1.0)).sentence
    assert "50.0 to 100.0% over patients" in cells.Judged("module_1", counts, (0.5, 1.0)).sentence
    assert "over patients" not in cells.Judged("module_1", counts, (np.nan, np.nan)).sentence
