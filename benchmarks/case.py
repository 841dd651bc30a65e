"""BenchmarkCase: one thing to measure, by one contender. Plain data; no TensorFlow."""

from __future__ import annotations

import dataclasses
import shlex
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
        kind: how it is measured, a key of benchmarks/measure/worker.py; or peer.
        flags: fields of TrainConfig that differ from the default.
        seconds: how long to measure, where the work is not bounded by itself.
        arguments: more for this kind.
        timeout_seconds: after which the process is taken for hung.
    """

    suite: str
    name: str
    contender: str = OURS
    kind: str
    flags: dict[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    timeout_seconds: float = 3600.0

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as a JSON-able dictionary."""
        return dataclasses.asdict(self)

    def trainer_command(self, seed: int) -> str:
        """Returns the trainer's command line for the same work, with data in its usual place."""
        flags = {**self.flags, "seed": seed}
        flags.pop("data_dir", None)
        words = [f"--{name}={value}" for name, value in flags.items()]
        return shlex.join(["python", "-m", "trainer.main", *words])


def image_size_label(image_shape: tuple[int, int, int]) -> int | str:
    """Returns the side of square images, else HEIGHTxWIDTH."""
    height, width, _ = image_shape
    return height if height == width else f"{height}x{width}"
