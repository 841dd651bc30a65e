"""The flowers tutorial's network: 3,989,285 parameters at 180 x 180 x 3 and five classes."""

from __future__ import annotations

import keras

from models._layers import classifier, image_input


def build_model(num_classes: int, image_shape: tuple[int, int, int]) -> keras.Model:
    """Returns the model: uint8 [N, *image_shape] -> logits [N, num_classes]."""
    images, features = image_input(image_shape)
    for filters in (16, 32, 64):
        features = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(features)
        # Padded poolings change nothing at even sizes and let any small image through.
        padding = "valid" if min(features.shape[1:3]) >= 2 else "same"
        features = keras.layers.MaxPooling2D(padding=padding)(features)
    features = keras.layers.Dropout(0.2)(features)
    features = keras.layers.Flatten()(features)
    features = keras.layers.Dense(128, activation="relu")(features)
    return classifier(images, features, num_classes, name="flowers_cnn")
