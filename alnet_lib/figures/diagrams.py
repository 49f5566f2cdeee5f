"""Figures 1 and 3, drawn from the model objects themselves, so that they cannot disagree with the code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.patches import FancyBboxPatch
from torch import nn

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.diagnosis.aggregation import OF_MODULE_1, OF_MODULE_2
from alnet_lib.figures.style import CLASS_COLOURS, PAGE, DescribedFigure, new_figure, style
from alnet_lib.networks.architectures import title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from alnet_lib.networks.network import Network


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
        figure, axes = _canvas(12, 4.9)
        _box(axes, 0.1, 1.9, 1.7, 1.0, "cell images of\none smear")
        _box(
            axes,
            2.4,
            1.9,
            2.0,
            1.0,
            f"module 1\n{title(module_1.name)}\n{len(module_1.classes)} classes",
            "#DCEBF7",
        )
        _arrow(axes, (1.8, 2.4), (2.4, 2.4))
        classes = list(module_1.classes)
        for i, name in enumerate(classes):
            y = 3.9 - i * 0.88
            _box(axes, 5.1, y, 2.2, 0.62, LABELS[name], edge=CLASS_COLOURS[name])
            _arrow(axes, (4.4, 2.4), (5.1, y + 0.31))
            if name != "blast":
                _box(axes, 9.9, y, 2.0, 0.62, OF_MODULE_1[name], edge=CLASS_COLOURS[name])
                _arrow(axes, (7.3, y + 0.31), (9.9, y + 0.31))
        axes.text(
            8.6, 4.26, f"more than {threshold:.0%} of\nthe smear's cells", ha="center", va="bottom", style="italic"
        )
        y = 3.9 - classes.index("blast") * 0.88 if "blast" in classes else 0.1
        if module_2 is None:
            _box(axes, 7.7, y, 1.8, 0.62, "no module 2", edge="0.7")
        else:
            _box(axes, 7.65, y - 0.1, 1.75, 0.82, f"module 2\n{title(module_2.name)}", "#FBE6D5")
            _arrow(axes, (7.3, y + 0.31), (7.65, y + 0.31))
            for j, name in enumerate(module_2.classes):
                label = OF_MODULE_2[name]
                _box(axes, 9.9 + j * 1.05, y, 0.95, 0.62, label, edge=CLASS_COLOURS[label])
            _arrow(axes, (9.4, y + 0.31), (9.9, y + 0.31))
        second = "no module 2" if module_2 is None else f"module 2 ({title(module_2.name)})"
        figure.alt = (
            f"Scheme: cell images of a smear go to module 1 ({title(module_1.name)}), which predicts "
            f"{', '.join(LABELS[c].lower() for c in classes)}; smears of blasts go on to {second}. "
            f"A class with more than {threshold:.0%} of the cells gives the diagnosis."
        )
    return figure


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
        figure, axes = _canvas(12, 0.2 + 2.1 * len(modules))
        for row, (place, network) in enumerate(modules.items()):
            y = 0.35 + 2.1 * (len(modules) - 1 - row)
            axes.text(0.05, y + 1.5, f"module {place}: {title(network.name)}", weight="bold", va="bottom")
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
        described = "; ".join(
            f"module {i}: {title(n.name)}, maps {_shapes(n)}, "
            f"{_connected(n)[0].in_features} features to {_connected(n)[0].out_features}, "
            f"{_connected(n)[1].out_features}, "
            f"{len(n.classes)} classes"
            for i, n in modules.items()
        )
        figure.alt = f"The modules' layers. {described}."
    return figure
