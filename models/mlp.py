"""One hidden layer of 128, as in the Fashion-MNIST tutorial: 101,770 parameters at 28 x 28."""

from __future__ import annotations

import keras

from models._layers import dense_network


def build_model(num_classes: int, image_shape: tuple[int, int, int]) -> keras.Model:
    """Returns the model: uint8 [N, *image_shape] -> logits [N, num_classes]."""
    return dense_network(num_classes, image_shape, widths=(128,), name="mlp")
