"""The starts of a run: how each began and ended, and how much of the time was training that counts.

starts.jsonl has a row for each process that has worked on the run (docs/records.md). A row is
written when a process begins and completed when it ends, so a row without an end is that of a
process that was killed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowrate.environment import boot_id, num_out_of_memory_kills, process_seconds
from flowrate.errors import FlowrateError, Preempted
from flowrate.records import read_json_lines, write_text

SCHEMA_VERSION = 1


class Starts:
    """The starts of one run, of which this process is the last once it has begun.

    Args:
        path: of the file.
        check_held: raises where the run is no longer this process's to write.

    Attributes:
        measure: returns what this start has done so far: {"step", "counted_seconds"}.
    """

    def __init__(self, path: Path, check_held: Callable[[], None] = lambda: None):
        self._path = path
        self._check_held = check_held
        self._before: list[dict[str, Any]] = []
        self._own: dict[str, Any] | None = None
        self.measure: Callable[[], dict[str, float]] = dict

    @property
    def number(self) -> int:
        """Which start of the run this is, from 1."""
        return len(self._before) + 1

    @property
    def previous(self) -> dict[str, Any] | None:
        """The row of the start before this one; None for the first."""
        return self._before[-1] if self._before else None

    def begin(self) -> None:
        """Notes that this process begins; does nothing where it has been noted.

        Raises:
            DiskError: it cannot be written.
        """
        if self._own:
            return
        self._before = [row for row in read_json_lines(self._path) if _is_start(row)]
        self._own = {
            "schema_version": SCHEMA_VERSION,
            "start": self.number,
            "pid": os.getpid(),
            "host": platform.node(),
            "started_at": round(time.time() - process_seconds(), 3),
            "boot_id": boot_id(),
            "out_of_memory_kills": num_out_of_memory_kills(),
        }
        self._write()

    def note(self, **facts: float) -> None:
        """Adds facts to the row of this start.

        Raises:
            DiskError: it cannot be written.
        """
        if self._own:
            self._own |= facts
            self._write()

    def end(self, exit_code: int) -> None:
        """Notes that this process ends; what cannot be written is left."""
        with contextlib.suppress(FlowrateError):
            self.note(ended_at=round(time.time(), 3), exit_code=exit_code, **self.measure())

    def has_saved(self) -> bool:
        """Returns whether an earlier start tells of a checkpoint: gone on from, or left behind."""
        return any(
            row.get("from_step")
            or (row.get("exit_code") == Preempted.exit_code and row.get("step"))
            for row in self._before
        )

    def effective_share(self, counted_seconds: float) -> float | None:
        """Returns which share of the wall time, from the first start of the run to now, went into
        training that counts; None where no start has been noted.
        """
        if self._own is None:
            return None
        rows = [*self._before, self._own]
        # Whether a complete run is trained further is up to the user: that time is not lost.
        rest = sum(
            later["started_at"] - row["ended_at"]
            for row, later in itertools.pairwise(rows)
            if row.get("exit_code") == 0 and type(row.get("ended_at")) in (int, float)
        )
        elapsed = time.time() - rows[0]["started_at"] - rest
        # A clock may have been set back.
        return counted_seconds / max(elapsed, counted_seconds, 1e-9)

    def describe_lost(self, last_step: int) -> str | None:
        """Returns a line on the start before, if it ended without a word.

        Args:
            last_step: the last in metrics.jsonl.
        """
        row = self.previous
        if row is None or "exit_code" in row:
            return None
        when = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(row["started_at"]))
        where = f"at step {last_step:,}" if "from_step" in row else "before its first step"
        return (
            f"the previous start (pid {row.get('pid')} on {row.get('host')} since {when}) ended "
            f"without a word {where}: {_why(row)}."
        )

    def _write(self) -> None:
        self._check_held()
        rows = [*self._before, self._own]
        write_text(self._path, "".join(json.dumps(row) + "\n" for row in rows))


def describe_starts(result: dict[str, Any]) -> str:
    """Returns how often the run of a result.json was started and what that cost; empty for once."""
    number, share = result.get("num_starts"), result.get("effective_training_share")
    if type(number) is not int or type(share) is not float or number < 2:
        return ""
    return f"{number}; {share:.1%} of the time since the first was training that counts"


def _is_start(row: dict[str, Any]) -> bool:
    return type(row.get("started_at")) in (int, float) and 0 <= row["started_at"] < 2**40


def _why(row: dict[str, Any]) -> str:
    """Returns what may have ended a process that could not say so."""
    if row.get("host") != platform.node():
        return "killed, or its machine was lost"
    if row.get("boot_id") != boot_id():
        return "the machine was started anew since"
    kills = row.get("out_of_memory_kills")
    if type(kills) is int and num_out_of_memory_kills() > kills:
        return (
            "killed (137: out of memory?); --cache=none or a smaller --global_batch_size needs less"
        )
    return "killed"
