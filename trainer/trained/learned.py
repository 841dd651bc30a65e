"""Whether a run has learned anything, and whether its figures bear each other out."""

from __future__ import annotations

import math
from typing import Any

# Of a normal distribution: 95 % lie within.
_Z = 1.959964
# A smaller difference of accuracies is not spoken of, however many examples tell of it.
_GAP = 0.05
_TRY = (
    "Try a lower or a higher --learning_rate, more --epochs or --steps, and a look at the labels "
    "(python -m input_pipelines.inspect); with few photos, begin from trained weights (--weights)."
)
_CAUSES = (
    "the averages of --ema_decay, or BatchNorm's statistics, may lag behind the weights (train for "
    "more steps, or lower --ema_decay), or training sees other images and layers than evaluation "
    "does (--augmentation, dropout)."
)


def find_warnings(result: dict[str, Any], num_classes: int) -> list[str]:
    """Returns what a person should know of the figures of a completed run; mostly nothing."""
    found = []
    unconfirmed = is_unconfirmed(result)
    if unconfirmed:
        found.append(
            f"Evaluation does not confirm the training accuracy of {result['train_accuracy']:.2%}: "
            f"with the final weights it is {result['train_accuracy_evaluated']:.2%} of "
            f"{result['train_examples_evaluated']:,} training examples. That is no over-fitting: "
            f"{_CAUSES}"
        )
    accuracy, majority = result["test_accuracy"], result["majority_accuracy"]
    losses, guess = (result["train_loss"], result["test_loss"]), math.log(num_classes)
    low, high = confidence_interval(accuracy, result["test_examples"])
    advice = "" if unconfirmed else f" {_TRY}"
    if low <= majority:
        found.append(
            f"The test split shows nothing learned: its accuracy of {accuracy:.2%} ({low:.1%} to "
            f"{high:.1%} with 95 % confidence) is not above the {majority:.2%} of always saying "
            f"the most frequent class.{advice}"
        )
    elif None not in losses and min(losses) >= guess:
        found.append(
            f"The loss shows nothing learned: neither that of training ({losses[0]:.4g}) nor that "
            f"of the test split ({losses[1]:.4g}) is below {guess:.4g}, that of a guess.{advice}"
        )
    return found


def is_well_above(accuracy: float, other: float, examples: int) -> bool:
    """Returns whether an accuracy is above another one, measured on so many examples, by more than
    their number explains and by more than 5 points.
    """
    return accuracy - other > _GAP and accuracy > confidence_interval(other, examples)[1]


def is_unconfirmed(result: dict[str, Any]) -> bool:
    """Returns whether the training split was evaluated, and training accuracy is well above."""
    evaluated = result.get("train_accuracy_evaluated")
    return evaluated is not None and is_well_above(
        result["train_accuracy"], evaluated, result["train_examples_evaluated"]
    )


def confidence_interval(share: float, examples: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share of so many examples.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    weight = _Z**2 / examples
    middle = (share + weight / 2) / (1 + weight)
    half = _Z * math.sqrt(share * (1 - share) / examples + weight / (4 * examples)) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)
