"""Runs the process of a measurement to its end, whatever that end is."""

from __future__ import annotations

import dataclasses
import os
import shlex
import signal
import subprocess

import psutil

from flowrate import processes
from flowrate.environment import (
    CHECKOUT,
    available_memory_bytes,
    num_out_of_memory_kills,
    total_memory_bytes,
)

# When less than this share of the memory is left, the process is stopped: sooner or later the
# system would kill one, and not always the one that asked for too much.
_MEMORY_RESERVE = 0.02


@dataclasses.dataclass(frozen=True)
class Failure:
    """How a process failed: the `status` and the `error` of its row."""

    status: str
    error: str


def run_to_end(command: list[str], timeout_seconds: float) -> Failure | None:
    """Runs a command in the checkout; returns None where it ended with status 0.

    What it started ends with it. It is killed after so many seconds, and where it leaves the
    machine without memory. What it prints is not shown.
    """
    kills_before = num_out_of_memory_kills()
    memory = _Memory()
    ended = processes.run(
        command, timeout_seconds=timeout_seconds, should_end=memory.is_used_up, cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    if ended.exit_code == 0:
        return None
    if ended.exit_code is None and not memory.largest_bytes:
        return Failure("failed", f"killed after {timeout_seconds:.0f} s: {shlex.join(command[:4])}")
    if ended.exit_code in (None, -signal.SIGKILL):
        # First: where the system was faster, the watch has seen what it left.
        if num_out_of_memory_kills() > kills_before:
            return Failure("out_of_memory", "killed by the system, which had no memory left")
        if memory.largest_bytes:
            held = f"{memory.largest_bytes / 2**30:.1f} GiB"
            return Failure(
                "out_of_memory", f"stopped with {held} held and none left on the machine"
            )
        return Failure("failed", "killed by signal 9, from outside")
    said = processes.last_line(ended.errors) or "nothing was said"
    return Failure("failed", f"exit status {ended.exit_code}: {said}"[:500])


class _Memory:
    """Looks at what is left of the machine's memory.

    Attributes:
        largest_bytes: what a process and its children held when none was left; 0 until then.
    """

    def __init__(self):
        self.largest_bytes = 0
        self._reserve_bytes = _MEMORY_RESERVE * total_memory_bytes()

    def is_used_up(self, pid: int) -> bool:
        """Returns whether a process is to be stopped."""
        if available_memory_bytes() < self._reserve_bytes:
            self.largest_bytes = _resident_bytes(pid)
        return self.largest_bytes > 0


def _resident_bytes(pid: int) -> int:
    """Returns the memory that a process and its children hold; at least 1."""
    try:
        family = [psutil.Process(pid), *processes.descendants(pid)]
        return max(1, sum(each.memory_info().rss for each in family))
    except psutil.NoSuchProcess:
        return 1
