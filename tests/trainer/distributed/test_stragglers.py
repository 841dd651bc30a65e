"""Who is slow is named, once, and nobody is named for noise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trainer.distributed.stragglers import StragglerWatch, find_straggler

PACES = st.lists(st.floats(0.001, 10), min_size=2, max_size=9)


@given(PACES)
def test_it_is_the_slowest_and_by_so_much(paces):
    found = find_straggler(dict(enumerate(paces)))
    if found:
        index, ratio = found
        assert paces[index] == max(paces)
        assert ratio > 2
    else:
        others = sorted(paces)[:-1]
        assert max(paces) <= 2 * max(others) * (1 + 1e-9)


def test_one_alone_is_no_straggler():
    assert find_straggler({0: 5.0}) is None
    assert find_straggler({}) is None


def look(watch: StragglerWatch, times: int, *paces: float) -> None:
    for _ in range(times):
        watch.look(dict(enumerate(paces)))


def test_it_is_said_once_and_again_when_much_worse():
    lines: list[str] = []
    watch = StragglerWatch(lambda index: f"worker {index} (b:2)", lines.append)
    look(watch, 4, 0.1, 0.31, 0.1)
    assert lines == []
    look(watch, 50, 0.1, 0.31, 0.1)
    assert lines == [
        "worker 1 (b:2) is 3.1x slower than the median of the others (310 ms of its own a step); "
        "all wait for it."
    ]
    look(watch, 50, 0.1, 0.9, 0.1)
    assert len(lines) == 2
    assert "9.0x" in lines[1]


def test_a_pause_is_not_slowness():
    lines: list[str] = []
    watch = StragglerWatch(str, lines.append)
    for _ in range(20):
        look(watch, 3, 0.1, 0.5)
        look(watch, 1, 0.1, 0.1)
    assert lines == []
