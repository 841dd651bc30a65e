"""Every promise of benchmarks/faults, tried as on every change: real processes, real faults."""

from __future__ import annotations

import pytest

from benchmarks.faults import PROMISES
from benchmarks.faults._attempt import Attempt, NotHere


def attempts() -> list:
    return [
        pytest.param(
            attempt,
            id=f"{name}: {attempt.name}",
            marks=() if attempt.is_quick else pytest.mark.slow,
        )
        for name in PROMISES.names()
        for attempt in PROMISES.load(name)[0].attempts(full=False, seed=0)
    ]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("attempt", attempts())
def test_the_promise_is_kept(attempt: Attempt, tmp_path):
    try:
        attempt.run(tmp_path)
    except NotHere as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("name", PROMISES.names())
def test_each_attempt_is_named_once(name):
    promise, _ = PROMISES.load(name)
    for full in (False, True):
        names = [attempt.name for attempt in promise.attempts(full=full, seed=0)]
        assert names
        assert len(set(names)) == len(names)
