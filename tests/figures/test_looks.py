"""The deterministic figures look as they did: compared with stored pictures, with a tolerance for other font engines.

`python tests/figures/test_looks.py` draws the stored pictures again; look at them before committing them.
"""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.lines import Line2D
from matplotlib.testing.compare import compare_images

from alnet_lib.core.vocabulary import MODULE_1_CLASSES, MODULE_2_CLASSES
from alnet_lib.figures import charts, curves, diagrams
from alnet_lib.figures.style import style
from alnet_lib.networks import building
from alnet_lib.statistics import roc

STORED = Path(__file__).parents[1] / "fixtures" / "figures"
TOLERANCE = 12.0
"""Root mean square of grey levels: antialiasing differs by 2 to 5, a missing curve or label by 20 and more."""


@functools.cache
def _modules():
    with torch.device("meta"):  # Their layers are shown, not their weights.
        return building.build("vgg16", MODULE_1_CLASSES, 64), building.build("vgg19", MODULE_2_CLASSES, 64)


def figure_01():
    return diagrams.pipeline_scheme(*_modules(), 0.5)


def figure_03():
    return diagrams.module_scheme(list(_modules()))


def figure_04():
    rng = np.random.default_rng(7)
    reference = pd.Series(np.repeat(MODULE_1_CLASSES, 12))
    weights = np.eye(5)[np.repeat(np.arange(5), 12)] * 4 + 1
    shares = pd.DataFrame([rng.dirichlet(row) for row in weights], columns=list(MODULE_1_CLASSES))
    return curves.multiclass_roc(roc.multiclass_roc(reference, shares))


def confusion():
    counts = pd.DataFrame(np.eye(5, dtype=int) * 20 + 2, index=MODULE_1_CLASSES, columns=MODULE_1_CLASSES)
    return charts.confusion_heatmap(counts, "module 1")


FIGURES = {function.__name__: function for function in (figure_01, figure_03, figure_04, confusion)}


def _draw(name, path):
    with style():
        FIGURES[name]().savefig(path, dpi=80, metadata={"Software": None})


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_looks_as_it_did(name, tmp_path):
    _draw(name, tmp_path / f"{name}.png")
    assert compare_images(str(STORED / f"{name}.png"), str(tmp_path / f"{name}.png"), TOLERANCE) is None


def test_the_comparison_sees_missing_curves(tmp_path):
    with style():
        figure = figure_04()
        # Unseen, but not removed: the picture must keep its size to be compared.
        for artist in (*figure.findobj(Line2D), *figure.legends[0].get_texts()):
            artist.set_alpha(0)
        figure.savefig(tmp_path / "figure_04.png", dpi=80)
    assert compare_images(str(STORED / "figure_04.png"), str(tmp_path / "figure_04.png"), TOLERANCE) is not None


if __name__ == "__main__":
    STORED.mkdir(parents=True, exist_ok=True)
    for figure in FIGURES:
        _draw(figure, STORED / f"{figure}.png")
