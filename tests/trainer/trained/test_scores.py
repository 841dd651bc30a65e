"""Rates and calibration, against counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.trained.predictions import Predictions
from trainer.trained.scores import calibrate, score


def predictions(labels, predicted, num_classes: int = 3) -> Predictions:
    logits = 5 * np.eye(num_classes, dtype=np.float32)[np.array(predicted)]
    return Predictions.from_logits(
        logits, np.array(labels, np.int32), lambda i: np.zeros((len(i), 2, 2, 1), np.uint8)
    )


def test_rates_by_hand():
    found = score(predictions([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0]), 3)
    assert found.accuracy == pytest.approx(4 / 6)
    np.testing.assert_array_equal(found.confusion, [[2, 1, 0], [0, 2, 0], [1, 0, 0]])
    np.testing.assert_allclose(found.precision, [2 / 3, 2 / 3, 0])
    np.testing.assert_allclose(found.recall, [2 / 3, 1, 0])
    np.testing.assert_allclose(found.f1, [2 / 3, 0.8, 0])
    assert found.macro_f1 == pytest.approx(np.mean([2 / 3, 0.8, 0]))
    assert found.top_5_accuracy is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60))
def test_rates_are_those_of_scikit_learn(pairs):
    from sklearn import metrics

    labels, predicted = (list(each) for each in zip(*pairs))
    found = score(predictions(labels, predicted, 6), 6)
    classes = np.arange(6)
    expected = metrics.precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=0.0
    )
    for ours, theirs in zip((found.precision, found.recall, found.f1), expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    counts = metrics.confusion_matrix(labels, predicted, labels=classes)
    np.testing.assert_array_equal(found.confusion, counts)


def test_a_class_nobody_is_of_counts_as_zero():
    found = score(predictions([0, 0], [0, 0]), 3)
    np.testing.assert_array_equal(found.f1, [1, 0, 0])
    assert found.to_json(("a", "b", "c"))["classes"][2]["examples"] == 0


def test_top_5():
    logits = np.arange(7, dtype=np.float32)[None].repeat(7, axis=0)  # Class 6 first, 0 last.
    found = Predictions.from_logits(
        logits, np.arange(7, dtype=np.int32), lambda i: np.zeros((len(i), 2, 2, 1), np.uint8)
    )
    assert score(found, 7).top_5_accuracy == pytest.approx(5 / 7)


def test_calibration_by_hand():
    confidences = np.array([0.9, 0.9, 0.62, 0.62], np.float32)
    found = calibrate(confidences, np.array([True, True, True, False]))
    # |1 - 0.9| for two answers, |0.5 - 0.62| for two.
    assert found.expected_error == pytest.approx(0.11)
    assert found.counts.sum() == 4
    assert found.accuracies[9] == pytest.approx(0.5)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1))
def test_every_answer_falls_into_one_bin(answers):
    confidences = np.array([confidence for confidence, _ in answers], np.float32)
    is_right = np.array([right for _, right in answers])
    found = calibrate(confidences, is_right)
    assert found.counts.sum() == len(answers)
    assert 0 <= found.expected_error <= 1
    filled = found.counts > 0
    total = (found.counts[filled] * found.accuracies[filled]).sum()
    assert total == pytest.approx(is_right.sum())
