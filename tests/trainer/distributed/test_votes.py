"""All workers stop after the same step and cut their calls alike, whoever was told."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainer.distributed.votes import Agreement


class Told:
    """A stop request to which a signal comes when `signal_name` is set."""

    signal_name = None

    def __bool__(self) -> bool:
        return self.signal_name is not None


def test_one_worker_alone_asks_nobody():
    stop = Told()
    agreement = Agreement(stop)
    assert agreement.ballot(0.5).shape == (0,)
    assert agreement.count(agreement.ballot()) is None
    assert not agreement
    stop.signal_name = "SIGTERM"
    assert agreement
    assert agreement.reason == "SIGTERM"
    assert not agreement.take_save()
    assert Agreement(stop, is_save_due=lambda: True).take_save()


@given(
    seconds=st.lists(st.floats(0, 10, width=32), min_size=2, max_size=8),
    told=st.data(),
)
def test_workers_learn_the_same_in_the_same_call(seconds, told):
    stops = [Told() for _ in seconds]
    agreements = [Agreement(stop, len(stops)) for stop in stops]
    for call in range(3):
        who = told.draw(st.integers(-1, len(stops) - 1)) if call == 1 else -1
        if who >= 0:
            stops[who].signal_name = "SIGUSR1"
            # Its own signal alone is nothing to act on: the others do not know.
            assert not agreements[who]
        ballots = [each.ballot(second) for each, second in zip(agreements, seconds)]
        sums = np.sum(ballots, axis=0, dtype=np.float32)
        means = {each.count(sums) for each in agreements}
        assert len(means) == 1
        np.testing.assert_allclose(means.pop(), np.mean(seconds), rtol=1e-5)
        anyone = any(stops)
        assert [bool(each) for each in agreements] == [anyone] * len(stops)
        if anyone:
            assert {each.reason for each in agreements} == {
                "SIGUSR1", "a signal to another worker",
            } or len(stops) == 1  # fmt: skip


@given(st.lists(st.booleans(), min_size=1, max_size=6), st.integers(2, 5))
def test_all_save_after_the_same_call_and_once(due_at, num_workers):
    """The chief alone finds that a save is due; each finding is acted on once, by all."""
    due = False
    agreements = [
        Agreement(Told(), num_workers, (lambda: due) if index == 0 else (lambda: False))
        for index in range(num_workers)
    ]
    for due in due_at:
        ballots = [each.ballot() for each in agreements]
        assert not any(each.take_save() for each in agreements)
        sums = np.sum(ballots, axis=0, dtype=np.float32)
        for each in agreements:
            each.count(sums)
        assert [each.take_save() for each in agreements] == [due] * num_workers
