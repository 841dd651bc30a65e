"""LAMB: Y. You et al., "Large batch optimization for deep learning", 2020."""

from typing import Any

import keras


def build(shared: dict[str, Any], *, momentum: float, weight_decay: float) -> keras.Optimizer:
    """Returns the optimizer."""
    return keras.optimizers.Lamb(**shared)
