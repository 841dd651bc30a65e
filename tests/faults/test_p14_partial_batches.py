"""P14: sets that no batch divides: every example counts once, however many replicas share a batch.

What one, two and four replicas say of a split must be the same; and the same as a plain sum over
its examples, one batch of all, computed here from the weights that the run has left.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
from faults.tools import runs
from faults.tools.sizes import sized

from flowrate.records import read_json_lines

_TOLERANCE = 1e-6
_BATCH_SIZE = 8
_LEAST_EXAMPLES = 40
# Batches of training straddle epochs; those of an evaluation are padded.
_FLAGS = {
    "dataset": "digits", "model": "mlp16", "steps": 6, "global_batch_size": _BATCH_SIZE,
    "log_every_steps": 1, "evaluate_every_steps": 3, "precision": "float32",
}  # fmt: skip
_COMPARED = ("loss", "accuracy", "gradient_norm")


@pytest.mark.parametrize("left_over", sized((0, 1, 4, 7), range(_BATCH_SIZE)))
def test_1_2_and_4_replicas_agree(train, left_over, record):
    num_examples = _LEAST_EXAMPLES + left_over
    curves = {}
    for num_replicas in (1, 2, 4):
        flags = (
            {"strategy": "mirrored", "virtual_devices": num_replicas} if num_replicas > 1 else {}
        )
        run = train(**_FLAGS, **flags, validation_examples=num_examples)
        found = curves[num_replicas] = runs.curve(run.run_dir.path)
        rows = read_json_lines(run.run_dir.metrics_path)
        counts = [row["examples"] for row in rows if row["kind"] == "evaluation"]
        assert counts == [num_examples] * 2
        (last,) = [row for row in found if "split" in row][-1:]
        _difference([{**last, **_count(run)}], [last])
    record(runs=3, most_difference=max(_difference(curves[1], curves[n]) for n in (2, 4)))


def _count(run) -> dict[str, float]:
    """Returns loss and accuracy of the validation split, all its examples at once, in float64."""
    split = run.sources["validation"]
    arrays = runs.final_arrays(run.run_dir.path)
    weights = [arrays[name] for name in sorted(arrays) if name.startswith("model/")]
    values = split.images.reshape(len(split), -1) / np.float64(255)
    for kernel, bias in zip(weights[::2], weights[1::2]):
        logits = values @ kernel + bias
        values = np.maximum(logits, 0)
    labels = np.asarray(split.labels)
    losses = -scipy.special.log_softmax(logits, axis=1)[np.arange(len(split)), labels]
    accuracy = (logits.argmax(axis=1) == labels).mean()
    return {"loss": losses.mean(), "accuracy": accuracy}


def _difference(expected: list[dict], found: list[dict]) -> float:
    """Returns the largest difference of a figure, relative to it where it is above 1."""
    assert len(expected) == len(found) > 0
    differences = [
        abs(row[name] - other[name]) / max(1.0, abs(row[name]))
        for row, other in zip(expected, found)
        for name in set(_COMPARED) & row.keys()
    ]
    assert max(differences) <= _TOLERANCE
    return max(differences)
