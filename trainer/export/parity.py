"""How far the answers of an exported model are from those of the trained one."""

from __future__ import annotations

import dataclasses

import numpy as np

from flowrate.errors import ExportError
from trainer.trained.predictions import softmax


@dataclasses.dataclass
class Parity:
    """Differences over the examples of a split, added up batch by batch.

    Attributes:
        examples: so far.
        max_logit_difference: largest |exported - trained| of a logit.
        max_probability_difference: the same of a probability.
        changed_answers: examples whose most probable class is another one.
        right_before: examples that the trained model gets right.
        right_after: examples that the exported one gets right.
    """

    examples: int = 0
    max_logit_difference: float = 0.0
    max_probability_difference: float = 0.0
    changed_answers: int = 0
    right_before: int = 0
    right_after: int = 0

    def add(
        self, labels: np.ndarray, trained: np.ndarray, exported: tuple[np.ndarray, np.ndarray]
    ) -> None:
        """Adds a batch.

        Args:
            labels: int32 [N].
            trained: float32 [N, classes], the trained model's logits.
            exported: logits and probabilities of the exported one, each float32 [N, classes].

        Raises:
            ExportError: the exported model gives no numbers, or not those of these classes.
        """
        logits, probabilities = exported
        for name, values in (("logits", logits), ("probabilities", probabilities)):
            problem = None
            if values.shape != trained.shape or values.dtype != np.float32:
                problem = (
                    f"as {values.dtype} {list(values.shape)}, not float32 {list(trained.shape)}"
                )
            elif not np.isfinite(values).all():
                problem = "that are not finite numbers"
            if problem:
                raise ExportError(
                    f"the exported model gives {name} {problem}; choose another --format or "
                    "--quantize."
                )
        before, after = trained.argmax(axis=1), logits.argmax(axis=1)
        self.examples += len(labels)
        distance = float(np.abs(logits - trained).max())
        self.max_logit_difference = max(self.max_logit_difference, distance)
        distance = float(np.abs(probabilities - softmax(trained)).max())
        self.max_probability_difference = max(self.max_probability_difference, distance)
        self.changed_answers += int((before != after).sum())
        self.right_before += int((before == labels).sum())
        self.right_after += int((after == labels).sum())

    def is_within(self, largest_fall: float) -> bool:
        """Returns whether accuracy falls by at most this share of the examples."""
        # In examples: the difference of two accuracies is rounded.
        return self.right_before - self.right_after <= largest_fall * self.examples + 1e-6

    def to_json(self) -> dict[str, int | float]:
        """Returns the figures for export.json."""
        return {
            "examples": self.examples,
            "accuracy_before": self.right_before / self.examples,
            "accuracy_after": self.right_after / self.examples,
            "changed_answers": self.changed_answers,
            "max_logit_difference": self.max_logit_difference,
            "max_probability_difference": self.max_probability_difference,
        }
