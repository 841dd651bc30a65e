"""Seconds by phase, on a clock that the test turns."""

from __future__ import annotations

import types

import pytest

from trainer import clock
from trainer.clock import COUNTED, PHASES, PhaseClock


@pytest.fixture
def turn(monkeypatch):
    """Returns a function that lets time pass."""
    now = [100.0]
    monkeypatch.setattr(clock, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))

    def forward(seconds: float) -> None:
        now[0] += seconds

    return forward


def test_it_begins_with_nothing():
    assert PhaseClock().seconds == dict.fromkeys(PHASES, 0.0)


def test_a_phase_counts_what_passes_inside_it(turn):
    phases = PhaseClock()
    turn(5)
    with phases.phase("build"):
        turn(3)
    turn(5)
    with phases.phase("build"):
        turn(0.5)
    assert phases.seconds == dict.fromkeys(PHASES, 0.0) | {"build": 3.5}


def test_a_phase_that_fails_is_counted(turn):
    phases = PhaseClock()
    with pytest.raises(RuntimeError, match="stop"), phases.phase("evaluate"):  # noqa: PT012
        turn(2)
        raise RuntimeError("stop")
    assert phases.seconds["evaluate"] == 2


def test_seconds_can_be_added():
    phases = PhaseClock()
    phases.add("train", 1.5)
    phases.add("train", 2)
    assert phases.seconds["train"] == 3.5


def test_an_unknown_phase_is_no_phase():
    phases = PhaseClock()
    with pytest.raises(KeyError, match="lunch"):
        phases.add("lunch", 1)
    with pytest.raises(KeyError, match="lunch"), phases.phase("lunch"):
        pass
    assert phases.seconds.keys() == set(PHASES)


def test_what_counts_is_training_and_what_was_done_before():
    phases = PhaseClock()
    for number, name in enumerate(PHASES):
        phases.add(name, 2.0**number)
    counted = sum(phases.seconds[name] for name in COUNTED)
    assert 0 < counted < sum(phases.seconds.values())
    assert phases.counted_seconds == counted
    phases.counted_before = 0.5
    assert phases.counted_seconds == counted + 0.5
