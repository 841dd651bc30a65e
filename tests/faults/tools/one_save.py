"""A process that saves one checkpoint, to be killed: python -m faults.tools.one_save.

Arguments: the folder of the checkpoints, the step, the number that its arrays are made from, and
their source: how many to make up, or a run that has saved number 1 after step 10, 2 after 20.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from trainer.checkpoints.npz import read_arrays
from trainer.checkpoints.progress import Progress
from trainer.checkpoints.store import CheckpointStore


def arrays(seed: int, source: str) -> dict[str, np.ndarray]:
    """Returns arrays as a model with its optimizer has them: matrices, vectors and counters."""
    if not source.isdecimal():
        return read_arrays(Path(source) / "checkpoints" / f"ckpt-{10 * seed:08d}" / "arrays.npz")
    generator = np.random.default_rng(seed)
    shapes = [((40, 30), (30,), ())[number % 3] for number in range(int(source))]
    return {
        f"model/{number:04d}/kernel": generator.standard_normal(shape).astype(np.float32)
        for number, shape in enumerate(shapes)
    }


def save(folder: Path, step: int, seed: int, source: str) -> None:
    """Saves a checkpoint; those before it are deleted."""
    CheckpointStore(folder, keep=1, tell=print).save(arrays(seed, source), Progress(step=step))


if __name__ == "__main__":
    save(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
