"""What a classifier's answers are worth: counts, rates and calibration, from its probabilities."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

_TOP = 5


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
    """

    examples: int
    accuracy: float
    top_5_accuracy: float | None
    macro_f1: float
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    confusion: np.ndarray

    def to_json(self, class_names: tuple[str, ...]) -> dict[str, Any]:
        """Returns the figures, JSON-able, classes by name."""
        return {
            "examples": self.examples,
            "accuracy": self.accuracy,
            "top_5_accuracy": self.top_5_accuracy,
            "macro_f1": self.macro_f1,
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


def score(logits: np.ndarray, labels: np.ndarray) -> Scores:
    """Returns the scores of float32 [N, C] logits against int32 [N] labels."""
    from sklearn import metrics

    classes = np.arange(logits.shape[1])
    predicted = logits.argmax(axis=1)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, predicted, labels=classes, zero_division=0.0
    )
    top = None
    if len(classes) > _TOP:
        top = float(metrics.top_k_accuracy_score(labels, logits, k=_TOP, labels=classes))
    return Scores(
        examples=len(labels),
        accuracy=float(metrics.accuracy_score(labels, predicted)),
        top_5_accuracy=top,
        macro_f1=float(f1.mean()),
        precision=precision,
        recall=recall,
        f1=f1,
        confusion=metrics.confusion_matrix(labels, predicted, labels=classes),
    )
