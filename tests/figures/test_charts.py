"""Figures are the same bytes for the same input, legible, in the classes' own colours, and described."""

import base64
import re
from io import BytesIO

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text
from PIL import Image

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import MODULE_1_CLASSES, MODULE_2_CLASSES
from alnet_lib.evaluation.explanation.feature_maps import CellChoice, figure_7_scale
from alnet_lib.figures import charts, curves, diagrams, display, pictures, tables
from alnet_lib.figures.style import CLASS_COLOURS, PAGE, save
from alnet_lib.networks import building
from alnet_lib.paper.values import Result
from alnet_lib.statistics import roc

RNG = np.random.default_rng(2)
PICTURES = [RNG.integers(0, 256, (20, 20, 3), dtype=np.uint8) for _ in range(3)]


@pytest.fixture(scope="module")
def modules():
    with torch.device("meta"):  # Their layers are shown, not their weights.
        return building.build("vgg16", MODULE_1_CLASSES, 32), building.build("vgg19", MODULE_2_CLASSES, 32)


def _figures(modules):
    counts = pd.DataFrame([[5, 1], [0, 4]], index=["lymphocyte", "blast"], columns=["lymphocyte", "blast"])
    history = pd.DataFrame({"iteration": range(1, 30), "loss": np.linspace(2, 1, 29), "learning_rate": 1e-4})
    shares = pd.DataFrame(RNG.dirichlet(np.ones(5), 40), columns=list(MODULE_1_CLASSES))
    reference = pd.Series(RNG.choice(MODULE_1_CLASSES, 40))
    forest = pd.DataFrame(
        {"label": ["a"], "published": [90.0], "reproduced": [80.0], "ci_low": [70.0], "ci_high": [85.0]}
    )
    return {
        "montage": pictures.montage({"Healthy controls": PICTURES, "Blasts": PICTURES[:1]}, ["one", "two", "three"]),
        "no picture": pictures.montage({}),
        "confusion": charts.confusion_heatmap(counts, "module 1"),
        "roc": curves.multiclass_roc(roc.multiclass_roc(reference, shares)),
        "learning": curves.learning_curves({"module 1": history}),
        "forest": charts.forest(forest),
        "range test": curves.range_test(
            pd.DataFrame({"learning_rate": np.geomspace(1e-7, 0.1, 9), "smoothed": np.linspace(2, 1, 9)}),
            used=(2e-5, 4e-4),
            proposed=(1e-5, 1e-3),
        ),
        "figure 1": diagrams.pipeline_scheme(*modules, 0.5),
        "figure 1 without module 2": diagrams.pipeline_scheme(modules[0], None, 0.5),
        "figure 3": diagrams.module_scheme(list(modules)),
    }


def test_every_figure_is_described_and_no_letter_is_below_6_points(modules):
    for name, figure in _figures(modules).items():
        assert figure.alt, name
        sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
        assert min(sizes) >= 6, name
        assert figure.get_size_inches()[0] <= PAGE + 0.01, name


def test_the_same_figure_gives_the_same_bytes(modules, tmp_path):
    first = save(diagrams.pipeline_scheme(*modules, 0.5), tmp_path / "one")
    again = save(diagrams.pipeline_scheme(*modules, 0.5), tmp_path / "two")
    assert first == again
    assert (tmp_path / "one.svg").read_bytes() == first[0]


def test_schemes_say_what_the_models_are(modules):
    text = " ".join(t.get_text() for t in diagrams.module_scheme(list(modules)).findobj(Text))
    for network in modules:
        assert f"{network.head.fc1.in_features:,}" in text
        for channels, h, w in network.map_shapes:
            assert f"{h}×{w}×{channels}" in text
    text = " ".join(t.get_text() for t in diagrams.pipeline_scheme(*modules, 0.4).findobj(Text))
    assert "40%" in text and "VGG16" in text and "VGG19" in text and "5 classes" in text


def test_a_class_has_one_colour_everywhere():
    assert CLASS_COLOURS["abnormal_promyelocyte"] == CLASS_COLOURS["APL"]
    assert CLASS_COLOURS["myeloid_blast"] == CLASS_COLOURS["AML"]
    distinct = {CLASS_COLOURS[name] for name in MODULE_1_CLASSES}
    assert len(distinct) == len(MODULE_1_CLASSES)


NOTHING = Unavailable("no cell")


