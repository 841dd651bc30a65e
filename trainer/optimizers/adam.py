"""Adam: D. P. Kingma, J. Ba, "Adam: A method for stochastic optimization", 2015."""

from typing import Any

import keras


def build(shared: dict[str, Any], *, momentum: float, weight_decay: float) -> keras.Optimizer:
    """Returns the optimizer; it takes neither flag."""
    return keras.optimizers.Adam(**shared)
