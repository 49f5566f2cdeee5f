"""Tables as tables: captioned, with header cells that say what they head, escaped; never pictures."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.text import for_html
from alnet_lib.paper.values import Result


def text(value: Any) -> str:
    """Write a table cell's text.

    Parameters
    ----------
    value : object
        A number, bool, string or a missing value.

    Returns
    -------
    str
        Numbers with thousands separators and at most four digits after them; nothing for what is missing.
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        if math.isnan(value):
            return ""
        number = float(value)
        whole = number.is_integer() and abs(number) < 1e15
        return f"{number:,.0f}" if whole or 1000 <= abs(number) < 1e15 else f"{number:.4g}"
    return str(value)


def html_table(
    frame: pd.DataFrame | Result | Unavailable,
    *,
    caption: str,
    id: str = "",
    index: bool = True,
    digits: int | None = None,
) -> str:
    """Write an HTML table with caption, `scope` on header cells and numbers aligned; sortable in the report.

    Parameters
    ----------
    frame : DataFrame, Result or Unavailable
        Columns and index may be MultiIndex (joined by a comma); names lose their underscores. A missing number, e.g.
        the end of an interval that cannot be given, is an empty cell. Of an Unavailable the reason is shown.
    caption : str
        May name the facts of a Result in braces.
    id : str
        Anchor.
    index : bool
        Whether the index is shown as row headers.
    digits : int, optional
        Decimals shown.

    Returns
    -------
    str
        HTML, names and texts escaped.
    """
    if isinstance(frame, Unavailable):
        return f'<p class="unavailable">Not available: {for_html(frame.reason)}</p>'
    caption = _captioned(frame, caption)
    frame = frame.frame if isinstance(frame, Result) else frame
    frame = frame if digits is None else frame.round(digits)
    anchor = f' id="{for_html(id)}"' if id else ""
    parts = [f'<table class="data"{anchor}><caption>{for_html(caption)}</caption><thead><tr>']
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes]
    names = [*(_index_names(frame.index) if index else []), *(_joined(column) for column in frame.columns)]
    aligned = [False] * (len(names) - len(numeric)) + numeric
    parts += [
        f'<th scope="col"{_NUMBER * is_number}>{for_html(name.replace("_", " "))}</th>' if name else "<td></td>"
        for name, is_number in zip(names, aligned, strict=True)
    ]
    rows, first = [], []
    for label, row in zip(frame.index, frame.itertuples(index=False), strict=True):
        levels = (label if isinstance(label, tuple) else (label,)) if index else ()
        heads = map(text, levels)
        cells = [f'<th scope="row">{for_html(head)}</th>' if head else "<td></td>" for head in heads]
        cells += [
            f"<td{_NUMBER * (is_number or _is_number(value))}>{_breakable(text(value))}</td>"
            for value, is_number in zip(row, numeric, strict=True)
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
        first.append(text(next(iter((*levels, *row)), "")))
    end = _total(first)
    foot = f"<tfoot>{''.join(rows[end:])}</tfoot>" if rows[end:] else ""
    return "".join([*parts, "</tr></thead><tbody>", *rows[:end], "</tbody>", foot, "</table>"])


_NUMBER = ' class="number"'
_TOTALS = ("total", "together")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _total(names: list[str]) -> int:
    """Where the foot of a table begins: at its total, which one row (of what has no label) may follow."""
    ends = range(max(len(names) - 2, 1), len(names))
    return next((row for row in ends if names[row].lower() in _TOTALS), len(names))


def _breakable(words: str) -> str:
    # Long names of values and files may wrap, or they would press the prose beside them into a tower.
    escaped = for_html(words)
    return re.sub(r"\S{21,}", lambda long: re.sub(r"(?<=\w)([._/])(?=\w)", r"\1<wbr>", long[0]), escaped)


def _joined(column: Any) -> str:
    return ", ".join(str(level) for level in column if str(level)) if isinstance(column, tuple) else str(column)


def _index_names(index: pd.Index) -> list[str]:
    return [str(name or "") for name in index.names]


def _captioned(given: Any, caption: str) -> str:
    return caption.format_map(given.facts) if isinstance(given, Result) and given.facts else caption


def show_table(
    frame: pd.DataFrame | Result | Unavailable,
    *,
    caption: str,
    id: str = "",
    index: bool = True,
    digits: int | None = None,
) -> Any:
    """Give what a notebook displays for a table; see `html_table` for the parameters.

    Returns
    -------
    IPython.display.HTML
        The table in a region that scrolls, or the reason why it is unavailable.
    """
    table = html_table(frame, caption=caption, id=id, index=index, digits=digits)
    if isinstance(frame, Unavailable):
        return HTML(table)
    label = for_html(_captioned(frame, caption))
    return HTML(f'<section class="table-scroll" tabindex="0" aria-label="{label}">{table}</section>')
