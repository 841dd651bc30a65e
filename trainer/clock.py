"""Where a run's time goes: seconds by phase."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

PHASES = (
    "import", "data", "build", "compile", "train", "input_wait", "log", "evaluate",
    "checkpoint", "report",
)  # fmt: skip
# What moves a run on; the rest is spent again by each start.
COUNTED = ("train", "input_wait", "log", "evaluate", "checkpoint")


class PhaseClock:
    """Adds up wall time per phase.

    Attributes:
        seconds: {phase: seconds so far}.
        current: the phase that is on; between phases, training.
        counted_before: of the starts before this one, what `counted_seconds` was in the checkpoint
            that this one goes on from.
    """

    def __init__(self):
        self.counted_before = 0.0
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.current = "import"

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts the time inside the block as `name`, also where the block raises."""
        started = time.perf_counter()
        self.current = name
        try:
            yield
        finally:
            self.current = "train"
            self.seconds[name] += time.perf_counter() - started

    def add(self, name: str, seconds: float) -> None:
        """Counts `seconds` as `name`."""
        self.seconds[name] += seconds

    @property
    def counted_seconds(self) -> float:
        """Wall time of the training that led to where the run stands: what it took over and what it
        has done itself, without starting, compiling, and all that was lost and done again.
        """
        return self.counted_before + sum(self.seconds[name] for name in COUNTED)