def test_what_is_unavailable_passes_through_every_chart():
    for chart in (charts.confusion_heatmap, charts.vote_bars, charts.forest, curves.multiclass_roc, curves.patient_roc,
                  curves.cells_figure, curves.benefit_figure, curves.reliability_figure):  # fmt: skip
        assert chart(NOTHING) is NOTHING, chart.__name__
    assert curves.learning_curves({"module 1": NOTHING, "module 2": NOTHING}) is NOTHING
    assert diagrams.module_scheme([NOTHING, NOTHING]) is NOTHING


def test_a_missing_second_module_is_left_out_of_the_schemes(modules):
    one = diagrams.pipeline_scheme(modules[0], NOTHING, 0.5)
    assert "no module 2" in one.alt and "module 2" not in diagrams.module_scheme([modules[0], NOTHING]).alt


def test_a_chart_takes_a_result_as_it_takes_its_frame():
    counts = pd.DataFrame([[5, 1], [0, 4]], index=["lymphocyte", "blast"], columns=["lymphocyte", "blast"])
    plain = charts.confusion_heatmap(counts)
    assert charts.confusion_heatmap(Result(counts / 10, facts={"counts": counts})).alt == plain.alt
    assert "83.3" in plain.alt


def test_findings_leave_out_what_is_unavailable_unless_nothing_is_left():
    found = Result(pd.DataFrame(), facts={"accuracy": 93.04})
    shown = display.findings("One.", NOTHING, ("{accuracy:.1f}% of cells", found), ("{x}", NOTHING), ["Two."])
    assert shown.data == "- One.\n- 93.0% of cells\n- Two."
    assert "no cell" in display.findings(NOTHING, ("{x}", NOTHING)).data


def test_tables_take_results_and_show_why_they_are_unavailable():
    found = Result(pd.DataFrame({"a": [1.25]}), facts={"n": 7})
    assert "<caption>7 cells</caption>" in tables.html_table(found, caption="{n} cells")
    assert 'aria-label="7 cells"' in tables.show_table(found, caption="{n} cells").data
    assert "no cell" in tables.show_table(NOTHING, caption="x").data


def _embedded(path):
    found = re.findall(rb"data:(image/\w+);base64,([A-Za-z0-9+/=\s]+)", path.read_bytes())
    return {kind.decode(): Image.open(BytesIO(base64.b64decode(data))) for kind, data in found}


def test_photographs_in_an_svg_are_small_and_maps_of_few_colours_are_exact(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    cell = cv2.GaussianBlur(cv2.resize(noise, (112, 112), interpolation=cv2.INTER_CUBIC), (0, 0), 3)
    save(pictures.montage({"cell": [cell]}, width=1), tmp_path / "cell")
    save(pictures.montage({"map": [np.kron([[0, 1], [1, 0]], np.ones((8, 8)))]}, width=1), tmp_path / "map")
    shown = _embedded(tmp_path / "cell.svg")["image/jpeg"]
    assert np.asarray(shown, float).mean((0, 1)) == pytest.approx(cell.mean((0, 1)), abs=2)
    assert list(_embedded(tmp_path / "map.svg")) == ["image/png"]
    assert (tmp_path / "cell.svg").stat().st_size < (tmp_path / "cell.png").stat().st_size


def test_figure_7_has_four_panels_of_112_pixels_or_more_with_maps_that_show_where():
    before, after = (building.build("vgg16_miniature", MODULE_1_CLASSES, 32, seed=seed) for seed in (1, 2))
    choice = CellChoice(pd.DataFrame(), image_ids={"myeloid_blast": "a", "abnormal_promyelocyte": "b"})
    asked = []

    def read(names, side):
        asked.append((list(names), side))
        return [RNG.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in names]

    figure = pictures.figure_7(choice, read, before, after)
    assert asked == [(["a", "b"], 112)]
    assert [axes.get_title()[:2] for axes in figure.axes[:6]] == ["A.", "B.", "B.", "C.", "D.", "D."]
    sides = [min(image.get_array().shape[:2]) for axes in figure.axes for image in axes.images]
    assert len(sides) == 10 and min(sides) >= pictures.SHOWS and max(sides) == 112
    assert "112 pixels a side; the networks were trained at 32" in figure_7_scale(after)
    assert figure_7_scale(building.build("vgg16_miniature", ("a", "b"), 128)) == ""


def test_figure_5_heads_its_columns_with_the_sites():
    examples = {(lineage, site): PICTURES for lineage in ("Myeloid blasts", "B-Lymphoblasts") for site in ("x", "y")}
    axes = pictures.site_figure(examples).axes
    assert [one.get_title() for one in axes] == ["x", "y", "", ""]
    assert [one.get_ylabel() for one in axes] == ["Myeloid blasts", "", "B-Lymphoblasts", ""]
