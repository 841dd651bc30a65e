"""Items taken ahead: all of them, in order, no more than asked for, errors at their turn."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrate.ahead import ahead


@given(st.lists(st.integers()), st.integers(1, 5))
def test_all_items_in_order(items, count):
    assert list(ahead(iter(items), count)) == items


def test_so_many_are_taken_before_they_are_asked_for_and_no_more():
    taken = [threading.Event() for _ in range(6)]

    def items():
        for number, event in enumerate(taken):
            event.set()
            yield number

    found = ahead(items(), 2)
    for number in range(3):
        assert next(found) == number
        assert all(event.wait(timeout=60) for event in taken[: number + 3])
        assert not any(event.is_set() for event in taken[number + 3 :])


def test_an_error_comes_at_its_turn():
    found = ahead((1 // number for number in (1, 1, 0, 1)), 3)
    assert [next(found), next(found)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_a_reader_who_leaves_ends_it():
    taken = []
    found = ahead((taken.append(number) or number for number in range(1000)), 2)
    next(found)
    found.close()
    assert len(taken) <= 3
