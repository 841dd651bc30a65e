"""Whether two runs are the same training: their examples, losses, weights and predictions.

Pure: what two finished runs have left, side by side.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recorded_training import FOLDER
from flowrate.records import read_json_lines

# What a metric may come to. Sums in another order differ in the last bits of a float32.
BOUNDS = {
    "differing_examples": 0,
    "largest_loss_difference": 1e-5,
    "largest_weight_difference": 1e-5,
    "largest_optimizer_difference": 1e-5,
    "largest_evaluation_difference": 1e-5,
    "differing_predictions": 0,
    "miscounted_predictions": 0,
}
# Where nothing differs at all there is no end to the decimals.
_MOST_DECIMALS = 9


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What a run has left.

    Attributes:
        examples: uint64 [steps, global batch], digests in the order of replicas.
        losses: float64 [steps], each the mean over the batch.
        evaluations: float64 [evaluations, 2]: loss and accuracy on the test split, by the run.
        num_examples: of the test split, as the run counted them.
        arrays: of its last checkpoint, by name.
        predictions: int64 [test examples], the class the saved model gives.
        labels: int64 [test examples].
    """

    examples: np.ndarray
    losses: np.ndarray
    evaluations: np.ndarray
    num_examples: int
    arrays: Mapping[str, np.ndarray]
    predictions: np.ndarray
    labels: np.ndarray

    @property
    def confusion_matrix(self) -> np.ndarray:
        """int64 [classes, classes]: rows are labels, columns predictions."""
        count = 1 + int(max(self.labels.max(), self.predictions.max()))
        matrix = np.zeros((count, count), np.int64)
        np.add.at(matrix, (self.labels, self.predictions), 1)
        return matrix


def read_evidence(run_dir: Path, predictions: np.ndarray, labels: np.ndarray) -> Evidence:
    """Reads what benchmarks/recorded_training.py and the trainer have left in a run directory."""
    rows = read_json_lines(run_dir / "metrics.jsonl")
    evaluations = [row for row in rows if row["kind"] == "evaluation"]
    newest = max((run_dir / "checkpoints").glob("ckpt-????????"))
    with np.load(newest / "arrays.npz", allow_pickle=False) as archive:
        arrays = dict(archive)
    return Evidence(
        examples=_read_examples(run_dir / FOLDER),
        losses=np.array([row["loss"] for row in rows if row["kind"] == "train"]),
        evaluations=np.array([[row["loss"], row["accuracy"]] for row in evaluations]),
        num_examples=evaluations[-1]["examples"],
        arrays=arrays,
        predictions=predictions,
        labels=labels,
    )


def compare(found: Evidence, expected: Evidence) -> dict[str, float]:
    """Returns the metrics of `found` beside `expected`; those in BOUNDS are 0 where they agree."""
    weight_difference = _largest_of_arrays(found, expected, "model/")
    matrix = found.confusion_matrix
    counted = round(found.evaluations[-1, 1] * found.num_examples)
    return {
        "differing_examples": _num_differing(found.examples, expected.examples),
        "distinct_examples": len(np.unique(found.examples)),
        "largest_loss_difference": _largest(found.losses, expected.losses),
        "largest_weight_difference": weight_difference,
        "largest_optimizer_difference": _largest_of_arrays(found, expected, "optimizer/"),
        "largest_evaluation_difference": _largest(found.evaluations, expected.evaluations),
        "differing_predictions": _num_differing(found.predictions, expected.predictions),
        # The run's own evaluation, over all its replicas, beside one process with the saved model.
        "miscounted_predictions": abs(counted - int(np.trace(matrix))),
        "agreeing_decimals": agreeing_decimals(weight_difference),
    }


def broken_bounds(metrics: Mapping[str, float]) -> list[str]:
    """Returns, in words, which of BOUNDS the metrics break."""
    return [
        f"{name.replace('_', ' ')} {metrics[name]:.3g}, allowed {bound:g}"
        for name, bound in BOUNDS.items()
        # Not a number is no agreement either.
        if not metrics[name] <= bound
    ]


def agreeing_decimals(difference: float) -> float:
    """Returns to how many decimals two figures agree that differ by so much; at most 9."""
    return -math.log10(max(difference, 10.0**-_MOST_DECIMALS))


def as_samples(found: Evidence, expected: Evidence) -> dict[str, Any]:
    """Returns, JSON-able, the curves and the confusion matrices that were compared."""
    return {
        "losses": found.losses.tolist(),
        "reference_losses": expected.losses.tolist(),
        "confusion_matrix": found.confusion_matrix.tolist(),
        "reference_confusion_matrix": expected.confusion_matrix.tolist(),
    }


def _read_examples(folder: Path) -> np.ndarray:
    """Returns uint64 [steps, global batch]: the workers' rows by rank, in each the replicas'."""
    paths = sorted(folder.glob("worker-*.npy"), key=lambda path: int(path.stem.split("-")[1]))
    parts = [np.load(path) for path in paths]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def _largest_of_arrays(found: Evidence, expected: Evidence, prefix: str) -> float:
    names = {name for name in (*found.arrays, *expected.arrays) if name.startswith(prefix)}
    if any(name not in found.arrays or name not in expected.arrays for name in names):
        return math.inf
    return max(_largest(found.arrays[name], expected.arrays[name]) for name in names)


def _largest(found: np.ndarray, expected: np.ndarray) -> float:
    if found.shape != expected.shape:
        return math.inf
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    return float(difference.max(initial=0.0))


def _num_differing(found: np.ndarray, expected: np.ndarray) -> int:
    if found.shape != expected.shape:
        return max(found.size, expected.size)
    return int(np.count_nonzero(found != expected))
