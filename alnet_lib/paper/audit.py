"""The audit: every rule over the record, a row for every check, those that agree too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from alnet_lib.paper import rules_claims, rules_counts, rules_rates, rules_training
from alnet_lib.paper.check import Check, Numbers
from alnet_lib.paper.printed import record

RULES = (*rules_counts.RULES, *rules_rates.RULES, *rules_training.RULES, *rules_claims.RULES)
"""Each takes Numbers and yields its checks."""

COLUMNS = ("rule", "id", "place", "how", "expected", "printed", "difference", "tolerance", "agrees", "severity")


def checks(printed: Mapping[str, str] | None = None) -> Iterator[Check]:
    """The checks of every rule. printed: id -> number as printed; without it, the record's."""
    numbers = Numbers(record()["printed"] if printed is None else printed)
    for rule in RULES:
        yield from rule(numbers)


def audit(printed: Mapping[str, str] | None = None) -> pd.DataFrame:
    """One row per check of the arithmetic between the printed numbers.

    Parameters
    ----------
    printed: id -> number as printed, with all ids of `record`; without it, the record's.

    Returns
    -------
    Columns rule (its kind), id (the checked number), place, how (what must hold), expected, printed, difference
    (printed minus expected), tolerance (what rounding allows; for times a share), agrees (bool), severity
    (typographical, unexplained, affects a conclusion; empty where it agrees). Rules that find nothing have their rows
    too.
    """
    strings, places = dict(record()["printed"] if printed is None else printed), record()["place"]
    rows = [
        (
            c.rule,
            c.id,
            places[c.id],
            c.how,
            c.expected,
            c.printed,
            c.difference,
            c.tolerance,
            c.agrees,
            c.severity(strings),
        )
        for c in checks(strings)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Checks and findings of each kind of rule, findings by severity; kinds that find nothing have a row as well."""
    kinds = found.groupby("rule", sort=False)
    frame = pd.DataFrame({"checks": kinds.size(), "findings": kinds["agrees"].agg(lambda a: int((~a).sum()))})
    for severity in ("typographical", "unexplained", "affects a conclusion"):
        frame[severity] = kinds["severity"].agg(lambda s, severity=severity: int(s.eq(severity).sum()))
    return frame


def recomputed() -> dict[str, float]:
    """What follows by arithmetic from other printed numbers, by id and unrounded.

    A number that is printed in several places has the recomputed value of the place that gives it in full.
    """
    found: dict[str, float] = {}
    for check in checks():
        if check.derives:
            found.setdefault(check.id, check.expected)
    twins = record()["same_as"].to_dict() | rules_counts.TWINS
    for id, other in twins.items():
        if id not in found and other in found:
            found[id] = found[other]
    return found
