"""A worker that never comes: the others wait so long as they were told, and name its address."""

from __future__ import annotations

import functools
import time
from pathlib import Path

from benchmarks.faults import _workers
from benchmarks.faults._attempt import Attempt, check
from flowrate.errors import ClusterError

ID = "P9"
TITLE = "a worker that does not come is named, with its address, at --bringup_timeout"

_TIMEOUT_SECONDS = 10
# What a start and an end take beside, on a busy machine.
_SLACK_SECONDS = 20.0


def attempts(full: bool, seed: int) -> list[Attempt]:
    """Returns each way to be incomplete: two, or six."""
    cases = [(2, (1,)), (2, (0,)), (3, (1,)), (3, (0, 2)), (4, (3,)), (4, (1, 2, 3))]
    return [
        Attempt(
            f"{' and '.join(map(str, missing))} of {count}",
            functools.partial(_wait, count=count, missing=missing),
        )
        for count, missing in (cases if full else cases[:2])
    ]


def _wait(folder: Path, count: int, missing: tuple[int, ...]) -> dict[str, float]:
    workers = _workers.make_workers(
        folder, [_workers.LOOPBACK] * count, dataset="digits", steps=10,
        bringup_timeout=_TIMEOUT_SECONDS,
    )  # fmt: skip
    present = [worker for index, worker in enumerate(workers) if index not in missing]
    began = time.monotonic()
    most_seconds = 0.0
    with _workers.running(present) as processes:
        for worker, process in zip(present, processes):
            ended = worker.end(process, _TIMEOUT_SECONDS + 4 * _SLACK_SECONDS)
            most_seconds = max(most_seconds, time.monotonic() - began)
            check(ended.exit_code == ClusterError.exit_code, f"status {ended.exit_code}")
            for index in missing:
                address = workers[index].address
                check(address in ended.stderr, f"{address} is not named: {ended.last_line}")
            errors = [line for line in ended.stderr.splitlines() if "warning: " not in line]
            check(len(errors) == 1, f"not one line: {ended.stderr!r}")
    check(
        _TIMEOUT_SECONDS <= most_seconds <= _TIMEOUT_SECONDS + _SLACK_SECONDS,
        f"left after {most_seconds:.1f} s, --bringup_timeout={_TIMEOUT_SECONDS}",
    )
    return {"missing": len(missing), "most_wait_seconds": most_seconds}
