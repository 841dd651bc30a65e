"""What a peer measured, and the JSON file it writes."""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.peers import STARTED_AT
from flowrate.errors import DivergedError
from flowrate.records import write_json


class Record:
    """Collects seconds by phase and by epoch. Made once the framework is imported."""

    def __init__(self):
        self.phases_seconds = {"import": time.perf_counter() - STARTED_AT}
        self._segments: list[tuple[int, float]] = []

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds what the block takes to the phase `name`."""
        started = time.perf_counter()
        yield
        elapsed_seconds = time.perf_counter() - started
        self.phases_seconds[name] = self.phases_seconds.get(name, 0.0) + elapsed_seconds

    def add_epoch(self, num_steps: int, seconds: float) -> None:
        """Adds an epoch: its steps, and the seconds they took without evaluation."""
        self._segments.append((num_steps, seconds))

    def write(
        self, path: Path, *, test_accuracy: float, train_loss: float, num_parameters: int,
        num_train_examples: int, num_test_examples: int, packages: Sequence[str],
        first_epoch_compiles: bool,
    ) -> None:  # fmt: skip
        """Writes the file.

        Args:
            path: where to.
            test_accuracy: on the whole test split, after the last epoch.
            train_loss: mean of the last epoch, as it went.
            num_parameters: weights trained.
            num_train_examples: shown in each epoch.
            num_test_examples: evaluated.
            packages: whose versions matter.
            first_epoch_compiles: the first segment holds tracing or compiling that could not be
                told apart from training.

        Raises:
            DivergedError: the loss is not finite.
        """
        if not math.isfinite(train_loss):
            raise DivergedError(f"the loss of the last epoch is {train_loss}.")
        versions = {name: importlib.metadata.version(name) for name in packages}
        write_json(
            path,
            {
                "steps": sum(num_steps for num_steps, _ in self._segments),
                "segments": self._segments,
                "first_epoch_compiles": first_epoch_compiles,
                "epoch_seconds": [seconds for _, seconds in self._segments],
                "compile_seconds": self.phases_seconds.get("compile"),
                "test_accuracy": test_accuracy,
                "train_loss": train_loss,
                "evaluation_seconds": self.phases_seconds["evaluate"],
                "num_parameters": num_parameters,
                "num_train_examples": num_train_examples,
                "num_test_examples": num_test_examples,
                "phases": self.phases_seconds,
                "versions": {"python": platform.python_version(), **versions},
            },
        )
