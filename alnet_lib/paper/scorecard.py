"""Every printed number beside what follows from the others and what a run measured, with a computed verdict."""

from __future__ import annotations

from typing import Any

import pandas as pd

from alnet_lib import paper
from alnet_lib.paper.arithmetic import recomputed

NO_EVIDENCE = "other cohort: a difference is no evidence about the paper"


def verdict(id: str, reproduced: float | None, low: float | None, high: float | None) -> str:
    """`agrees`, `differs by ...` or `unavailable`, for a printed number.

    It agrees when it lies in the 95% interval; without an interval, when both are the same to the printed decimals.
    """
    if reproduced is None or pd.isna(reproduced):
        return "unavailable"
    printed = paper.published(id)
    half = 0.5 * 10 ** -paper.decimals(id)
    inside = abs(reproduced - printed) <= half * 1.000001
    if low is not None and high is not None and not pd.isna(low):
        inside |= low - half <= printed <= high + half
    return "agrees" if inside else f"differs by {reproduced - printed:+.4g}"


def scorecard(items: list[dict[str, Any]], kind: str) -> pd.DataFrame:
    """A row for every printed number: place, unit, published, recomputed, reproduced, ci_low, ci_high, verdict, note.

    Parameters
    ----------
    items: of results.json. kind: the cohort's; only the paper's own images would be evidence about the paper, and no
    cohort of this kit is that.
    """
    measured = {value["key"]: value for item in items for value in item["values"]}
    reasons = {item["id"]: item["reason"] for item in items if item["status"] == "unavailable"}
    rows = []
    for id, line in paper.record().iterrows():
        value = measured.get(id, {})
        result = verdict(id, value.get("reproduced"), value.get("ci_low"), value.get("ci_high"))
        note = NO_EVIDENCE if result.startswith("differs") else ""
        if result == "unavailable":
            note = reasons.get(id.split(".")[0], "not measured by this version of the kit")
        rows.append(
            {
                "id": id,
                "place": line["place"].replace("table_", "Table ").replace("Table 0", "Table "),
                "unit": line["unit"],
                "published": line["value"],
                "recomputed": recomputed().get(id),
                "reproduced": value.get("reproduced"),
                "ci_low": value.get("ci_low"),
                "ci_high": value.get("ci_high"),
                "verdict": result,
                "note": note,
            }
        )
    frame = pd.DataFrame(rows)
    numbers = ["recomputed", "reproduced", "ci_low", "ci_high"]
    frame[numbers] = frame[numbers].astype(float).round(2)
    return frame


def coverage(card: pd.DataFrame) -> dict[str, int]:
    """Of N printed numbers: recomputed, reproduced, agreeing, differing, unavailable."""
    return {
        "printed": len(card),
        "recomputed": int(card["recomputed"].notna().sum()),
        "reproduced": int(card["reproduced"].notna().sum()),
        "agree": int(card["verdict"].eq("agrees").sum()),
        "differ": int(card["verdict"].str.startswith("differs").sum()),
        "unavailable": int(card["verdict"].eq("unavailable").sum()),
    }


def disagreements() -> pd.DataFrame:
    """Printed numbers that do not follow from the others: id, printed, recomputed, difference."""
    rows = []
    for id, value in recomputed().items():
        printed = paper.published(id)
        # Percentages of a confusion matrix are rounded to whole or tenth percents before they get here.
        tolerance = 0.5 * 10 ** -paper.decimals(id) + (0.06 if paper.record().loc[id, "unit"] == "%" else 0)
        if abs(value - printed) > tolerance:
            rows.append((id, paper.record().loc[id, "printed"], value, value - printed))
    frame = pd.DataFrame(rows, columns=["id", "printed", "recomputed", "difference"])
    return frame.round(2)
