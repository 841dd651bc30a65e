"""What the figures of a run warn of, by a table and by real trainings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import binomtest

from trainer.trained.learned import confidence_interval, find_warnings, is_well_above

NOTHING = "The test split shows nothing learned: its accuracy of "
NO_LOSS = "The loss shows nothing learned: neither that of training (2.4) nor that of the test "
UNCONFIRMED = "Evaluation does not confirm the training accuracy of "
GOOD = {
    "train_accuracy": 0.93, "train_loss": 0.2, "train_accuracy_evaluated": None,
    "train_examples_evaluated": None, "test_accuracy": 0.9, "test_loss": 0.3, "test_examples": 1000,
    "majority_accuracy": 0.1,
}  # fmt: skip
# What differs from a good run of ten classes, and how its warnings begin.
TABLE = {
    "a good run": ({}, []),
    "no step was trained": ({"train_accuracy": None, "train_loss": None}, []),
    "the most frequent class": ({"test_accuracy": 0.1}, [NOTHING]),
    "hardly above it": ({"test_accuracy": 0.115}, [NOTHING]),
    "above it": ({"test_accuracy": 0.13}, []),
    "classes of unequal size": ({"test_accuracy": 0.9, "majority_accuracy": 0.89}, [NOTHING]),
    "few examples": (
        {"test_accuracy": 0.7, "majority_accuracy": 0.5, "test_examples": 10}, [NOTHING]
    ),
    "one class": ({"test_accuracy": 1.0, "majority_accuracy": 1.0}, [NOTHING]),
    "a loss as at the start": ({"train_loss": 2.4, "test_loss": 2.31}, [NO_LOSS]),
    "mixed targets": ({"train_loss": 2.4, "test_loss": 0.3}, []),
    "sure of what is wrong": ({"train_loss": 0.2, "test_loss": 3.0}, []),
    "over-fitting": (
        {"test_accuracy": 0.6, "train_accuracy_evaluated": 0.95, "train_examples_evaluated": 2000},
        [],
    ),
    "not confirmed": (
        {"test_accuracy": 0.6, "train_accuracy_evaluated": 0.62, "train_examples_evaluated": 2000},
        [UNCONFIRMED],
    ),
    "confirmed within 5 points": (
        {"test_accuracy": 0.6, "train_accuracy_evaluated": 0.885, "train_examples_evaluated": 2000},
        [],
    ),
    "not confirmed, at chance": (
        {"test_accuracy": 0.1, "train_accuracy_evaluated": 0.1, "train_examples_evaluated": 2000},
        [UNCONFIRMED, NOTHING],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "beginnings"), TABLE.values(), ids=TABLE.keys())
def test_what_is_warned_of(change, beginnings):
    found = find_warnings(GOOD | change, 10)
    assert len(found) == len(beginnings)
    for sentence, beginning in zip(found, beginnings):
        assert sentence.startswith(beginning)
    if found:  # What to try is said once.
        assert sum("--learning_rate" in each or "dropout" in each for each in found) == 1


@pytest.mark.parametrize(
    ("right", "count"), [(0, 1), (1, 1), (3, 10), (499, 1000), (10_000, 10_000)]
)
def test_the_interval_is_wilsons(right, count):
    expected = binomtest(right, count).proportion_ci(method="wilson")
    assert confidence_interval(right / count, count) == pytest.approx(
        (expected.low, expected.high), abs=1e-7
    )


@pytest.mark.parametrize(
    ("accuracy", "other", "examples", "is_above"),
    [
        (0.99, 0.95, 100_000, False),  # surely above, and by too little to speak of
        (0.99, 0.90, 1000, True),
        (0.97, 0.90, 10, False),  # nine of ten
        (0.80, 0.95, 1000, False),
    ],
)
def test_well_above_is_beyond_chance_and_five_points(accuracy, other, examples, is_above):
    assert is_well_above(accuracy, other, examples) == is_above


def ended(run, data) -> dict:
    from trainer import result

    test = result.evaluate_test(run)
    return result.describe(run, data, test, result.evaluate_train(run, test))


@pytest.fixture
def data():
    from trainer.config import TrainConfig
    from trainer.data import load_data

    return load_data(TrainConfig())


def test_steps_that_change_nothing(train, data):
    record = ended(train(model="mlp16", steps=5, learning_rate=1e-9), data)
    assert record["warnings"][0].startswith(NOTHING)
    labels = data.sources["test"].labels
    assert record["majority_accuracy"] == max(np.bincount(labels)) / len(labels)
    assert record["train_accuracy_evaluated"] is None


def test_labels_learned_by_heart_are_confirmed(train, data):
    source = data.sources["train"].take(np.arange(200))
    labels = np.random.default_rng(0).permutation(source.labels)
    sources = {**data.sources, "train": dataclasses.replace(source, labels=labels)}
    data = dataclasses.replace(data, sources=sources)
    record = ended(train(model="mlp", epochs=150, learning_rate=0.01, data=data), data)
    assert record["train_accuracy"] > 0.9
    assert record["train_accuracy_evaluated"] > 0.9
    assert record["train_examples_evaluated"] == 200
    assert [each.startswith(NOTHING) for each in record["warnings"]] == [True]


@pytest.mark.parametrize("num_replicas", [1, 2])
def test_averages_that_lag_are_told_from_over_fitting(train, data, num_replicas):
    flags = {"strategy": "mirrored", "virtual_devices": 2} if num_replicas == 2 else {}
    run = train(model="mlp", epochs=3, learning_rate=0.01, ema_decay=0.9999, **flags)
    record = ended(run, data)
    assert record["train_accuracy"] > 0.9
    assert record["train_accuracy_evaluated"] < record["train_accuracy"] - 0.05
    assert record["train_examples_evaluated"] == 1437
    assert record["warnings"][0].startswith(UNCONFIRMED)
    assert "--ema_decay" in record["warnings"][0]
