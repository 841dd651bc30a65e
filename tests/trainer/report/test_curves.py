"""What the curves say in words."""

from __future__ import annotations

import dataclasses

import pytest

from trainer.config import TrainConfig
from trainer.report.curves import describe_fit, learning_curves
from trainer.report.run_record import RunRecord
from trainer.trained.run import TrainedRun


def record(
    train: list[tuple[float, float]], evaluations: list[tuple[float, float]], **result
) -> RunRecord:
    """A run of one row an epoch: (loss, accuracy) of training and of validation."""

    def rows(pairs, **more):
        return [
            {"step": 10 * (i + 1), "epoch": i + 1.0, "loss": loss, "accuracy": accuracy, **more}
            for i, (loss, accuracy) in enumerate(pairs)
        ]

    trained = TrainedRun("run", TrainConfig(), "mlp", ("a", "b"), (8, 8, 1), 100, result)
    return RunRecord(trained, {}, rows(train), rows(evaluations, split="validation"), None, None)


CASES = {
    "over-fitting": (
        [(0.5, 0.8), (0.2, 0.95), (0.05, 0.99)], [(0.5, 0.8), (0.4, 0.85), (0.7, 0.84)],
        "Over-fitting: validation loss was lowest after epoch 2 (0.4) and has risen to 0.7",
    ),
    "a gap": (
        [(0.5, 0.8), (0.2, 0.95)], [(0.5, 0.8), (0.49, 0.85)], "a gap of +10.0 points.",
    ),
    "room to learn": (
        [(0.5, 0.8), (0.4, 0.85)], [(0.5, 0.8), (0.42, 0.85)], "was still falling",
    ),
    "a good fit": (
        [(0.5, 0.8), (0.4, 0.85), (0.4, 0.86)], [(0.5, 0.8), (0.42, 0.86), (0.421, 0.86)],
        "No over-fitting to be seen.",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("train", "evaluations", "words"), CASES.values(), ids=CASES.keys())
def test_what_the_curves_say(train, evaluations, words):
    assert words in describe_fit(record(train, evaluations))


@pytest.mark.parametrize(
    ("evaluated", "words", "absent"),
    [
        (0.97, "97.00% on training examples, which confirms it. Over-fitting: ", "warning above"),
        (0.84, "84.00% on training examples, so that this is no over-fitting: see", "Over-fitting"),
    ],
)
def test_over_fitting_is_what_evaluation_confirms(evaluated, words, absent):
    train, evaluations, _ = CASES["over-fitting"]
    result = {"train_accuracy": 0.99, "train_examples_evaluated": 2000}
    said = describe_fit(record(train, evaluations, train_accuracy_evaluated=evaluated, **result))
    assert words in said
    assert absent not in said


def test_a_run_that_was_never_evaluated():
    assert "Nothing was evaluated" in describe_fit(record([(0.5, 0.8)], []))
    assert learning_curves(record([], [])) == []


def test_a_long_run_draws_as_much_as_a_short_one():
    rows = [(1 / (i + 1), 1 - 1 / (i + 1)) for i in range(50_000)]
    pictures = learning_curves(record(rows, rows[-5:]))
    assert [picture.title for picture in pictures] == ["Loss", "Accuracy"]
    assert max(len(picture.svg()) for picture in pictures) < 60_000


def test_a_split_is_the_test_where_there_is_no_other():
    assert dataclasses.replace(record([], []), evaluations=[]).split == "test"
