"""What stands for a result that is not there."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class MissingArtefact(FileNotFoundError):
    """Something an earlier notebook makes is not there; the message says which command makes it."""


@dataclass(frozen=True)
class Unavailable:
    """What stands for a result that this cohort or profile cannot give. False in a condition.

    Attributes
    ----------
    reason : str
        Why, in words that a reader of the report understands.
    """

    reason: str

    def __bool__(self) -> bool:
        return False


def if_available(function: Callable[P, R]) -> Callable[..., R | Unavailable]:
    """Let a function pass an `Unavailable` argument on instead of computing with it.

    So a notebook hands results from producer to chart to display without asking whether they are there.

    Parameters
    ----------
    function : callable
        Computes with results that are there.

    Returns
    -------
    callable
        The same function; called with an `Unavailable` among its arguments it returns the first of them.
    """

    @functools.wraps(function)
    def passing(*args: Any, **kwargs: Any) -> R | Unavailable:
        for given in (*args, *kwargs.values()):
            if isinstance(given, Unavailable):
                return given
        return function(*args, **kwargs)

    return passing
