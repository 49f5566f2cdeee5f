"""One number of a run beside what the paper printed, and a table of a run with its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from alnet_lib.paper import printed


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
        95% interval of `reproduced`, in its unit.
    """

    key: str
    unit: str = ""
    published: float | None = None
    recomputed: float | None = None
    reproduced: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None

    @classmethod
    def of(cls, id: str, reproduced: float, low: float | None = None, high: float | None = None) -> Value:
        """A number that the paper printed, with what this run measured.

        Parameters
        ----------
        id : str
            Of the record.
        reproduced : float
            In the record's unit.
        low, high : float, optional
            95% interval, in the record's unit.

        Raises
        ------
        KeyError
            The paper printed nothing by that id.
        """
        line = printed.record().loc[id]
        return cls(id, line["unit"], line["value"], reproduced=float(reproduced), ci_low=low, ci_high=high)


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
