"""What a classifier's answers are worth: counts, rates and calibration."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from trainer.trained.predictions import Predictions

_TOP = 5
# As in C. Guo et al., "On calibration of modern neural networks" (2017).
_NUM_BINS = 15


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How often answers of each confidence are right; see Guo et al., section 2.

    Attributes:
        counts: int64 [15], answers whose confidence lies in ((i, i + 1] / 15).
        confidences: float64 [15], their mean confidence; NaN where there are none.
        accuracies: float64 [15], the share that is right; NaN where there are none.
        expected_error: mean |accuracy - confidence| over the answers (ECE).
    """

    counts: np.ndarray
    confidences: np.ndarray
    accuracies: np.ndarray
    expected_error: float


@dataclasses.dataclass(frozen=True)
class Scores:
    """Figures of N predictions of C classes.

    Attributes:
        examples: N.
        accuracy: share of right answers.
        top_5_accuracy: share whose class is among the five most probable; None where C < 6.
        macro_f1: mean over the classes of the harmonic mean of precision and recall.
        precision, recall, f1: float64 [C]; 0 where nothing was predicted, or there is nothing.
        confusion: int64 [C, C]: true class by predicted class.
        calibration: of the confidences.
    """

    examples: int
    accuracy: float
    top_5_accuracy: float | None
    macro_f1: float
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    confusion: np.ndarray
    calibration: Calibration

    def to_json(self, class_names: tuple[str, ...]) -> dict[str, Any]:
        """Returns the figures, JSON-able, classes by name."""
        return {
            "examples": self.examples,
            "accuracy": self.accuracy,
            "top_5_accuracy": self.top_5_accuracy,
            "macro_f1": self.macro_f1,
            "expected_calibration_error": self.calibration.expected_error,
            "classes": [
                {
                    "name": name,
                    "examples": int(self.confusion[index].sum()),
                    "precision": float(self.precision[index]),
                    "recall": float(self.recall[index]),
                    "f1": float(self.f1[index]),
                }
                for index, name in enumerate(class_names)
            ],
            "confusion_matrix": self.confusion.tolist(),
        }


def score(predictions: Predictions, num_classes: int) -> Scores:
    """Returns the scores of predictions of `num_classes` classes."""
    # By hand, and held to scikit-learn's figures by a test: its import takes a second of every run.
    pairs = predictions.labels.astype(np.int64) * num_classes + predictions.predicted
    confusion = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
    right = np.diag(confusion)
    precision = _share(right, confusion.sum(axis=0))
    recall = _share(right, confusion.sum(axis=1))
    f1 = _share(2 * right, confusion.sum(axis=0) + confusion.sum(axis=1))
    return Scores(
        examples=len(predictions),
        accuracy=float(predictions.is_right.mean()),
        top_5_accuracy=float((predictions.ranks < _TOP).mean()) if num_classes > _TOP else None,
        macro_f1=float(f1.mean()),
        precision=precision,
        recall=recall,
        f1=f1,
        confusion=confusion,
        calibration=calibrate(predictions.confidences, predictions.is_right),
    )


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Returns float64 part / whole; 0 where there is no whole."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


def calibrate(confidences: np.ndarray, is_right: np.ndarray) -> Calibration:
    """Returns how well float32 [N] confidences fit bool [N] answers."""
    confidences = confidences.astype(np.float64)
    bins = np.clip(np.ceil(confidences * _NUM_BINS).astype(int) - 1, 0, _NUM_BINS - 1)
    counts = np.bincount(bins, minlength=_NUM_BINS)
    sums = [np.bincount(bins, values, _NUM_BINS) for values in (confidences, is_right)]
    with np.errstate(invalid="ignore"):
        means = [of_bins / counts for of_bins in sums]
    error = np.abs(sums[0] - sums[1]).sum() / len(confidences)
    return Calibration(counts, means[0], means[1], float(error))
