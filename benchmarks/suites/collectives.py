"""The sums over workers alone: how long an all-reduce takes, by workers and size of the message."""

from __future__ import annotations

from benchmarks.case import BenchmarkCase
from benchmarks.measure.worker_group import LINKS
from benchmarks.suites._choice import Choice

TITLE = (
    "seconds of an all-reduce over 2 and 4 processes, by message size; what `predict` is fitted to"
)

_SUITE = "collectives"
_COUNTS = (2, 4)
_SIZES = tuple(2**10 * 4**power for power in range(9))  # 1 KiB to 64 MiB
_TIMEOUT_SECONDS = 1800


def cases(choice: Choice) -> list[BenchmarkCase]:
    """Returns a case for each link and number of workers."""
    return choice.select(
        BenchmarkCase(
            suite=_SUITE,
            name=f"{link}-{count}",
            kind="collectives",
            arguments={"num_workers": count, "link": link, "sizes": list(_SIZES)},
            timeout_seconds=_TIMEOUT_SECONDS,
        )
        for link in LINKS
        for count in (*_COUNTS, *((8,) if choice.full else ()))
    )
