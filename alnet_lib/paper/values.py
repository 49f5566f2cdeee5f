"""One number of a run beside what the paper printed, and a table of a run with its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alnet_lib.paper import printed
from alnet_lib.statistics.intervals import Interval

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Value:
    """One number.

    Attributes
    ----------
    key : str
        The record's id of what the paper printed, or a name of our own for what it did not print.
    unit : str
        `%`, `images`, `min` ...
    published : float or None
        As the paper printed it.
    recomputed : float or None
        What follows by arithmetic from the paper's other printed numbers.
    reproduced : float or None
        What this run measured.
    ci_low, ci_high : float or None
        95% interval of `reproduced`, in its unit; NaN where none can be given.
    interval : str
        How the interval was made and over what, e.g. `Korn-Graubard over patients`; empty without one.
    n_patients, n_smears, n_cells : int or None
        What stands behind the number.
    design_effect : float or None
        Its variance over that of as many independent cells or smears.
    """

    key: str
    unit: str = ""
    published: float | None = None
    recomputed: float | None = None
    reproduced: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    interval: str = ""
    n_patients: int | None = None
    n_smears: int | None = None
    n_cells: int | None = None
    design_effect: float | None = None

    @classmethod
    def of(cls, key: str, measured: float | Interval, unit: str | None = None) -> Value:
        """A number that this run measured, beside what the paper printed by that key, if it did.

        Parameters
        ----------
        key : str
            The record's id, or a name of our own.
        measured : float or Interval
            A float is in `unit`. An Interval is a share in [0, 1] (or of no unit) and becomes percent where the unit is
            `%` or `percentage points`.
        unit : str, optional
            Of a number that the paper does not print; the record's where it does.

        Raises
        ------
        KeyError
            No unit is given and the paper printed nothing by that id.
        """
        published = None
        if unit is None:
            line = printed.record().loc[key]
            unit, published = line["unit"], line["value"]
        if not isinstance(measured, Interval):
            return cls(key, unit, published, reproduced=float(measured))
        own = measured.scaled(100) if unit in ("%", "percentage points") else measured
        return cls(
            key, unit, published, None, own.estimate, own.low, own.high, own.method, own.n_patients, own.n_smears,
            own.n_cells, own.design_effect,
        )  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What a producer returns where there is something to show; an `Unavailable` stands where there is not.

    Attributes
    ----------
    frame : DataFrame
        The table, numbers as numbers; how they are written is the display's matter.
    values : tuple of Value
        The numbers that go into results.json.
    facts : mapping
        Named numbers and words for captions and sentences, e.g. `accuracy`, `low`, `high` (in %), `n`.
    """

    frame: pd.DataFrame
    values: tuple[Value, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
