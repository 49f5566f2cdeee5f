"""Figures are the same bytes for the same input, legible, in the classes' own colours, and described."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from alnet_lib import backbones, plots, roc, schemes
from alnet_lib.cohorts.vocabulary import MODULE_1_CLASSES, MODULE_2_CLASSES

RNG = np.random.default_rng(2)
PICTURES = [RNG.integers(0, 256, (20, 20, 3), dtype=np.uint8) for _ in range(3)]


@pytest.fixture(scope="module")
def modules():
    return (
        backbones.build("vgg16", MODULE_1_CLASSES, 32),
        backbones.build("vgg19", MODULE_2_CLASSES, 32),
    )


def _figures(modules):
    counts = pd.DataFrame([[5, 1], [0, 4]], index=["lymphocyte", "blast"], columns=["lymphocyte", "blast"])
    history = pd.DataFrame({"iteration": range(1, 30), "loss": np.linspace(2, 1, 29), "learning_rate": 1e-4})
    shares = pd.DataFrame(RNG.dirichlet(np.ones(5), 40), columns=list(MODULE_1_CLASSES))
    truth = pd.Series(RNG.choice(MODULE_1_CLASSES, 40))
    forest = pd.DataFrame(
        {"label": ["a"], "published": [90.0], "reproduced": [80.0], "ci_low": [70.0], "ci_high": [85.0]}
    )
    return {
        "montage": plots.montage({"Healthy controls": PICTURES, "Blasts": PICTURES[:1]}, ["one", "two", "three"]),
        "no picture": plots.montage({}),
        "confusion": plots.confusion_heatmap(100 * counts.div(counts.sum(axis=1), axis=0), counts, "module 1"),
        "roc": plots.multiclass_roc(roc.multiclass_roc(truth, shares)),
        "learning": plots.learning_curves({"module 1": history}),
        "forest": plots.forest(forest),
        "range test": plots.range_test(
            pd.DataFrame({"learning_rate": np.geomspace(1e-7, 0.1, 9), "smoothed": np.linspace(2, 1, 9)}),
            (1e-5, 1e-3),
            (2e-5, 4e-4),
        ),
        "figure 1": schemes.pipeline_scheme(*modules, 0.5),
        "figure 1 without module 2": schemes.pipeline_scheme(modules[0], None, 0.5),
        "figure 3": schemes.module_scheme(list(modules)),
    }


def test_every_figure_is_described_and_no_letter_is_below_6_points(modules):
    for name, figure in _figures(modules).items():
        assert figure.alt, name
        sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
        assert min(sizes) >= 6, name
        assert figure.get_size_inches()[0] <= plots.PAGE + 0.01, name


def test_the_same_figure_gives_the_same_bytes(modules, tmp_path):
    first = plots.save(schemes.pipeline_scheme(*modules, 0.5), tmp_path / "one")
    again = plots.save(schemes.pipeline_scheme(*modules, 0.5), tmp_path / "two")
    assert first == again
    assert (tmp_path / "one.svg").read_bytes() == first[0]


def test_schemes_say_what_the_models_are(modules):
    text = " ".join(t.get_text() for t in schemes.module_scheme(list(modules)).findobj(Text))
    for network in modules:
        assert f"{network.head.fc1.in_features:,}" in text
        for channels, h, w in network.map_shapes:
            assert f"{h}×{w}×{channels}" in text
    text = " ".join(t.get_text() for t in schemes.pipeline_scheme(*modules, 0.4).findobj(Text))
    assert "40%" in text and "VGG16" in text and "VGG19" in text and "5 classes" in text


def test_a_class_has_one_colour_everywhere():
    assert plots.CLASS_COLOURS["abnormal_promyelocyte"] == plots.CLASS_COLOURS["APL"]
    assert plots.CLASS_COLOURS["myeloid_blast"] == plots.CLASS_COLOURS["AML"]
    distinct = {plots.CLASS_COLOURS[name] for name in MODULE_1_CLASSES}
    assert len(distinct) == len(MODULE_1_CLASSES)
