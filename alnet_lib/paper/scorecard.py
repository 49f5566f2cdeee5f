"""Published, recomputed and reproduced numbers side by side, with a verdict that is computed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import KINDS
from alnet_lib.paper.audit import recomputed
from alnet_lib.paper.printed import decimals, record
from alnet_lib.paper.rules.counts import TWINS
from alnet_lib.paper.values import Result

VERDICTS = ("agrees", "differs", "unavailable")


NOTES = {
    "synthetic": "synthetic cells: a difference is no evidence about the paper",
    "public": "another cohort than the paper's: a difference is no evidence about the paper",
    "private": "a difference is evidence about the paper only where this is the paper's own cohort",
}


_WHY_NOT = {
    "other": "a number of another study",
    "protocol": "a setting, not a measurement: see the profile and the register of open points",
}


COLUMNS = (
    "id", "place", "row", "column", "about", "unit", "published", "recomputed", "reproduced", "ci_low", "ci_high",
    "verdict", "difference", "note",
)  # fmt: skip


class Verdict(NamedTuple):
    """The verdict on one number.

    Attributes
    ----------
    verdict : str
        One of VERDICTS.
    difference : float or None
        Reproduced minus published; None where unavailable.
    why : str
        In words.
    """

    verdict: str
    difference: float | None
    why: str


def compare(id: str, reproduced: float | None, ci_low: float | None = None, ci_high: float | None = None) -> Verdict:
    """The verdict on one number.

    With a 95% interval it agrees where the printed value, as far as its rounding reaches, is inside; without one where
    both are equal at the printed decimals.

    Parameters
    ----------
    id : str
        Of `record`.
    reproduced, ci_low, ci_high : float or None
        In the unit of the record; None or NaN is missing.

    Returns
    -------
    Verdict
        `unavailable` where `reproduced` is missing.

    Raises
    ------
    KeyError
        The paper printed nothing by that id.
    ValueError
        The interval is upside down.
    """
    places, printed = decimals(id), float(record().loc[id, "value"])
    if reproduced is None or _missing(reproduced):
        return Verdict("unavailable", None, "this run measured no such number")
    difference, half = reproduced - printed, 0.5 * 10.0**-places
    if ci_low is None or ci_high is None or _missing(ci_low) or _missing(ci_high):
        inside = abs(difference) <= half + 1e-9
        against = "at the printed decimals"
    elif ci_low > ci_high:
        raise ValueError(f"{id}: the interval {ci_low} to {ci_high} is upside down")
    else:
        inside = ci_low - half - 1e-9 <= printed <= ci_high + half + 1e-9
        against = f"95% interval {ci_low:.4g} to {ci_high:.4g}"
    if inside:
        return Verdict(
            "agrees",
            difference,
            f"printed {printed:g} is inside the {against}" if "95%" in against else f"equal {against}",
        )
    return Verdict("differs", difference, f"differs by {difference:+.{max(places, 1)}f}; {against}")


def _missing(number: float | None) -> bool:
    return number is None or not math.isfinite(number)


def scorecard(items: Iterable[Mapping[str, Any]], kind: str) -> pd.DataFrame:
    """A row for every printed number.

    Parameters
    ----------
    items : iterable of mapping
        The items of results.json; values are matched by key and record id, and a number that the paper prints in
        several places is matched by any of them.
    kind : str
        The cohort's: `synthetic`, `public` or `private`.

    Returns
    -------
    DataFrame
        Columns COLUMNS: published, recomputed (from the other printed numbers), reproduced with its 95% interval,
        verdict (agrees, differs, unavailable), difference (reproduced minus published), note (why unavailable; what a
        difference on such a cohort means). Numbers are NaN where there is none.

    Raises
    ------
    ValueError
        An unknown kind of cohort.
    """
    if kind not in KINDS:
        raise ValueError(f"cohort kind {kind!r}: it is one of {', '.join(KINDS)}")
    items, known, follows = list(items), record(), recomputed()
    values = _values(items)
    same = _same(known)
    anywhere: dict[str, Mapping[str, Any]] = {}
    for key, value in values.items():
        anywhere.setdefault(same.get(key, key), value)
    status = {item["id"]: item for item in items}
    rows = []
    for id, line in known.iterrows():
        value = values.get(id) or anywhere.get(same[id]) or {}
        verdict = compare(id, *(value.get(name) for name in ("reproduced", "ci_low", "ci_high")))
        if verdict.verdict == "unavailable":
            note = _why_not(id, line["about"], status)
        else:
            note = "; ".join(
                [verdict.why, NOTES[kind], *(["times depend on the machine"] if line["about"] == "time" else [])]
            )
        rows.append(
            {"id": id, **line[["place", "row", "column", "about", "unit"]], "published": line["value"],
             "recomputed": follows.get(id), "verdict": verdict.verdict, "difference": verdict.difference, "note": note,
             **{name: value.get(name) for name in ("reproduced", "ci_low", "ci_high")}}
        )  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    floats = ["published", "recomputed", "reproduced", "ci_low", "ci_high", "difference"]
    return frame.astype(dict.fromkeys(floats, float))


def readable(card: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The scorecard as a narrow table.

    Parameters
    ----------
    card : DataFrame
        Of `scorecard`.
    kind : str
        The cohort's; unless it is private the verdict says that a difference is no evidence.

    Returns
    -------
    DataFrame
        Columns `printed number`, `unit`, `published`, `recomputed`, `reproduced (95% interval)`, `verdict`.
    """
    numbers = card["place"] + ": " + card["row"].str.cat(card["column"], sep=", ").str.replace("_", " ")
    ends = card[["ci_low", "ci_high"]].itertuples(index=False)
    interval = pd.Series(["" if _missing(low) else f" ({low:.4g} to {high:.4g})" for low, high in ends], card.index)
    reproduced = card["reproduced"].map(lambda x: "" if _missing(x) else f"{x:,.4g}")
    aside = {"synthetic": " (synthetic: no evidence)", "public": " (other patients: no evidence)", "private": ""}[kind]
    verdicts = [
        f"differs by {line.difference:+.3g}{aside}"
        if line.verdict == "differs"
        else f"unavailable: {line.note}"
        if line.verdict == "unavailable"
        else line.verdict
        for line in card.itertuples()
    ]
    return pd.DataFrame(
        {
            "printed number": numbers.str.strip(": ,"), "unit": card["unit"], "published": card["published"],
            "recomputed": card["recomputed"].round(2), "reproduced (95% interval)": reproduced + interval,
            "verdict": verdicts,
        }
    )  # fmt: skip


