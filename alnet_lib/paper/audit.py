"""The audit: every rule over the record, a row for every check, those that agree too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from alnet_lib.paper.printed import record
from alnet_lib.paper.rules import claims, counts, rates, training
from alnet_lib.paper.rules.check import Check, Numbers
from alnet_lib.paper.values import Result

RULES = (*counts.RULES, *rates.RULES, *training.RULES, *claims.RULES)
"""Each takes Numbers and yields its checks."""


COLUMNS = ("rule", "id", "place", "how", "expected", "printed", "difference", "tolerance", "agrees", "severity")


def checks(printed: Mapping[str, str] | None = None) -> Iterator[Check]:
    """The checks of every rule.

    Parameters
    ----------
    printed : mapping, optional
        Id -> number as printed; by default the record's.

    Yields
    ------
    Check
        In the order of RULES.
    """
    numbers = Numbers(record()["printed"] if printed is None else printed)
    for rule in RULES:
        yield from rule(numbers)


def audit(printed: Mapping[str, str] | None = None) -> pd.DataFrame:
    """One row per check of the arithmetic between the printed numbers.

    Parameters
    ----------
    printed : mapping, optional
        Id -> number as printed, with all ids of `record`; by default the record's.

    Returns
    -------
    DataFrame
        Columns `rule` (its kind), `id` (the checked number), `place`, `how` (what must hold), `expected`, `printed`,
        `difference` (printed minus expected), `tolerance` (what rounding allows; for times a share), `agrees` (bool),
        `severity` (typographical, unexplained, affects a conclusion; empty where it agrees). Checks that agree have
        their rows too.
    """
    strings, places = dict(record()["printed"] if printed is None else printed), record()["place"]
    rows = [
        (c.rule, c.id, places[c.id], c.how, c.expected, c.printed, c.difference, c.tolerance, c.agrees,
         c.severity(strings))
        for c in checks(strings)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def findings() -> Result:
    """The checks of the printed numbers that do not hold.

    Returns
    -------
    Result
        Columns `place`, `id`, `how`, `expected`, `printed`, `difference`, `severity`. Facts: `findings`, `checks`,
        `affecting` (findings that affect a conclusion).
    """
    every = audit()
    wrong = every[~every["agrees"]]
    facts = {
        "findings": len(wrong),
        "checks": len(every),
        "affecting": int(wrong["severity"].eq("affects a conclusion").sum()),
    }
    return Result(wrong[["place", "id", "how", "expected", "printed", "difference", "severity"]], facts=facts)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Checks and findings by kind of rule.

    Parameters
    ----------
    found : DataFrame
        Of `audit`.

    Returns
    -------
    DataFrame
        Index `rule`; columns `checks`, `findings`, and the findings by severity. Kinds without findings have a row too.
    """
    kinds = found.groupby("rule", sort=False)
    frame = pd.DataFrame({"checks": kinds.size(), "findings": kinds["agrees"].agg(lambda a: int((~a).sum()))})
    for severity in ("typographical", "unexplained", "affects a conclusion"):
        frame[severity] = kinds["severity"].agg(lambda s, severity=severity: int(s.eq(severity).sum()))
    return frame


def recomputed() -> dict[str, float]:
    """What follows by arithmetic from other printed numbers.

    Returns
    -------
    dict
        Id -> unrounded value. A number that is printed in several places has the recomputed value of the place that
        gives it in full.
    """
    found: dict[str, float] = {}
    for check in checks():
        if check.derives:
            found.setdefault(check.id, check.expected)
    twins = record()["same_as"].to_dict() | counts.TWINS
    for id, other in twins.items():
        if id not in found and other in found:
            found[id] = found[other]
    return found
