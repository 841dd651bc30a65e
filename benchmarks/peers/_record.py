"""What a peer measured, and the JSON file it writes."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers import STARTED_AT
from flowrate.errors import DivergedError
from flowrate.records import write_json


class Record:
    """Collects seconds by phase and by epoch. Made once the framework is imported."""

    def __init__(self) -> None:
        self.phases = {"import": time.perf_counter() - STARTED_AT}
        self._segments: list[tuple[int, float]] = []

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times the phase `name`."""
        started = time.perf_counter()
        yield
        self.phases[name] = time.perf_counter() - started

    def add_epoch(self, num_steps: int, seconds: float) -> None:
        """Adds an epoch: its steps, and the seconds they took without evaluation."""
        self._segments.append((num_steps, seconds))

    def write(
        self, path: Path, *, test_accuracy: float, train_loss: float, num_parameters: int
    ) -> None:
        """Writes the file.

        Args:
            path: where to.
            test_accuracy: on the whole test split, after the last epoch.
            train_loss: mean of the last epoch, as it went.
            num_parameters: weights trained.

        Raises:
            DivergedError: the loss is not finite.
        """
        if not math.isfinite(train_loss):
            raise DivergedError(f"the loss of the last epoch is {train_loss}.")
        write_json(
            path,
            {
                "segments": self._segments,
                "test_accuracy": test_accuracy,
                "train_loss": train_loss,
                "num_parameters": num_parameters,
                "phases": self.phases,
            },
        )
