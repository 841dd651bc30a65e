"""BenchmarkCase: one thing to measure, by one contender; and Choice: which of them a user wants.

Plain data; no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trainer.config import TrainConfig

OURS = "flowrate"
DEFAULT_BATCH_SIZE = TrainConfig.global_batch_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkCase:
    """What one process measures.

    Attributes:
        suite: the suite it belongs to.
        name: what is the same for all contenders, as in fashion_mnist-mlp.
        contender: flowrate, or the name of a peer.
        measure: how it is measured, as benchmarks/measure/__init__.py explains.
        flags: fields of TrainConfig that differ from the default.
        seconds: how long to measure, where the work is not bounded by itself.
        arguments: of what measures it, besides flags and seconds.
        labels: for the row, besides those that the measurement gives.
        needs: packages without which it is skipped.
        timeout_seconds: after which the process counts as hung.
    """

    suite: str
    name: str
    contender: str = OURS
    measure: str
    flags: dict[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    labels: dict[str, Any] = dataclasses.field(default_factory=dict)
    needs: tuple[str, ...] = ()
    timeout_seconds: float = 3600.0

    def trainer_command(self, seed: int) -> str:
        """Returns the trainer's command line for the same work, with data in its usual place."""
        flags = {**self.flags, "seed": seed}
        flags.pop("data_dir", None)
        words = [f"--{name}={value}" for name, value in flags.items()]
        return shlex.join(["python", "-m", "trainer.main", *words])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """Which cases of a suite to take.

    Attributes:
        models: names, or empty for all.
        datasets: names, or empty for all.
        contenders: names, or empty for all.
        names: of cases, or empty for all.
        full: every combination, and every peer over the whole work.
        seconds: how long to measure a rate.
        data_dir: where data sets lie, in a folder of each's name or all together; or None.
    """

    models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    contenders: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    full: bool = False
    seconds: float = 3.0
    data_dir: str | None = None

    def data_flags(self, flags: dict[str, Any]) -> dict[str, Any]:
        """Returns the flags with the place of their data set, where one was given."""
        if self.data_dir is None:
            return dict(flags)
        own = Path(self.data_dir) / flags["dataset"]
        return {**flags, "data_dir": str(own if own.is_dir() else self.data_dir)}

    def select(self, cases: Iterable[BenchmarkCase]) -> list[BenchmarkCase]:
        """Returns the cases whose model, data set, contender and name are among the chosen."""
        return [
            case
            for case in cases
            if (not self.models or case.flags.get("model", "auto") in self.models)
            and (not self.datasets or case.flags.get("dataset") in self.datasets)
            and (not self.contenders or case.contender in self.contenders)
            and (not self.names or case.name in self.names)
        ]


def image_size_label(image_shape: tuple[int, int, int]) -> int | str:
    """Returns the side of square images, else HEIGHTxWIDTH."""
    height, width, _ = image_shape
    return height if height == width else f"{height}x{width}"