def main_numbers(card: pd.DataFrame) -> Result | Unavailable:
    """The rates and accuracies of a scorecard that this run measured.

    Parameters
    ----------
    card : DataFrame
        Of `scorecard`.

    Returns
    -------
    Result or Unavailable
        The rows of `card` in %, with a `label`; unavailable where none was measured.
    """
    named = card["id"].str.match(r"text\.(module_.*accuracy|table_0|external\.module|roc\.auc)|table_08\.sens")
    main = card[named & card["unit"].eq("%") & card["reproduced"].notna()]
    if not len(main):
        return Unavailable("no main number was measured")
    return Result(main.assign(label=main["id"].str.replace("text.", "", regex=False)))


def _values(items: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for item in items:
        for value in item.get("values", ()):
            if not _missing(value.get("reproduced")):
                found.setdefault(value["key"], value)
    return found


def _same(known: pd.DataFrame) -> dict[str, str]:
    """Every id -> the id that gives its quantity in full."""
    towards = {id: other for id, other in {**known["same_as"], **TWINS}.items() if other}

    def follow(id: str) -> str:
        while id in towards:
            id = towards[id]
        return id

    return {id: follow(id) for id in known.index}


def _why_not(id: str, about: str, status: Mapping[str, Mapping[str, Any]]) -> str:
    if about in _WHY_NOT:
        return _WHY_NOT[about]
    item = status.get(id.partition(".")[0], {})
    return item.get("reason") or "this run measured no such number"


def coverage(card: pd.DataFrame) -> dict[str, int]:
    """How many of the printed numbers a run covers.

    Parameters
    ----------
    card : DataFrame
        Of `scorecard`.

    Returns
    -------
    dict
        `printed`, `measurable` (results, counts and times of the paper itself), `recomputed`, `reproduced`, `agrees`,
        `differs`, `unavailable`.
    """
    verdicts = card["verdict"].value_counts()
    return {
        "printed": len(card),
        "measurable": int((~card["about"].isin(list(_WHY_NOT))).sum()),
        "recomputed": int(card["recomputed"].notna().sum()),
        "reproduced": int(card["reproduced"].notna().sum()),
        **{verdict: int(verdicts.get(verdict, 0)) for verdict in VERDICTS},
    }
