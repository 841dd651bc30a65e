"""The interval between saves: they cost little, whatever they take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainer.checkpoints.interval import SHORTEST_SECONDS, SaveInterval


class Clock:
    """A time that a test sets."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


SAVES = st.lists(
    st.tuples(st.floats(0, 30, allow_nan=False), st.floats(0, 60, allow_nan=False)), min_size=1
)


@given(SAVES, st.floats(0.01, 5))
def test_saves_never_cost_more_than_their_share_and_never_overlap(saves, tick):
    """Each save is paid for by the time until the next; it has ended long before that."""
    clock = Clock()
    interval = SaveInterval(clock)
    for cost, seconds in saves:
        while not interval.is_due():
            clock.seconds += max(tick, interval.seconds / 100)
        began = clock.seconds
        interval.begin()
        assert not interval.is_due()
        clock.seconds += seconds
        interval.adapt(cost, seconds)
        while not interval.is_due():
            clock.seconds += max(tick, interval.seconds / 100)
        elapsed = clock.seconds - began
        assert elapsed >= SHORTEST_SECONDS
        assert cost <= 0.0301 * elapsed
        assert seconds < 0.51 * elapsed


def test_a_cheap_save_comes_every_ten_seconds():
    clock = Clock()
    interval = SaveInterval(clock)
    clock.seconds += 100  # Training has not begun.
    assert not interval.is_due()
    clock.seconds += 10
    assert interval.is_due()
    interval.begin()
    assert interval.adapt(0.2, 0.5) is None
    clock.seconds += 9.9
    assert not interval.is_due()
    clock.seconds += 0.1
    assert interval.is_due()


def test_it_says_once_what_it_was_raised_to_and_falls_again():
    interval = SaveInterval(Clock())
    slow = "a save took 12.0 s, longer than the interval of 10 s; interval raised to 24 s."
    assert interval.adapt(0.1, 12.0) == slow
    assert interval.adapt(0.1, 12.5) is None
    assert interval.seconds == 25.0
    costly = "a save took 2.0 s and cost training 1.50 s; interval raised to 50 s."
    assert interval.adapt(1.5, 2.0) == costly
    assert interval.adapt(0.1, 0.2) is None
    assert interval.seconds == SHORTEST_SECONDS
