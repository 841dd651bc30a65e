"""Which layer a converter cannot take."""

from __future__ import annotations

from collections.abc import Callable

import keras


def find_failing_layer(
    model: keras.Model, convert: Callable[[keras.Model], None]
) -> keras.Layer | None:
    """Returns the first layer up to which a model cannot be converted; None where all of it can.

    By bisection: a part of the model that holds the layer fails, any that does not is taken, so
    that about log2(layers) conversions tell.

    Args:
        model: a functional model.
        convert: raises where it cannot convert.
    """
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]

    def fails(count: int) -> bool:
        outputs = [layer.output for layer in layers[:count]]
        try:
            convert(keras.Model(model.inputs, outputs))
        except Exception:
            return True
        return False

    low, high = 0, len(layers)  # The first `low` layers convert, the first `high` do not.
    if not fails(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fails(middle) else (middle, high)
    return layers[low]
