"""What others wrote (labels, sites, file names, patients, notes, messages) on its way into a page or a terminal.

Sentences of the kit are Markdown; everything else goes into them through `escaped` or `filled`, into HTML through
`for_html`, and to a terminal through `visible`, so that it shows as it was written and does nothing.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping
from numbers import Number
from string import Formatter
from typing import Any

_MARK = "\N{REPLACEMENT CHARACTER}"
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Format characters that words of some scripts need."""


def visible(value: Any, *, lines: bool = False) -> str:
    """Write a text so that nothing of it acts unseen.

    Parameters
    ----------
    value : object
        Anything that has a text.
    lines : bool
        Keep its lines; else it becomes one line.

    Returns
    -------
    str
        Control characters, marks that turn the direction of writing, and halves of characters (a file name that is not
        UTF-8) are replaced by U+FFFD.
    """
    text = str(value)
    if lines:
        return "\n".join(visible(line) if line.strip() else "" for line in text.split("\n"))
    return "".join(map(_shown, re.sub(r"[\t\r\n\f\v]+", " ", text)))


def _shown(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    return _MARK if hidden and character not in _JOINERS else character


def for_html(value: Any) -> str:
    """Escape a text for HTML, in elements and in quoted attributes.

    Parameters
    ----------
    value : object
        Anything that has a text.

    Returns
    -------
    str
        One line.
    """
    return html.escape(visible(value))


def escaped(value: Any) -> str:
    """Escape a text for a sentence in Markdown, and so for HTML.

    Parameters
    ----------
    value : object
        Anything that has a text.

    Returns
    -------
    str
        One line in which all but letters, digits, blanks and commas are numeric character references: Markdown, HTML
        and MathJax give these no meaning, and readers see the character.
    """
    line = " ".join(visible(value).split())
    return "".join(c if c.isalnum() or c in " ," else f"&#{ord(c)};" for c in line)


class _Filling(Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        written = str(super().format_field(value, format_spec))
        return written if isinstance(value, Number) else escaped(written)


def filled(template: str, facts: Mapping[str, Any]) -> str:
    """Fill the braces of a sentence in Markdown.

    Parameters
    ----------
    template : str
        The kit's own words.
    facts : mapping
        What the braces name. Numbers are written as the template says, everything else is `escaped`; a brace in a fact
        is a character like any other.

    Returns
    -------
    str
        Markdown.
    """
    return _Filling().vformat(template, (), facts)
