"""Published, recomputed and reproduced numbers side by side, with a verdict that is computed.

A verdict says what a number of a run tells about the number that the paper printed:

- `agrees`: on a private cohort, the printed value (as far as its rounding reaches) lies in a 95% interval over patients
  that is at most WIDEST wide; or a count of the cohort is the printed one.
- `differs`: on a private cohort, the interval, however wide, leaves the printed value out; or a count is another one.
- `by design`: a count or share of the composition (the record's `about` is `cohort`) on the synthetic cohort, which is
  built from the printed composition at the profile's share, so that the number could not have come out otherwise.
- `uninformative`: measured, but no evidence about the printed value: the cohort is not the paper's (synthetic, public);
  the printed value is inside an interval wider than WIDEST, which would agree with almost anything; no interval can be
  given, e.g. because fewer than five patients stand behind the number; or it is a time, which the machine decides.
- `unavailable`: a run could measure it, this one has not, for the reason given.
- `not measurable`: a setting of the protocol, or another study's number.

Whether the number came out near is another question; the column `near` answers it for every cohort.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from alnet_lib.core.outcomes import Unavailable
from alnet_lib.core.vocabulary import CELL_GROUPS, KINDS
from alnet_lib.paper.audit import recomputed
from alnet_lib.paper.items import ITEMS, NOTEBOOKS
from alnet_lib.paper.printed import places, record
from alnet_lib.paper.rules.counts import TWINS
from alnet_lib.paper.values import Result
from alnet_lib.statistics.intervals import MINIMUM_PATIENTS

VERDICTS = ("agrees", "differs", "by design", "uninformative", "unavailable", "not measurable")

WIDEST = {"%": 20.0, "": 0.2}
"""Unit -> width of the widest 95% interval that may agree: 20 percentage points (10 either way), 0.2 of an AUC. A wider
one holds good and useless systems at once: the accuracies of the paper's four networks are 84.0 to 88.4%."""

NEAR = {
    "inside": "printed value inside the interval",
    "outside": "printed value outside the interval",
    "equal": "equal at the printed decimals",
    "not equal": "not equal at the printed decimals",
}
"""The words of the column `near`; it is empty where nothing was measured."""

OTHER_COHORT = {
    "synthetic": "synthetic cells are no evidence about the paper",
    "public": "other patients than the paper's are no evidence about the paper",
}

BY_DESIGN = "the synthetic cohort is built from the printed composition"

OWN_COHORT = "evidence about the paper only where this is the paper's own cohort"

ABOUT = {
    "cohort": "composition", "result": "results", "time": "times", "protocol": "settings", "other": "other studies",
}  # fmt: skip
"""The record's `about` -> its name for readers."""

_WHY_NOT = {"other": "a number of another study", "protocol": "a setting, see the profile and the open points"}

_BASELINES = ("Table 11", "Table 12")
"""Numbers of another study that a run can measure: its classical classifiers are trained here."""

_FROM_ITEM = (
    "reproduced", "ci_low", "ci_high", "interval", "n_patients", "n_smears", "n_cells", "design_effect",
)  # fmt: skip

COLUMNS = (
    "id", "place", "row", "column", "about", "unit", "published", "recomputed", *_FROM_ITEM, "verdict", "near",
    "difference", "note",
)  # fmt: skip
_TEXTS = {"id", "place", "row", "column", "about", "unit", "interval", "verdict", "near", "note"}


class Verdict(NamedTuple):
    """The verdict on one number.

    Attributes
    ----------
    verdict : str
        One of VERDICTS.
    near : str
        Of NEAR; empty where nothing was measured.
    difference : float or None
        Reproduced minus published; None where nothing was measured.
    why : str
        In words.
    """

    verdict: str
    near: str
    difference: float | None
    why: str


def compare(
    id: str,
    reproduced: float | None,
    ci_low: float | None = None,
    ci_high: float | None = None,
    *,
    kind: str,
    n_patients: int | None = None,
) -> Verdict:
    """The verdict on one number; the module says what each means.

    Parameters
    ----------
    id : str
        Of `record`.
    reproduced, ci_low, ci_high : float or None
        In the unit of the record; None or NaN is missing.
    kind : str
        The cohort's: `synthetic`, `public` or `private`.
    n_patients : int, optional
        Who stands behind the number.

    Returns
    -------
    Verdict
        `unavailable` where `reproduced` is missing.

    Raises
    ------
    KeyError
        The paper printed nothing by that id.
    ValueError
        The interval is upside down, or an unknown kind of cohort.
    """
    _known(kind)
    return _compared({"id": id, **record().loc[id]}, reproduced, ci_low, ci_high, kind, n_patients)


