"""An unavailable result stands for one that is there, and passes through what would compute with it."""

import pytest

from alnet_lib.core.outcomes import MissingArtefact, Unavailable, if_available

FIRST, SECOND = Unavailable("no smear"), Unavailable("no patient")


@if_available
def total(*numbers, weight=1):
    """Add up."""
    return weight * sum(numbers)


def test_the_first_unavailable_argument_is_returned_and_nothing_is_computed():
    @if_available
    def fails(*_, **__):
        raise AssertionError("called")

    assert fails(1, FIRST, SECOND) is FIRST and fails(SECOND, of=FIRST) is SECOND
    assert fails(1, of=FIRST, about=SECOND) is FIRST


def test_with_results_that_are_there_the_function_is_called():
    assert total(1, 2, weight=3) == 9 and total() == 0
    assert total(0) == 0, "what is false is not unavailable"
    with pytest.raises(TypeError, match="unsupported operand"):
        total(None)


def test_the_function_keeps_its_name_and_text():
    assert total.__name__ == "total" and total.__doc__ == "Add up."


def test_an_unavailable_is_false_and_equal_by_its_reason():
    assert not FIRST and Unavailable("no smear") == FIRST != SECOND
    assert issubclass(MissingArtefact, FileNotFoundError)
