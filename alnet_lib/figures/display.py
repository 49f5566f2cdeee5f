"""How a notebook displays a figure, a list of findings, or the reason why an item is unavailable."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from IPython.display import HTML, Markdown

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.text import escaped, filled, for_html
from alnet_lib.paper.items import ITEMS
from alnet_lib.paper.values import Result

Line = str | Unavailable | tuple[str, Result | Mapping[str, Any] | Unavailable]
"""A sentence; or a template and the facts that fill its braces; or nothing, with its reason."""


def show_figure(png: bytes, *, alt: str, id: str, caption: str) -> Any:
    """Give what a notebook displays for a figure.

    Parameters
    ----------
    png : bytes
        The picture.
    alt : str
        Its text alternative.
    id : str
        Anchor.
    caption : str
        Below the picture.

    Returns
    -------
    IPython.display.HTML
        The picture as a data address, so that the notebook needs no file beside it.
    """
    return HTML(
        f'<figure id="{for_html(id)}">{image_tag(png, alt)}<figcaption>{for_html(caption)}</figcaption></figure>'
    )


def image_tag(png: bytes, alt: str, *, style: str = "") -> str:
    """Write a picture as HTML that needs no file beside it.

    Parameters
    ----------
    png : bytes
        The picture.
    alt : str
        Its text alternative; escaped here.
    style : str
        CSS of the picture, e.g. `max-width: 100%`; pages of the report leave that to their style sheet.
    """
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    styled = f' style="{for_html(style)}"' if style else ""
    return f'<img src="{source}" alt="{for_html(alt)}"{styled}>'


def show_unavailable(id: str, reason: str, *, title: str = "") -> Any:
    """Give what a notebook displays for an item that this cohort or profile cannot give.

    Parameters
    ----------
    id : str
        Of the item.
    reason : str
        Why it is unavailable.
    title : str
        Of an item beyond the paper's.

    Returns
    -------
    IPython.display.HTML
        One paragraph.
    """
    name = f"{label(id)}: {ITEMS[id].title}" if id in ITEMS else title or label(id)
    return HTML(
        f'<p class="unavailable" id="{for_html(id)}"><strong>{for_html(name)}</strong> '
        f"is not available in this run: {for_html(reason)}</p>"
    )


def label(id: str) -> str:
    """`table_07a` -> `Table 7A`, `figure_04` -> `Figure 4`; names of our own keep their words."""
    kind, _, number = id.partition("_")
    if kind in ("table", "figure") and number:
        return f"{kind.capitalize()} {number.lstrip('0').upper()}"
    return id.removeprefix("extra_").replace("_", " ").capitalize()


def findings(*lines: Line | Iterable[Line]) -> Any:
    """Write what a notebook found as bullets.

    Parameters
    ----------
    *lines : str, Unavailable, tuple, or an iterable of these
        A sentence is Markdown; what others wrote stands in it `escaped` (core.text). A tuple is a template and a Result
        or a mapping whose facts fill its braces and are escaped here.

    Returns
    -------
    IPython.display.Markdown
        One bullet a line. What is unavailable is left out, unless nothing else is left: then the reasons are shown.
    """
    written: list[str] = []
    reasons: dict[str, None] = {}
    for line in _flat(lines):
        text = _written(line)
        if isinstance(text, Unavailable):
            reasons.setdefault(text.reason)
        else:
            written.append(text)
    return Markdown(
        "\n".join(f"- {text}" for text in written or [f"Not available: {escaped(reason)}." for reason in reasons])
    )


def _flat(lines: Iterable[Any]) -> Iterator[Line]:
    for line in lines:
        if isinstance(line, str | Unavailable | tuple):
            yield line
        else:
            yield from _flat(line)


def _written(line: Line) -> str | Unavailable:
    if not isinstance(line, tuple):
        return line
    template, given = line
    if isinstance(given, Unavailable):
        return given
    return filled(template, given.facts if isinstance(given, Result) else given)
