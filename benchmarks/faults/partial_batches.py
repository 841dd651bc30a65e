"""Sets that no batch divides: every example counts once, however many replicas share a batch.

What one, two and four replicas say of a split must be the same; and the same as a plain sum over
its examples, one batch of all, computed here from the weights that the run has left.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from benchmarks.faults import _runs
from benchmarks.faults._attempt import Attempt, check
from trainer.config import TrainConfig
from trainer.data import load_data

ID = "P14"
TITLE = "whatever is left over of a batch, 1, 2 and 4 replicas compute the same within 0.000001"

_TOLERANCE = 1e-6
_BATCH_SIZE = 8
_LEAST_EXAMPLES = 40
# Batches of training straddle epochs; those of an evaluation are padded.
_FLAGS = {
    "dataset": "digits", "model": "mlp16", "steps": 6, "global_batch_size": _BATCH_SIZE,
    "log_every_steps": 1, "evaluate_every_steps": 3, "precision": "float32", "report": False,
}  # fmt: skip
_COMPARED = ("loss", "accuracy", "gradient_norm")


def attempts(full: bool, seed: int) -> list[Attempt]:
    """Returns remainders of an evaluation's last batch, each on 1, 2 and 4 replicas: 12, or 24."""
    remainders = range(_BATCH_SIZE) if full else (0, 1, 4, 7)
    return [
        Attempt(f"{left_over} left over", functools.partial(_compare, left_over=left_over))
        for left_over in remainders
    ]


def _compare(folder: Path, left_over: int) -> dict[str, float]:
    num_examples = _LEAST_EXAMPLES + left_over
    curves = {}
    for num_replicas in (1, 2, 4):
        flags = {**_FLAGS, "validation_examples": num_examples}
        if num_replicas > 1:
            flags |= {"strategy": "mirrored", "virtual_devices": num_replicas}
        training = _runs.Training(folder / f"run-{num_replicas}", **flags)
        training.finish()
        for row in training.rows("evaluation"):
            check(row["examples"] == num_examples, f"{row['examples']} of {num_examples} counted")
        curves[num_replicas] = _runs.curve(training.run_dir)
        counted = _count(training.run_dir, num_examples)
        last = [row for row in curves[num_replicas] if "split" in row][-1:]
        _difference([{**last[0], **counted}], last, num_replicas)
    largest = max(_difference(curves[1], curves[count], count) for count in (2, 4))
    return {"runs": 3, "most_difference": largest}


def _count(run_dir: Path, num_examples: int) -> dict[str, float]:
    """Returns loss and accuracy of the validation split, all its examples at once, in float64."""
    import scipy.special  # Here, so that a list of the promises stays quick.

    config = TrainConfig(**{**_FLAGS, "validation_examples": num_examples})
    split = load_data(config).sources["validation"]
    arrays = _runs.final_arrays(run_dir)
    weights = [arrays[name] for name in sorted(arrays) if name.startswith("model/")]
    values = split.images.reshape(num_examples, -1) / np.float64(255)
    for kernel, bias in zip(weights[::2], weights[1::2]):
        logits = values @ kernel + bias
        values = np.maximum(logits, 0)
    labels = np.asarray(split.labels)
    losses = -scipy.special.log_softmax(logits, axis=1)[np.arange(num_examples), labels]
    return {"loss": losses.mean(), "accuracy": (logits.argmax(axis=1) == labels).mean()}


def _difference(expected: list[dict], found: list[dict], num_replicas: int) -> float:
    """Returns the largest difference of a figure, relative to it where it is above 1."""
    check(len(expected) == len(found) > 0, f"{len(found)} rows, not {len(expected)}")
    largest = 0.0
    for row, other in zip(expected, found):
        for name in set(_COMPARED) & row.keys():
            difference = abs(row[name] - other[name]) / max(1.0, abs(row[name]))
            check(
                difference <= _TOLERANCE,
                f"{name} at step {row['step']}: {other[name]} on {num_replicas} replicas, not "
                f"{row[name]}",
            )
            largest = max(largest, difference)
    return largest
