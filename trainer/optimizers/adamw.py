"""AdamW: I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2019."""

from typing import Any

import keras


def build(shared: dict[str, Any], *, momentum: float, weight_decay: float) -> keras.Optimizer:
    """Returns the optimizer; without weight decay it is Adam."""
    # Keras's own default decays by 0.004.
    return keras.optimizers.AdamW(**shared | {"weight_decay": weight_decay})
