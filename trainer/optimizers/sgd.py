"""Stochastic gradient descent, with Nesterov momentum where --momentum is not 0."""

from typing import Any

import keras


def build(shared: dict[str, Any], *, momentum: float, weight_decay: float) -> keras.Optimizer:
    """Returns the optimizer."""
    return keras.optimizers.SGD(momentum=momentum, nesterov=momentum > 0, **shared)
