"""The deterministic figures look as they did: compared with stored pictures, with a tolerance for other font engines.

`python tests/test_figures_look.py` draws the stored pictures again; look at them before committing them.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.testing.compare import compare_images

from alnet_lib import backbones, plots, roc, schemes
from alnet_lib.cohorts.vocabulary import MODULE_1_CLASSES, MODULE_2_CLASSES

STORED = Path(__file__).parent / "fixtures" / "figures"
TOLERANCE = 12.0
"""Root mean square of grey levels: antialiasing differs by 2 to 5, a missing curve or label by 20 and more."""


def figure_01():
    modules = backbones.build("vgg16", MODULE_1_CLASSES, 64), backbones.build("vgg19", MODULE_2_CLASSES, 64)
    return schemes.pipeline_scheme(*modules, 0.5)


def figure_03():
    modules = [backbones.build("vgg16", MODULE_1_CLASSES, 64), backbones.build("vgg19", MODULE_2_CLASSES, 64)]
    return schemes.module_scheme(modules)


def figure_04():
    rng = np.random.default_rng(7)
    truth = pd.Series(np.repeat(MODULE_1_CLASSES, 12))
    weights = np.eye(5)[np.repeat(np.arange(5), 12)] * 4 + 1
    shares = pd.DataFrame([rng.dirichlet(row) for row in weights], columns=list(MODULE_1_CLASSES))
    return plots.multiclass_roc(roc.multiclass_roc(truth, shares))


def confusion():
    counts = pd.DataFrame(np.eye(5, dtype=int) * 20 + 2, index=MODULE_1_CLASSES, columns=MODULE_1_CLASSES)
    return plots.confusion_heatmap(100 * counts.div(counts.sum(axis=1), axis=0), counts, "module 1")


FIGURES = {function.__name__: function for function in (figure_01, figure_03, figure_04, confusion)}


def _draw(name, path):
    with plots.style():
        FIGURES[name]().savefig(path, dpi=80, metadata={"Software": None})


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_looks_as_it_did(name, tmp_path):
    _draw(name, tmp_path / f"{name}.png")
    assert compare_images(str(STORED / f"{name}.png"), str(tmp_path / f"{name}.png"), TOLERANCE) is None


def test_the_comparison_sees_a_missing_curve(tmp_path):
    with plots.style():
        figure = figure_04()
        for line in list(figure.axes[0].lines)[:2]:
            line.remove()
        figure.axes[0].get_legend().remove()
        figure.savefig(tmp_path / "figure_04.png", dpi=80)
    assert compare_images(str(STORED / "figure_04.png"), str(tmp_path / "figure_04.png"), TOLERANCE) is not None


if __name__ == "__main__":
    STORED.mkdir(parents=True, exist_ok=True)
    for figure in FIGURES:
        _draw(figure, STORED / f"{figure}.png")
