"""One style for all figures: colours that colour-blind readers can tell apart, vector and 300 dpi."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from alnet_lib.core.files import atomic_path
from alnet_lib.core.vocabulary import LABELS
from alnet_lib.paper.values import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMN, PAGE = 85 / 25.4, 180 / 25.4
"""Widths in inches of one and of two journal columns."""

SCREEN = 120
"""Pixels an inch of a figure in a notebook."""


OKABE_ITO: dict[str, str] = {
    "orange": "#E69F00", "sky": "#56B4E9", "green": "#009E73", "yellow": "#F0E442", "blue": "#0072B2",
    "vermillion": "#D55E00", "purple": "#CC79A7", "grey": "#7F7F7F", "black": "#000000",
}  # fmt: skip
"""Palette of Okabe and Ito (2008) with one more grey."""

CLASS_COLOURS: dict[str, str] = {
    "lymphocyte": OKABE_ITO["sky"],
    "monocyte": OKABE_ITO["blue"],
    "control": OKABE_ITO["sky"],
    "reactive_lymphocyte": OKABE_ITO["green"],
    "infection": OKABE_ITO["green"],
    "abnormal_promyelocyte": OKABE_ITO["vermillion"],
    "APL": OKABE_ITO["vermillion"],
    "blast": OKABE_ITO["black"],
    "AL non-APL": OKABE_ITO["black"],
    "myeloid_blast": OKABE_ITO["orange"],
    "myeloblast": OKABE_ITO["orange"],
    "monoblast": OKABE_ITO["yellow"],
    "AML": OKABE_ITO["orange"],
    "b_lymphoblast": OKABE_ITO["purple"],
    "ALL": OKABE_ITO["purple"],
    "unknown": OKABE_ITO["grey"],
}
"""The same colour for the same class in every figure (palette of Okabe and Ito, 2008)."""


_STYLE = Path(__file__).with_name("alnet.mplstyle")


@contextmanager
def style() -> Iterator[None]:
    """Apply the kit's matplotlib style for the block only."""
    with matplotlib.rc_context():
        matplotlib.style.use(_STYLE)
        yield


_POWER = re.compile(r"\$\\mathdefault\{(?:[-\u2212\d.^{}]|\\times)*\}\$")
"""A label of a logarithmic axis, as matplotlib writes it."""


class DescribedFigure(Figure):
    """A matplotlib figure with a text alternative.

    Attributes
    ----------
    alt : str
        What the figure shows, in words, for readers who do not see it.
    """

    alt: str = ""

    def png(self, dpi: float = SCREEN) -> bytes:
        """Draw it as a PNG file.

        Parameters
        ----------
        dpi : float
            Pixels an inch.
        """
        out = BytesIO()
        with style():
            if self.get_layout_engine() is None:
                # A fixed layout needs no second drawing to find what is cut off.
                matplotlib.rcParams["savefig.bbox"] = None
            self.savefig(out, format="png", dpi=dpi, metadata={"Software": None})
        return out.getvalue()

    def __repr__(self) -> str:
        """Say in words what it shows: what a notebook without pictures has of it."""
        return self.alt or super().__repr__()

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        """What a notebook shows, whatever matplotlib's backend is."""
        return self.png(), {"alt": self.alt}

    def draw(self, renderer: Any) -> None:
        """Draw, with a `$` in a name as a `$`: only matplotlib's own labels of logarithmic axes are mathematics."""
        for axes in self.axes:
            for axis in (axes.xaxis, axes.yaxis):
                axis.get_ticklabels()  # Makes them.
        for text in self.findobj(Text):
            if isinstance(text, Text) and "$" in text.get_text() and not _POWER.fullmatch(text.get_text()):
                text.set_parse_math(False)
        super().draw(renderer)


def new_figure(width: float, height: float) -> DescribedFigure:
    """Begin a figure of a size in inches; not pyplot's, so that none stays open."""
    return DescribedFigure(figsize=(width, height), layout="constrained")


def save(figure: Figure, stem: Path) -> tuple[bytes, bytes]:
    """Write a figure as <stem>.svg and <stem>.png (300 dpi).

    Parameters
    ----------
    figure : Figure
        What to write.
    stem : Path
        Path without ending.

    Returns
    -------
    tuple of bytes
        SVG and PNG, the same for the same figure. Pictures of cells are JPEG in the SVG, which makes it a tenth as
        large; the PNG holds every pixel.
    """
    with style():
        svg, png = BytesIO(), BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(png, format="png", dpi=300, metadata={"Software": None})
    drawn = _EMBEDDED.sub(_smaller, svg.getvalue())
    for suffix, content in ((".svg", drawn), (".png", png.getvalue())):
        with atomic_path(stem.with_name(stem.name + suffix)) as temporary:
            temporary.write_bytes(content)
    return drawn, png.getvalue()


_EMBEDDED = re.compile(rb"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)")


def _smaller(match: re.Match[bytes]) -> bytes:
    """A picture in an SVG as JPEG where this is less than half of it: photographs, not maps of few colours."""
    with Image.open(BytesIO(base64.b64decode(match[1]))) as picture:
        layer = picture.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    out = BytesIO()
    flat.save(out, format="JPEG", quality=90, subsampling=0)
    found = base64.b64encode(out.getvalue())
    return b"data:image/jpeg;base64," + found if len(found) < len(match[1]) / 2 else match[0]


def note(axes: Axes, text: str) -> None:
    """Write a text in the middle of otherwise empty axes."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", wrap=True, transform=axes.transAxes)


def labelled(names: Iterable[str]) -> list[str]:
    """Names as the paper prints them, where it does."""
    return [LABELS.get(name, name) for name in names]


def given(result: Any, fact: str = "") -> Any:
    """Take from a result what a chart shows.

    Parameters
    ----------
    result : Result or object
        What a producer returned.
    fact : str
        Name of the fact to take.

    Returns
    -------
    object
        Of a Result the named fact where it has it, else its frame; anything else as it is.
    """
    if not isinstance(result, Result):
        return result
    return result.facts.get(fact, result.frame)
