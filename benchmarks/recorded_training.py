"""`python -m benchmarks.recorded_training FLAGS`: trainer.main, which keeps what each replica got.

The digest of every example of every step, as the replicas of this process were given them, lies in
examples/worker-N.npy of the run directory afterwards.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from trainer import main as trainer_main

if TYPE_CHECKING:
    from trainer.engine.engine import StepEngine
    from trainer.engine.results import StepResults
    from trainer.plan import Segment
    from trainer.run import TrainingRun

FOLDER = "examples"


def main(argv: Sequence[str]) -> int:
    """Trains; returns the exit status of trainer.main."""
    return trainer_main.main(argv, train=_train)


def _train(run: TrainingRun) -> None:
    from trainer import loop

    run.engine = ExampleRecorder(run.engine, run)
    loop.train(run)
    folder = run.run_dir.path / FOLDER
    folder.mkdir(exist_ok=True)
    index = run.team.cluster.index if run.team else 0
    np.save(folder / f"worker-{index}.npy", run.engine.digests())


class ExampleRecorder:
    """Stands in for a run's engine and keeps the digests of the examples it trained on."""

    def __init__(self, engine: StepEngine, run: TrainingRun):
        self._engine = engine
        self._local_results = run.state.strategy.experimental_local_results
        self._steps: list[list[list[int]]] = []

    def run(self, segment: Segment) -> Iterator[StepResults]:
        """Does what StepEngine.run does."""
        for results in self._engine.run(segment):
            # The block of the call is still on the devices.
            last = self._engine.batches.position
            for position in range(last - results.num_steps, last):
                self._steps.append(self._digests_of_step(position))
            yield results

    def digests(self) -> np.ndarray:
        """Returns uint64 [steps, replicas of this process, rows]."""
        return np.array(self._steps, np.uint64)

    def _digests_of_step(self, position: int) -> list[list[int]]:
        import tensorflow as tf

        batches = self._engine.batches
        per_replica = {name: self._local_results(v) for name, v in batches.inputs().items()}
        found = []
        for replica in range(len(per_replica["labels"])):
            inputs = {name: values[replica] for name, values in per_replica.items()}
            images, labels, _ = batches.batch(inputs, tf.constant(position))
            found.append([digest(*example) for example in zip(images.numpy(), labels.numpy())])
        return found

    def __getattr__(self, name: str):
        return getattr(self._engine, name)


def digest(image: np.ndarray, label: np.ndarray) -> int:
    """Returns 64 bits of a hash of an image and its label."""
    found = hashlib.blake2b(image.tobytes() + label.tobytes(), digest_size=8).digest()
    return int.from_bytes(found, "little")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