def _compared(
    line: Mapping[str, Any],
    reproduced: float | None,
    ci_low: float | None,
    ci_high: float | None,
    kind: str,
    n_patients: int | None,
) -> Verdict:
    if reproduced is None or _missing(reproduced):
        return Verdict("unavailable", "", None, "this run measured no such number")
    printed, half = float(line["value"]), 0.5 * 10.0 ** -places(line["printed"])
    difference = reproduced - printed
    width = None
    if ci_low is None or ci_high is None or _missing(ci_low) or _missing(ci_high):
        near = "equal" if abs(difference) <= half + 1e-9 else "not equal"
    elif ci_low > ci_high:
        raise ValueError(f"{line['id']}: the interval {ci_low} to {ci_high} is upside down")
    else:
        width = ci_high - ci_low
        near = "inside" if ci_low - half - 1e-9 <= printed <= ci_high + half + 1e-9 else "outside"
    verdict, why = _judge(near, width, kind, line["unit"], line["about"], n_patients)
    return Verdict(verdict, near, difference, why)


def _judge(near: str, width: float | None, kind: str, unit: str, about: str, n_patients: int | None) -> tuple[str, str]:
    """Verdict and reason, the strongest reason first."""
    if kind == "synthetic" and about == "cohort":
        return "by design", BY_DESIGN
    if kind in OTHER_COHORT:
        return "uninformative", OTHER_COHORT[kind]
    if about == "time":
        return "uninformative", "a time depends on the machine"
    if width is None and about != "cohort":
        few = n_patients is not None and n_patients < MINIMUM_PATIENTS
        return "uninformative", f"{n_patients} patients: too few for an interval" if few else "no interval"
    if width is not None and near == "inside" and width > WIDEST.get(unit, math.inf):
        return "uninformative", f"the interval is {width:.3g} wide, more than {WIDEST[unit]:g}"
    return ("agrees" if near in ("inside", "equal") else "differs"), OWN_COHORT


def _missing(number: float | None) -> bool:
    return number is None or not math.isfinite(number)


def _known(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"cohort kind {kind!r}: it is one of {', '.join(KINDS)}")


def scorecard(items: Iterable[Mapping[str, Any]], kind: str) -> pd.DataFrame:
    """A row for every printed number.

    Parameters
    ----------
    items : iterable of mapping
        The items of results.json; values are matched by key and record id, and a number that the paper prints in
        several places is matched by any of them. A paper's item that is not among them has not been made yet.
    kind : str
        The cohort's: `synthetic`, `public` or `private`.

    Returns
    -------
    DataFrame
        Columns COLUMNS: published, recomputed (from the other printed numbers), reproduced with its 95% interval, how
        the interval was made (`interval`), who stands behind it, verdict (VERDICTS), `near` (NEAR), difference
        (reproduced minus published), note (why the verdict is what it is). Numbers are NaN where there is none.

    Raises
    ------
    ValueError
        An unknown kind of cohort.
    """
    _known(kind)
    items, known, follows = list(items), record(), recomputed()
    values = _values(items)
    same = _same(known)
    anywhere: dict[str, Mapping[str, Any]] = {}
    for key, value in values.items():
        anywhere.setdefault(same.get(key, key), value)
    status = {item["id"]: item for item in items}
    rows = []
    lines = {line["id"]: line for line in known.reset_index().to_dict("records")}
    for id, line in lines.items():
        value = values.get(id) or anywhere.get(same[id]) or {}
        number, low, high, patients = (value.get(name) for name in ("reproduced", "ci_low", "ci_high", "n_patients"))
        verdict = _compared(line, number, low, high, kind, patients)
        if verdict.verdict == "unavailable":
            verdict = _absent(line, lines[same[id]], status)
        rows.append(
            {**line, "published": line["value"], "recomputed": follows.get(id),
             **{name: value.get(name) for name in _FROM_ITEM},
             "verdict": verdict.verdict, "near": verdict.near, "difference": verdict.difference, "note": verdict.why}
        )  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["interval"] = frame["interval"].fillna("")
    return frame.astype(dict.fromkeys((name for name in COLUMNS if name not in _TEXTS), float))


