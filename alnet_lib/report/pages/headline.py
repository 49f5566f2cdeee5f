"""The headline numbers of a run: beside what was printed, in three sentences, and as a forest plot."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alnet_lib.paper import coverage, findings, measured, record
from alnet_lib.paper.scorecard import WIDEST
from alnet_lib.report.pages.item import anchor

if TYPE_CHECKING:
    import pandas as pd

HEADLINES = {
    "text.module_1.accuracy": "Module 1, accuracy, testing cells",
    "text.module_2.accuracy": "Module 2, accuracy, testing cells",
    "text.table_09a.accuracy": "Module 1, accuracy, testing smears",
    "text.table_09b.accuracy": "Module 2, accuracy, testing smears",
    "end_to_end.accuracy": "Both modules, accuracy, testing smears",
    "text.roc.auc": "Module 1, average AUC, training smears",
    "roc.auc.macro": "Module 1, macro-averaged AUC, training smears",
    "roc.auc.micro": "Module 1, micro-averaged AUC, training smears",
    "text.external.module_1.accuracy": "Module 1, blasts, external patients",
    "text.external.module_2.myeloid_blast": "Module 2, myeloid blasts, external patients",
    "text.external.module_2.b_lymphoblast": "Module 2, B-lymphoblasts, external patients",
    "text.external.smears_module_1": "Module 1, smears, external patients",
}
"""Key of a value -> its name; on the first page in this order, and only those that were printed or measured."""

_UNITS = {"%": 1.0, "": 100.0}
"""Unit -> what makes a per cent of it: AUCs stand on the same axis."""

_LEFT, _WIDTH, _ROW, _TOP = 300.0, 330.0, 26.0, 34.0
"""Of the plot: where its axis begins, how long it is, the height of a row, and of what stands above the rows."""


@dataclass(frozen=True)
class Headline:
    """A headline number.

    Attributes
    ----------
    name : str
        In words.
    link : str
        Address of its item on a page of the report, empty where there is none.
    unit : str
        `%` or nothing.
    published : str
        As printed; empty where it was not.
    near : str
        Where the printed value lies, of `paper.scorecard`.
    reproduced, low, high, patients : float
        NaN where there is none.
    """

    name: str
    link: str
    unit: str
    published: str
    near: str
    reproduced: float
    low: float
    high: float
    patients: float

    @property
    def state(self) -> str:
        """`inside`, `wide` (inside of an interval that would agree with almost anything), `outside`, or `unjudged`."""
        if self.near != "inside":
            return "outside" if self.near == "outside" else "unjudged"
        return "wide" if self.high - self.low > WIDEST.get(self.unit, math.inf) else "inside"

    @property
    def said(self) -> str:
        """What was measured, with interval and patients; empty where nothing was."""
        value = {"reproduced": self.reproduced, "ci_low": self.low, "ci_high": self.high, "n_patients": self.patients}
        return measured(value | {"unit": self.unit})


def headlines(items: Iterable[Mapping[str, Any]], card: pd.DataFrame, pages: Iterable[str]) -> list[Headline]:
    """Gather the headline numbers.

    Parameters
    ----------
    items : iterable of mapping
        The items of results.json.
    card : DataFrame
        Of `paper.scorecard`, index `id`.
    pages : iterable of str
        Files of the report that links may lead to.

    Returns
    -------
    list of Headline
        In the order of HEADLINES.
    """
    there, printed = set(pages), record()["printed"]
    values = {value["key"]: (item, value) for item in items for value in item["values"]}
    rows = []
    for key, name in HEADLINES.items():
        item, value = values.get(key, ({}, {}))
        numbers: Mapping[str, Any] = card.loc[key] if key in card.index else value
        if not len(numbers):
            continue
        link = _link(key, item, card, there)
        published = printed.get(key, "").rstrip("*+")
        made = (_number(numbers.get(part)) for part in ("reproduced", "ci_low", "ci_high", "n_patients"))
        rows.append(Headline(name, link, numbers["unit"], published, numbers.get("near", ""), *made))
    return rows


def _link(key: str, item: Mapping[str, Any], card: pd.DataFrame, pages: set[str]) -> str:
    """Its own row on the page of its table or figure, where the paper printed it; else the item in its notebook."""
    own, made = f"{item.get('id')}.html", f"{item.get('notebook')}.html"
    if own in pages and key in card.index:
        return f"{own}#{anchor(key)}"
    return f"{made}#{item['id']}" if made in pages else ""


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


_OF = {
    "synthetic": "on cells drawn by a program",
    "public": "on patients other than the paper's",
    "private": "on this cohort",
}

_LIMITS = {
    "synthetic": "The cells are drawn by a program, so no number of this run says anything about patients, nor for or "
    "against the paper.",
    "public": "The patients are not the paper's, so a number of this run that differs does not contradict the paper, "
    "and one that comes out as printed does not confirm it.",
    "private": "A verdict holds only where this is the paper's own cohort.",
}


def three_sentences(rows: list[Headline], card: pd.DataFrame, kind: str) -> list[tuple[str, str]]:
    """Say what holds, what does not, and what cannot be said.

    Parameters
    ----------
    rows : list of Headline
        Of `headlines`.
    card : DataFrame
        Of `paper.scorecard`.
    kind : str
        The cohort's.

    Returns
    -------
    list of (str, str)
        Beginning and rest of each, plain text.
    """
    counts, audit = coverage(card), findings().facts
    by = {state: [row for row in rows if row.state == state] for state in ("inside", "wide", "outside")}
    judged = len(by["inside"]) + len(by["outside"]) + len(by["wide"])
    wrong, checks = audit["findings"], audit["checks"]
    holds = f"{checks - wrong} of {checks} checks of the paper's own numbers hold. "
    fails = f"{wrong} of {checks} checks of the paper's own numbers do not hold, {audit['affecting']} of which affect "
    fails += "a conclusion. "
    if judged:
        holds += f"Of {judged} headline numbers with an interval, {_counted(by['inside'])} the printed value within it "
        holds += _OF[kind]
        fails += f"Of the {judged} headline numbers, {_counted(by['outside'])} the printed value outside the interval "
        fails += _OF[kind]
        holds, fails = _ended(holds, by["inside"]), _ended(fails, by["outside"])
    if kind == "private":
        holds += f" Of all printed numbers {counts['agrees']} agree."
        fails += f" Of all printed numbers {counts['differs']} differ."
    limits = _LIMITS[kind]
    if by["wide"]:
        limits += f" {len(by['wide'])} of these headline numbers {_have(by['wide'])} an interval too wide to tell"
        limits = _ended(limits, by["wide"])
    unjudged = [row for row in rows if row.state == "unjudged" and row.published]
    if unjudged:
        limits += f" {len(unjudged)} {_have(unjudged)} no interval or {'was' if len(unjudged) == 1 else 'were'} not "
        limits += f"measured: {', '.join(map(_lower, unjudged))}."
    limits += f" Of the {counts['measurable']} printed numbers that a run can measure, this one gives "
    limits += f"{counts['reproduced']}."
    return [("What holds.", holds.strip()), ("What does not.", fails.strip()), ("What cannot be said.", limits)]


def _counted(rows: list[Headline]) -> str:
    return f"{len(rows) or 'none'} {'has' if len(rows) < 2 else 'have'}"


def _have(rows: list[Headline]) -> str:
    return "has" if len(rows) == 1 else "have"


def _ended(sentence: str, rows: list[Headline]) -> str:
    """The sentence with at most two of its numbers."""
    some = [f"{_lower(row)}, {row.said} against {row.published}{row.unit}" for row in rows[:2]]
    return sentence + (f": {'; '.join(some)}{'; and others' if len(rows) > 2 else ''}." if some else ".")


def _lower(row: Headline) -> str:
    return row.name[0].lower() + row.name[1:]


def forest(rows: list[Headline]) -> dict[str, Any]:
    """Lay out a forest plot.

    Parameters
    ----------
    rows : list of Headline
        From top to bottom.

    Returns
    -------
    dict
        `height`, `bottom`, `ticks` and `rows`, in the units of the plot, for the template `forest.html.j2`; what is
        not there is None.
    """

    def x(row: Headline, number: float) -> float | None:
        per_cent = number * _UNITS.get(row.unit, 1.0)
        return round(_LEFT + _WIDTH * min(max(per_cent, 0.0), 100.0) / 100, 1) if math.isfinite(number) else None

    bottom = _TOP + _ROW * len(rows)
    return {
        "height": bottom + 40,
        "bottom": bottom,
        "ticks": [(tick, _LEFT + _WIDTH * tick / 100) for tick in (0, 25, 50, 75, 100)],
        "rows": [
            {
                "row": row, "y": _TOP + _ROW * (position + 0.5), "printed": x(row, float(row.published or "nan")),
                "here": x(row, row.reproduced), "low": x(row, row.low), "high": x(row, row.high),
            }
            for position, row in enumerate(rows)
        ],
    }  # fmt: skip
