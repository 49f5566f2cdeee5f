"""Intervals within the possible range of what was measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alnet_lib.statistics.intervals import Interval


def clipped(interval: Interval, lowest: float, highest: float) -> Interval:
    """Cut the ends of an interval to the possible range: Student's t knows no bounds.

    Parameters
    ----------
    interval : Interval
        Of a mean.
    lowest, highest : float
        The possible range, in the interval's unit.

    Returns
    -------
    Interval
        The same where no interval is given.
    """
    return (
        replace(interval, low=max(interval.low, lowest), high=min(interval.high, highest))
        if interval.given
        else interval
    )
