"""Four 5 x 5 convolutions of 32 and a dense layer of 128: 279,850 parameters at 28 x 28 x 1."""

from __future__ import annotations

import keras

from models._layers import classifier, image_input


def build_model(num_classes: int, image_shape: tuple[int, int, int]) -> keras.Model:
    """Returns the model: uint8 [N, *image_shape] -> logits [N, num_classes]."""
    images, features = image_input(image_shape)
    for _ in range(2):
        features = keras.layers.Conv2D(32, 5, padding="same", activation="relu")(features)
        features = keras.layers.Conv2D(32, 5, padding="same", activation="relu")(features)
        features = keras.layers.MaxPooling2D(padding="same")(features)
    features = keras.layers.Flatten()(features)
    features = keras.layers.Dense(128, activation="relu")(features)
    return classifier(images, features, num_classes, name="cnn5x5")
