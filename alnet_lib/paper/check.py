"""What a rule of the audit yields: one check, with what must hold, what is printed and how far rounding reaches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from alnet_lib.paper.printed import number, places

SEVERITIES = ("typographical", "unexplained", "affects a conclusion")
_ROUNDING = 1e-9


class Numbers:
    """The printed strings by id, read as numbers; planted errors go in here."""

    def __init__(self, printed: Mapping[str, str]) -> None:
        self.printed = dict(printed)
        self._values = {id: number(text) for id, text in self.printed.items()}

    def __getitem__(self, id: str) -> float:
        return self._values[id]

    def __contains__(self, id: str) -> bool:
        return id in self._values

    def total(self, ids: Iterable[str]) -> float:
        """The sum of printed numbers."""
        return sum(self[id] for id in ids)

    def half(self, id: str) -> float:
        """Half a unit of the last printed decimal: how far the true value may lie from the printed one."""
        return 0.5 * 10.0 ** -places(self.printed[id])

    def marked(self, id: str) -> bool:
        """Whether the number carries a footnote's mark of upsampling."""
        return self.printed[id].endswith(("*", "+"))


@dataclass(frozen=True)
class Check:
    """One relation between printed numbers.

    rule: its kind. id: the printed number that is checked. how: what must hold, in words. expected: what the others
    give. printed: as a number; where several printed numbers are judged together, what they give together. tolerance:
    what the printed rounding allows. derives: `expected` is a recomputation of `id`, not a bound on it. conclusion: a
    difference beyond the tolerance overturns what the paper concludes, or moves a rate by more than a percentage point.
    repairs: printed numbers, each with the value it would need for the relation to hold; where one is a slip of the pen
    away, the difference is typographical.
    """

    rule: str
    id: str
    how: str
    expected: float
    printed: float
    tolerance: float = 0.0
    derives: bool = True
    conclusion: bool = False
    repairs: Mapping[str, float] = field(default_factory=dict)

    @property
    def difference(self) -> float:
        """Printed minus expected."""
        return self.printed - self.expected

    @property
    def agrees(self) -> bool:
        """Whether the printed number is within the tolerance of what must hold."""
        return abs(self.difference) <= self.tolerance + _ROUNDING

    def severity(self, printed: Mapping[str, str]) -> str:
        """One of SEVERITIES, or nothing where the check agrees."""
        if self.agrees:
            return ""
        if self.conclusion:
            return SEVERITIES[2]
        slips = any(slip(printed[id], needed) for id, needed in self.repairs.items())
        return SEVERITIES[0] if slips else SEVERITIES[1]


def slip(printed: str, needed: float) -> bool:
    """Whether `printed` is `needed` with two neighbouring digits exchanged, its decimal point moved, or, in a count of
    three digits and more, one digit wrong."""
    value, decimals = number(printed), places(printed)
    if not math.isfinite(needed) or needed <= 0 or math.isclose(value, needed):
        return False
    if any(math.isclose(value * 10.0**k, needed, rel_tol=1e-6) for k in (-2, -1, 1, 2)):
        return True
    as_printed, as_needed = (f"{x:.{decimals}f}".replace(".", "") for x in (value, needed))
    if len(as_printed) != len(as_needed) or len(as_printed) < 3 or not math.isclose(needed, round(needed, decimals)):
        return False
    wrong = [i for i, (a, b) in enumerate(zip(as_printed, as_needed, strict=True)) if a != b]
    if len(wrong) == 2 and wrong[1] == wrong[0] + 1 and sorted(as_printed) == sorted(as_needed):
        return True
    return decimals == 0 and len(wrong) == 1


def at_least(rule: str, id: str, how: str, bound: float, printed: float, **about) -> Check:
    """A check that `printed` is `bound` or more."""
    return Check(rule, id, how, max(bound, printed), printed, derives=False, **about)


def at_most(rule: str, id: str, how: str, bound: float, printed: float, **about) -> Check:
    """A check that `printed` is `bound` or less."""
    return Check(rule, id, how, min(bound, printed), printed, derives=False, **about)
