"""Three 3 x 3 convolutions, as in TensorFlow's CNN tutorial: 93,322 parameters at 28 x 28 x 1."""

from __future__ import annotations

import keras

from models._layers import classifier, image_input

# Three unpadded convolutions and two poolings leave nothing of a smaller image.
MIN_UNPADDED_SIDE = 18


def build_model(num_classes: int, image_shape: tuple[int, int, int]) -> keras.Model:
    """Returns the model: uint8 [N, *image_shape] -> logits [N, num_classes].

    Images with a side below 18 pixels are padded so that their size is kept.
    """
    padding = "same" if min(image_shape[:2]) < MIN_UNPADDED_SIDE else "valid"
    images, features = image_input(image_shape)
    features = keras.layers.Conv2D(32, 3, padding=padding, activation="relu")(features)
    features = keras.layers.MaxPooling2D(padding=padding)(features)
    features = keras.layers.Conv2D(64, 3, padding=padding, activation="relu")(features)
    features = keras.layers.MaxPooling2D(padding=padding)(features)
    features = keras.layers.Conv2D(64, 3, padding=padding, activation="relu")(features)
    features = keras.layers.Flatten()(features)
    features = keras.layers.Dense(64, activation="relu")(features)
    return classifier(images, features, num_classes, name="cnn")