def _absent(line: Mapping, twin: Mapping, status: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """The verdict on a number that was not measured; `twin` is the line that gives its quantity in full."""
    about = line["about"]
    if about in _WHY_NOT and not {line["place"], twin["place"]} & set(_BASELINES):
        return Verdict("not measurable", "", None, _WHY_NOT[about])
    # `table_09b.AML.ALL` and `text.table_09b.accuracy` are both of Table 9B.
    named = [part for name in (line["id"], twin["id"]) for part in name.split(".") if part in ITEMS]
    reasons = [status[item]["reason"] for item in named if item in status and status[item].get("reason")]
    # The last notebook makes the scorecard, so its own items may come after it.
    waiting = sorted({ITEMS[item].notebook for item in (named or ITEMS) if item not in status} - {NOTEBOOKS[-1]})
    if not reasons and waiting:
        return Verdict("unavailable", "", None, f"not run yet: {', '.join(waiting)}")
    return Verdict("unavailable", "", None, reasons[0] if reasons else "this run measured no such number")


def above_most_frequent(card: pd.DataFrame) -> Result | Unavailable:
    """Which networks of Table 3 classify the testing cells better than always naming the most frequent class.

    Parameters
    ----------
    card : DataFrame
        Of `scorecard`.

    Returns
    -------
    Result or Unavailable
        Index `network`; columns `testing` (accuracy, %), `low`, `high`, `above` (the interval lies above the share of
        the most frequent class; never without one). Facts: `above`, `networks`, `share` (%), and `unjudged`, which says
        how many have no interval. Unavailable without Table 3 or without the testing cells of Table 6.
    """
    known = card.set_index("id")["reproduced"]
    cells = known[[f"table_06.{name}.testing" for name in CELL_GROUPS]]
    rows = card[card["id"].str.fullmatch(r"table_03\.hold_out\.\w+\.testing") & card["reproduced"].notna()]
    if not len(rows) or not cells.sum() > 0:
        return Unavailable("no whole network of Table 3 was judged on the testing cells")
    share = 100 * float(cells.max() / cells.sum())
    networks = pd.Index(rows["row"].str.partition(".")[2], name="network")
    frame = pd.DataFrame({"testing": rows["reproduced"], "low": rows["ci_low"], "high": rows["ci_high"]})
    frame = frame.set_index(networks)
    frame["above"] = frame["low"] > share
    without = int(frame["low"].isna().sum())
    said = f" {without} of them cannot be judged: no interval can be given." if without else ""
    facts = {"above": int(frame["above"].sum()), "networks": len(frame), "share": share, "unjudged": said}
    return Result(frame, facts=facts)


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


def coverage(card: pd.DataFrame) -> dict[str, int]:
    """How many of the printed numbers have which verdict.

    Parameters
    ----------
    card : DataFrame
        Of `scorecard`.

    Returns
    -------
    dict
        A key for each of VERDICTS, underscores for spaces; together they are `printed`. `measurable` (all but the not
        measurable), `recomputed`, `reproduced`; `with_interval`, and `inside` and `outside` among them (where the
        printed value lies).
    """
    verdicts, near = card["verdict"].value_counts(), card["near"].value_counts()
    counts = {verdict.replace(" ", "_"): int(verdicts.get(verdict, 0)) for verdict in VERDICTS}
    inside, outside = (int(near.get(word, 0)) for word in ("inside", "outside"))
    return {
        "printed": len(card),
        "measurable": len(card) - counts["not_measurable"],
        "recomputed": int(card["recomputed"].notna().sum()),
        "reproduced": int(card["reproduced"].notna().sum()),
        "with_interval": inside + outside,
        "inside": inside,
        "outside": outside,
        **counts,
    }


def by_verdict(card: pd.DataFrame) -> pd.DataFrame:
    """Counts of the printed numbers by verdict and by what they are about.

    Parameters
    ----------
    card : DataFrame
        Of `scorecard`.

    Returns
    -------
    DataFrame
        Index VERDICTS and `together`; columns `composition`, `results`, `times`, `settings`, `other studies`,
        `together`.
    """
    frame = pd.crosstab(card["verdict"], card["about"]).reindex(index=list(VERDICTS), columns=list(ABOUT), fill_value=0)
    frame = frame.rename(columns=ABOUT).rename_axis(index="verdict", columns=None)
    frame["together"] = frame.sum(axis=1)
    frame.loc["together"] = frame.sum()
    return frame
