"""What tells two trainings apart: each kind of difference is seen, and named with its bound."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks import equality
from benchmarks.equality import BOUNDS, Evidence, broken_bounds, compare
from benchmarks.recorded_training import FOLDER, digest
from flowrate.records import append_json_lines


@pytest.fixture
def evidence() -> Evidence:
    random = np.random.default_rng(0)
    return Evidence(
        examples=np.arange(60, dtype=np.uint64).reshape(10, 6),
        losses=random.random(10),
        evaluations=np.array([[0.5, 0.25], [0.4, 0.75]]),
        num_examples=4,
        arrays={"model/0000/kernel": random.random((3, 2)), "optimizer/0000/m": np.zeros(6)},
        predictions=np.array([0, 1, 2, 2]),
        labels=np.array([0, 1, 2, 1]),
    )


def swapped(evidence: Evidence, first, second) -> np.ndarray:
    examples = evidence.examples.copy()
    examples[first], examples[second] = examples[second].copy(), examples[first].copy()
    return examples


def test_a_run_agrees_with_itself(evidence):
    metrics = compare(evidence, evidence)
    assert broken_bounds(metrics) == []
    assert metrics["distinct_examples"] == 60
    assert metrics["agreeing_decimals"] == 9


def test_the_confusion_matrix_has_labels_in_rows(evidence):
    expected = [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert evidence.confusion_matrix.tolist() == expected


@pytest.mark.parametrize(
    ("first", "second", "differing"),
    [((0, 0), (0, 5), 2), ((0, 0), (1, 0), 2), (0, 1, 12)],
    ids=["within a batch", "between steps", "two steps"],
)
def test_examples_in_another_place_are_seen(evidence, first, second, differing):
    """Two replicas that took each other's rows have the same batch, and the same mean loss."""
    found = dataclasses.replace(evidence, examples=swapped(evidence, first, second))
    metrics = compare(found, evidence)
    assert metrics["differing_examples"] == differing
    assert broken_bounds(metrics) == [f"differing examples {differing}, allowed 0"]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda e: {"losses": e.losses + 2e-5}, "largest_loss_difference"),
        (lambda e: {"losses": e.losses[:-1]}, "largest_loss_difference"),
        (lambda e: {"losses": e.losses * np.nan}, "largest_loss_difference"),
        (
            lambda e: {"arrays": {**e.arrays, "model/0000/kernel": np.ones((3, 2))}},
            "largest_weight_difference",
        ),
        (
            lambda e: {"arrays": {"model/0000/kernel": e.arrays["model/0000/kernel"]}},
            "largest_optimizer_difference",
        ),
        (
            lambda e: {"arrays": {**e.arrays, "optimizer/0000/m": np.full(6, -1.0)}},
            "largest_optimizer_difference",
        ),
        (lambda e: {"evaluations": e.evaluations * 1.01}, "largest_evaluation_difference"),
        (lambda e: {"predictions": np.array([0, 1, 2, 0])}, "differing_predictions"),
        # As if the replicas had counted one of the examples twice.
        (
            lambda e: {"evaluations": e.evaluations + np.array([[0, 0], [0, 0.25]])},
            "miscounted_predictions",
        ),
    ],
)
def test_any_other_difference_is_seen(evidence, change, name):
    metrics = compare(dataclasses.replace(evidence, **change(evidence)), evidence)
    words = name.replace("_", " ")
    assert any(reason.startswith(words) for reason in broken_bounds(metrics))


def test_what_is_within_the_bounds_is_no_difference(evidence):
    arrays = {name: array + 9e-6 for name, array in evidence.arrays.items()}
    found = dataclasses.replace(evidence, arrays=arrays, losses=evidence.losses - 9e-6)
    metrics = compare(found, evidence)
    assert broken_bounds(metrics) == []
    assert metrics["agreeing_decimals"] == pytest.approx(5.05, abs=0.01)
    assert set(BOUNDS) <= set(metrics)


def test_the_workers_rows_are_put_together_by_rank_and_replica(tmp_path):
    """Eleven workers: by number, not by name. Two replicas of two rows each."""
    (tmp_path / FOLDER).mkdir()
    whole = np.arange(3 * 44, dtype=np.uint64).reshape(3, 11, 2, 2)
    for worker in range(11):
        np.save(tmp_path / FOLDER / f"worker-{worker}.npy", whole[:, worker])
    append_json_lines(
        tmp_path / "metrics.jsonl",
        [{"kind": "train", "loss": 0.5}, {"kind": "checkpoint"},
         {"kind": "evaluation", "loss": 0.1, "accuracy": 1.0, "examples": 4}],
    )  # fmt: skip
    for step, value in ((20, 1.0), (40, 2.0)):
        folder = tmp_path / "checkpoints" / f"ckpt-{step:08d}"
        folder.mkdir(parents=True)
        np.savez(folder / "arrays.npz", **{"model/0000/kernel": np.full(2, value)})
    found = equality.read_evidence(tmp_path, np.zeros(4, np.int64), np.zeros(4, np.int64))
    assert found.examples.tolist() == whole.reshape(3, 44).tolist()
    assert found.losses.tolist() == [0.5]
    assert found.arrays["model/0000/kernel"].tolist() == [2, 2]
    assert found.num_examples == 4


def test_a_digest_tells_images_and_labels_apart():
    image, label = np.zeros((2, 2, 1), np.uint8), np.int32(3)
    other = image.copy()
    other[1, 1] = 1
    found = {digest(image, label), digest(other, label), digest(image, np.int32(4))}
    assert len(found) == 3
    assert digest(image.copy(), np.int32(3)) in found
