"""What every model here begins and ends with."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from flowrate.errors import ConfigError


def image_input(image_shape: tuple[int, int, int]) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns (input, pixels): uint8 [N, height, width, channels], and the same from 0 to 1."""
    images = keras.Input(image_shape, dtype="uint8", name="images")
    return images, keras.layers.Rescaling(1 / 255, name="pixels")(images)


def colour_input(
    image_shape: tuple[int, int, int], model: str
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns (input, colours): uint8 [N, *image_shape], and red, green and blue [N, ..., 3].

    Of grey images all three are the same.

    Raises:
        ConfigError: the images have another number of channels.
    """
    images = keras.Input(image_shape, dtype="uint8", name="images")
    if image_shape[-1] == 3:
        return images, images
    if image_shape[-1] == 1:
        return images, keras.layers.Concatenate(name="colours")([images] * 3)
    raise ConfigError(
        f"--model={model} takes images in colour or grey; those of the data set have "
        f"{image_shape[-1]} channels; choose another model."
    )


def classifier(
    images: keras.KerasTensor, features: keras.KerasTensor, num_classes: int, name: str
) -> keras.Model:
    """Returns the model that ends in a dense layer of float32 logits [N, num_classes].

    Logits are float32 under mixed precision too: the loss needs their range.
    """
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(features)
    return keras.Model(images, logits, name=name)


def dense_network(
    num_classes: int, image_shape: tuple[int, int, int], widths: Sequence[int], name: str
) -> keras.Model:
    """Returns flattened pixels, a hidden ReLU layer per width, and logits."""
    images, pixels = image_input(image_shape)
    features = keras.layers.Flatten()(pixels)
    for width in widths:
        features = keras.layers.Dense(width, activation="relu")(features)
    return classifier(images, features, num_classes, name)
