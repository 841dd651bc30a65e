"""The tutorials' networks in Keras, as the tutorials write them."""

from __future__ import annotations

import keras
from keras import layers

# Three unpadded convolutions and two poolings leave nothing of a smaller image.
MIN_UNPADDED_SIDE = 18


def build_model(
    name: str, num_classes: int, image_shape: tuple[int, int, int], augment: bool
) -> keras.Sequential:
    """Returns the model: float [N, *image_shape] -> logits [N, num_classes].

    Pixels go from 0 to 1, for `flowers_cnn` from 0 to 255: its tutorial scales inside the model.
    """
    # The mixed-precision guide keeps the last layer in float32; without a policy it is anyway.
    logits = layers.Dense(num_classes, dtype="float32")
    return keras.Sequential(
        [keras.Input(image_shape), *_BODIES[name](image_shape, augment), logits]
    )


def _dense(*widths: int):
    def body(image_shape, augment):
        return [layers.Flatten(), *(layers.Dense(width, activation="relu") for width in widths)]

    return body


def _cnn(image_shape, augment):
    padding = "same" if min(image_shape[:2]) < MIN_UNPADDED_SIDE else "valid"
    return [
        layers.Conv2D(32, (3, 3), activation="relu", padding=padding),
        layers.MaxPooling2D((2, 2), padding=padding),
        layers.Conv2D(64, (3, 3), activation="relu", padding=padding),
        layers.MaxPooling2D((2, 2), padding=padding),
        layers.Conv2D(64, (3, 3), activation="relu", padding=padding),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
    ]


def _cnn5x5(image_shape, augment):
    return [
        layers.Conv2D(32, (5, 5), activation="relu", padding="same"),
        layers.Conv2D(32, (5, 5), activation="relu", padding="same"),
        layers.MaxPooling2D((2, 2), padding="same"),
        layers.Conv2D(32, (5, 5), activation="relu", padding="same"),
        layers.Conv2D(32, (5, 5), activation="relu", padding="same"),
        layers.MaxPooling2D((2, 2), padding="same"),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
    ]


def _flowers_cnn(image_shape, augment):
    """The tutorial's first network; with `augment` its second, which also has dropout."""
    flips_and_turns = [
        layers.RandomFlip("horizontal"),
        layers.RandomRotation(0.1),
        layers.RandomZoom(0.1),
    ]
    return [
        *(flips_and_turns if augment else []),
        layers.Rescaling(1.0 / 255),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        *([layers.Dropout(0.2)] if augment else []),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
    ]


_BODIES = {
    "mlp": _dense(128),
    "mlp16": _dense(16, 16),
    "mlp64": _dense(64, 64),
    "cnn": _cnn,
    "cnn5x5": _cnn5x5,
    "flowers_cnn": _flowers_cnn,
}
