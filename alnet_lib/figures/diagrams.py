"""Figures 1 and 3, drawn from the model objects themselves, so that they cannot disagree with the code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.patches import FancyBboxPatch
from torch import nn

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import LABELS, NON_APL, UNKNOWN
from alnet_lib.diagnosis.aggregation import OF_MODULE_1, OF_MODULE_2
from alnet_lib.figures.style import CLASS_COLOURS, PAGE, DescribedFigure, new_figure, style
from alnet_lib.networks.architectures import title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from alnet_lib.networks.network import Network

PITCH = 2.35
"""Distance of the rows of Figure 3."""


def _box(
    axes: Axes, x: float, y: float, w: float, h: float, text: str, colour: str = "0.93", edge: str = "0.4"
) -> None:
    axes.add_patch(_rounded(x, y, w, h, colour, edge))
    axes.text(x + w / 2, y + h / 2, text, ha="center", va="center")


def _rounded(x: float, y: float, w: float, h: float, colour: str, edge: str) -> FancyBboxPatch:
    return FancyBboxPatch((x, y), w, h, boxstyle="round,pad=0,rounding_size=0.06", fc=colour, ec=edge, lw=0.8)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "lw": 0.8, "color": "0.3", "shrinkA": 0, "shrinkB": 0}
    )


def _canvas(width: float, height: float) -> tuple[DescribedFigure, Axes]:
    figure = new_figure(PAGE, PAGE * height / width)
    axes = figure.add_subplot()
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def _shapes(network: Network) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in network.map_shapes)


def _network(given: Any) -> Network:
    return getattr(given, "network", given)


def _connected(network: Network) -> list[nn.Linear]:
    return [layer for layer in network.head.modules() if isinstance(layer, nn.Linear)]


def pipeline_scheme(module_1: Any, module_2: Any, threshold: float) -> DescribedFigure | Unavailable:
    """Figure 1: from the smear's cell images to the diagnosis.

    Parameters
    ----------
    module_1 : Network, Trained or Unavailable
        The first module.
    module_2 : Network, Trained, Unavailable or None
        The second; without it the scheme says so.
    threshold : float
        In [0, 1): the share of cells that a class must exceed.

    Returns
    -------
    DescribedFigure or Unavailable
        The scheme; `module_1` where that is unavailable.
    """
    if isinstance(module_1, Unavailable):
        return module_1
    module_1, module_2 = _network(module_1), _network(module_2) if module_2 else None
    with style():
        figure, axes = _canvas(12, 5.6)
        _box(axes, 0.05, 2.6, 1.35, 1.0, "cell images\nof one smear")
        _box(axes, 1.75, 2.6, 1.7, 1.0, f"module 1\n{title(module_1.name)}\n{len(module_1.classes)} classes", "#DCEBF7")
        _arrow(axes, (1.4, 3.1), (1.75, 3.1))
        classes = list(module_1.classes)
        middles = {name: 5.0 - i * 0.88 for i, name in enumerate(classes)}
        low, high = min(middles.values()), max(middles.values())
        _box(
            axes,
            6.55,
            low - 0.31,
            1.25,
            high - low + 0.62,
            f"vote:\nthe class\nof more\nthan {threshold:.0%}\nof the cells",
        )
        verdicts: dict[str, list[float]] = {}
        for name, y in middles.items():
            _box(axes, 3.85, y - 0.31, 2.4, 0.62, LABELS[name], edge=CLASS_COLOURS[name])
            _arrow(axes, (3.45, 3.1), (3.85, y))
            _arrow(axes, (6.25, y), (6.55, y))
            if name != "blast":
                verdicts.setdefault(OF_MODULE_1[name], []).append(y)
        for verdict, rows in verdicts.items():
            _box(axes, 9.95, min(rows) - 0.31, 2.0, max(rows) - min(rows) + 0.62, verdict, edge=CLASS_COLOURS[verdict])
            for y in rows:
                _arrow(axes, (7.8, y), (9.95, y))
        _box(axes, 9.95, 0.15, 2.0, 0.62, UNKNOWN, edge=CLASS_COLOURS[UNKNOWN])
        axes.plot([7.175, 7.175], [low - 0.31, 0.46], color="0.3", lw=0.8)
        _arrow(axes, (7.175, 0.46), (9.95, 0.46))
        axes.text(7.1, 0.46, "no class", ha="right", va="center", style="italic")
        if "blast" in middles:
            _second_module(axes, module_2, middles["blast"], threshold)
        second = "no module 2" if module_2 is None else f"module 2 ({title(module_2.name)})"
        figure.alt = (
            f"Scheme: cell images of a smear go to module 1 ({title(module_1.name)}), which predicts "
            f"{', '.join(LABELS[c].lower() for c in classes)}; smears of blasts go on to {second}. "
            f"A class with more than {threshold:.0%} of the cells gives the diagnosis; else the smear is unknown."
        )
    return figure


def _second_module(axes: Axes, module_2: Network | None, y: float, threshold: float) -> None:
    """The way of smears of blasts."""
    _arrow(axes, (7.8, y), (8.05, y))
    if module_2 is None:
        _box(axes, 8.05, y - 0.31, 1.6, 0.62, "no module 2", edge="0.7")
        _box(axes, 9.95, y - 0.31, 2.0, 0.62, NON_APL, edge=CLASS_COLOURS[NON_APL])
        _arrow(axes, (9.65, y), (9.95, y))
        return
    words = f"module 2\n{title(module_2.name)}\nvote, >{threshold:.0%}"
    _box(axes, 8.05, y - 0.44, 1.7, 0.88, words, "#FBE6D5")
    for j, name in enumerate(module_2.classes):
        label = OF_MODULE_2[name]
        _box(axes, 9.95 + j * 1.05, y - 0.31, 0.95, 0.62, label, edge=CLASS_COLOURS[label])
    _arrow(axes, (9.75, y), (9.95, y))
    _arrow(axes, (8.87, y - 0.44), (8.87, 0.46))


def module_scheme(modules: Sequence[Any]) -> DescribedFigure | Unavailable:
    """Figure 3: each module's blocks with convolutions and map sizes, and its fully connected layers.

    Parameters
    ----------
    modules : sequence of Network, Trained or Unavailable
        The modules in series; those that are unavailable are left out.

    Returns
    -------
    DescribedFigure or Unavailable
        The scheme; the first Unavailable where no module is there.
    """
    there = {number: _network(one) for number, one in enumerate(modules, 1) if not isinstance(one, Unavailable)}
    if not there:
        return modules[0]
    return _module_scheme(there)


def _module_scheme(modules: dict[int, Network]) -> DescribedFigure:
    with style():
        figure, axes = _canvas(12, 0.1 + PITCH * len(modules))
        for row, (place, network) in enumerate(modules.items()):
            y = 0.35 + PITCH * (len(modules) - 1 - row)
            words = f"module {place}: {title(network.name)}"
            axes.text(0.85 if row else 0.05, y + 1.5, words, weight="bold", va="bottom")
            size = network.input_size
            _box(axes, 0.05, y, 1.0, 1.3, f"image\n{size}×{size}×3")
            x = 1.35
            for number, (block, shape) in enumerate(zip(network.blocks, network.map_shapes, strict=True), start=1):
                convolutions = sum(isinstance(layer, nn.Conv2d) for layer in block.modules())
                channels, h, w = shape
                _box(axes, x, y, 1.3, 1.3, f"block {number}\n{convolutions} conv.\n{h}×{w}×{channels}", "#DCEBF7")
                _arrow(axes, (x - 0.3, y + 0.65), (x, y + 0.65))
                x += 1.6
            for layer in _connected(network):
                _box(axes, x, y, 0.7, 1.3, f"{layer.in_features:,}\n↓\n{layer.out_features:,}", "#FBE6D5")
                _arrow(axes, (x - 0.3, y + 0.65), (x, y + 0.65))
                x += 0.85
            if row + 1 < len(modules):
                end, between = x - 0.5, y - 0.22
                axes.plot([end, end, 0.55, 0.55], [y, between, between, y - PITCH + 1.35], color="0.3", lw=0.8)
                _arrow(axes, (0.55, y - PITCH + 1.5), (0.55, y - PITCH + 1.3))
                axes.text(end - 0.15, between - 0.06, "cells predicted as blasts", ha="right", va="top", style="italic")
        described = "; ".join(
            f"module {i}: {title(n.name)}, maps {_shapes(n)}, "
            f"{_connected(n)[0].in_features} features to {_connected(n)[0].out_features}, "
            f"{_connected(n)[1].out_features}, "
            f"{len(n.classes)} classes"
            for i, n in modules.items()
        )
        figure.alt = f"The modules' layers. {described}."
    return figure
