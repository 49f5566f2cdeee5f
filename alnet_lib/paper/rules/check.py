"""What a rule of the audit yields: one check, with what must hold, what is printed and how far rounding reaches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
        """The sum of printed numbers.

        Parameters
        ----------
        ids : iterable of str
            Of the record.

        Returns
        -------
        float
            Their sum.
        """
        return sum(self[id] for id in ids)

    def half(self, id: str) -> float:
        """How far the unrounded value may lie from the printed one: half a unit of the last printed decimal.

        Parameters
        ----------
        id : str
            Of the record.

        Returns
        -------
        float
            In the number's unit.
        """
        return 0.5 * 10.0 ** -places(self.printed[id])

    def marked(self, id: str) -> bool:
        """Whether the number carries a footnote's mark of upsampling.

        Parameters
        ----------
        id : str
            Of the record.

        Returns
        -------
        bool
            It ends with `*` or `+`.
        """
        return self.printed[id].endswith(("*", "+"))


@dataclass(frozen=True)
class Check:
    """One relation between printed numbers.

    Attributes
    ----------
    rule : str
        Its kind.
    id : str
        The printed number that is checked.
    how : str
        What must hold, in words.
    expected : float
        What the other numbers give.
    printed : float
        The printed number; where several are judged together, what they give together.
    tolerance : float
        What the printed rounding allows.
    derives : bool
        `expected` is a recomputation of `id`, not a bound on it.
    conclusion : bool
        A difference beyond the tolerance overturns what the paper concludes, or moves a rate by more than a percentage
        point.
    repairs : mapping
        Printed numbers, each with the value it would need for the relation to hold; where one is a slip of the pen
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
        """How serious a difference is.

        Parameters
        ----------
        printed : mapping
            Id -> number as printed.

        Returns
        -------
        str
            One of SEVERITIES, or empty where the check agrees.
        """
        if self.agrees:
            return ""
        if self.conclusion:
            return SEVERITIES[2]
        slips = any(slip(printed[id], needed) for id, needed in self.repairs.items())
        return SEVERITIES[0] if slips else SEVERITIES[1]


def slip(printed: str, needed: float) -> bool:
    """Whether a printed number is a slip of the pen away from another.

    Two neighbouring digits exchanged, the decimal point moved, or, in a count of three digits and more, one digit
    wrong.

    Parameters
    ----------
    printed : str
        As printed.
    needed : float
        What it should be.

    Returns
    -------
    bool
        False where they are equal.
    """
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


def at_least(rule: str, id: str, how: str, bound: float, printed: float, **about: Any) -> Check:
    """A check that `printed` is `bound` or more.

    Parameters
    ----------
    rule, id, how : str
        As in `Check`.
    bound, printed : float
        The bound and the printed number.
    **about : Any
        Further attributes of `Check`.

    Returns
    -------
    Check
        It derives nothing.
    """
    return Check(rule, id, how, max(bound, printed), printed, derives=False, **about)


def at_most(rule: str, id: str, how: str, bound: float, printed: float, **about: Any) -> Check:
    """A check that `printed` is `bound` or less.

    Parameters
    ----------
    rule, id, how : str
        As in `Check`.
    bound, printed : float
        The bound and the printed number.
    **about : Any
        Further attributes of `Check`.

    Returns
    -------
    Check
        It derives nothing.
    """
    return Check(rule, id, how, min(bound, printed), printed, derives=False, **about)
