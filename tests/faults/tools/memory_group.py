"""A memory control group: processes that have so much memory together, and are killed beyond it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# Version 1, as this is written (cgroups(7)), and version 2.
_PARENTS = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", ("memory.swappiness", "0")),
    (Path("/sys/fs/cgroup"), "memory.max", ("memory.swap.max", "0")),
)
_JOIN = 'echo $$ > "$0" && exec "$@"'
# Before all others (proc(5), oom_score_adj).
_BE_KILLED_FIRST = "echo 1000 > /proc/self/oom_score_adj"
_GREEDY = """
held = []
while True:
    held.append(b"x" * 2**24)
"""


class MemoryGroup:
    """A group.

    Attributes:
        prefix: the words before a command that is to run in the group, and to be killed first.
    """

    def __init__(self, folder: Path):
        self._procs = str(folder / "cgroup.procs")
        self.prefix = ("sh", "-c", f"{_BE_KILLED_FIRST} && {_JOIN}", self._procs)

    @contextlib.contextmanager
    def fill(self) -> Iterator[None]:
        """Takes all the memory that the group has left."""
        greedy = subprocess.Popen(["sh", "-c", _JOIN, self._procs, sys.executable, "-c", _GREEDY])
        try:
            yield
        finally:
            greedy.kill()
            greedy.wait()


@contextlib.contextmanager
def memory_group(limit_bytes: int) -> Iterator[MemoryGroup]:
    """Makes a group for the time of the block, or skips the test."""
    folder = _make(limit_bytes)
    try:
        yield MemoryGroup(folder)
    finally:
        _remove(folder)


def _make(limit_bytes: int) -> Path:
    for parent, limit, (swap, no_swap) in _PARENTS:
        folder = parent / f"flowrate-{os.getpid()}"
        if not os.access(parent / "cgroup.procs", os.W_OK):
            continue
        try:
            folder.mkdir()
            (folder / limit).write_text(str(limit_bytes))
            if (folder / swap).exists():
                (folder / swap).write_text(no_swap)
            return folder
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()
    pytest.skip("this machine lets no memory control group be made")


def _remove(folder: Path) -> None:
    """The system takes a moment to count out what was killed."""
    end = time.monotonic() + 10
    while True:
        try:
            return folder.rmdir()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
