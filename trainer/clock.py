"""Where a run's time goes: seconds by phase."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

PHASES = (
    "import", "data", "build", "compile", "train", "input_wait", "log", "evaluate",
    "checkpoint", "report",
)  # fmt: skip


class PhaseClock:
    """Adds up wall time per phase.

    Attributes:
        seconds: {phase: seconds so far}.
        current: the phase that is on; between phases, training.
    """

    def __init__(self):
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
