"""What the program promises to stand, a case for each promise."""

from __future__ import annotations

from benchmarks.case import BenchmarkCase
from benchmarks.faults import PROMISES
from benchmarks.suites._choice import Choice

TITLE = "what a run is promised to stand: kills, full disks, damage, bad data, hostile input"
# Another repeat draws other moments; one makes all attempts.
NUM_REPEATS = 1

_TIMEOUT_SECONDS = 3 * 3600


def cases(choice: Choice) -> list[BenchmarkCase]:
    """Returns a case for each promise, in the order of their numbers."""
    promises = {name: PROMISES.load(name)[0] for name in PROMISES.names()}
    ordered = sorted(promises, key=lambda name: int(promises[name].ID.split(",")[0][1:]))
    return choice.select(
        BenchmarkCase(
            suite="faults",
            name=name,
            kind="faults",
            flags={"data_dir": choice.data_dir} if choice.data_dir else {},
            arguments={
                "promise": name,
                "full": choice.full,
                "labels": {"promise": promises[name].ID, "title": promises[name].TITLE},
            },
            timeout_seconds=_TIMEOUT_SECONDS,
        )
        for name in ordered
    )
