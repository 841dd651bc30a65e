"""Sets that no batch divides: every example counts once, however many replicas share a batch."""

from __future__ import annotations

import functools
from pathlib import Path

from benchmarks.faults import _runs
from benchmarks.faults._attempt import Attempt, check

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
    largest = max(_difference(curves[1], curves[count], count) for count in (2, 4))
    return {"runs": 3, "most_difference": largest}


def _difference(expected: list[dict], found: list[dict], num_replicas: int) -> float:
    """Returns the largest difference of a figure, relative to it where it is above 1."""
    check(len(expected) == len(found) > 0, f"{len(found)} rows, of one replica {len(expected)}")
    largest = 0.0
    for row, other in zip(expected, found):
        for name in set(_COMPARED) & row.keys():
            difference = abs(row[name] - other[name]) / max(1.0, abs(row[name]))
            check(
                difference <= _TOLERANCE,
                f"{name} at step {row['step']}: {other[name]} on {num_replicas} replicas, "
                f"{row[name]} on one",
            )
            largest = max(largest, difference)
    return largest
