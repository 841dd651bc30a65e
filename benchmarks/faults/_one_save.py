"""A process that saves one checkpoint, to be killed: python -m benchmarks.faults._one_save.

Arguments: the folder of the checkpoints, the step, the number that its arrays are made from, and
the number of arrays.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from trainer.checkpoints import CheckpointStore
from trainer.progress import Progress


def arrays(seed: int, count: int) -> dict[str, np.ndarray]:
    """Returns arrays as a model with its optimizer has them: matrices, vectors and counters."""
    generator = np.random.default_rng(seed)
    shapes = [((40, 30), (30,), ())[number % 3] for number in range(count)]
    return {
        f"model/{number:04d}/kernel": generator.standard_normal(shape).astype(np.float32)
        for number, shape in enumerate(shapes)
    }


def save(folder: Path, step: int, seed: int, count: int) -> None:
    """Saves a checkpoint; those before it are deleted."""
    CheckpointStore(folder, keep=1, tell=print).save(arrays(seed, count), Progress(step=step))


if __name__ == "__main__":
    save(Path(sys.argv[1]), *map(int, sys.argv[2:]))
