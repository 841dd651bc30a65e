"""`keras:NAME`: any model of keras.applications; `keras:NAME:imagenet` as its weights expect it.

`keras:NAME` has the model's own classifier and is trained from random weights. With `:imagenet`,
which `--weights=imagenet` adds, it takes the pixels that its ImageNet weights were trained on, and
one dense layer follows the pooled features.
"""

from __future__ import annotations

import inspect

import keras
import numpy as np

from flowrate.errors import ConfigError, nearest_name
from models._layers import classifier, colour_input

# What follows the name of a model that is to take ImageNet weights.
PRETRAINED = "imagenet"
# The side in pixels that the weights were trained for, by name; "" for all others.
IMAGE_SIDE = {
    "": 224, "Xception": 299, "InceptionV3": 299, "InceptionResNetV2": 299, "NASNetLarge": 331,
    "EfficientNetB1": 240, "EfficientNetB2": 260, "EfficientNetB3": 300, "EfficientNetB4": 380,
    "EfficientNetB5": 456, "EfficientNetB6": 528, "EfficientNetB7": 600, "EfficientNetV2B1": 240,
    "EfficientNetV2B2": 260, "EfficientNetV2B3": 300, "EfficientNetV2S": 384,
    "EfficientNetV2M": 480, "EfficientNetV2L": 480,
}  # fmt: skip
# The first EfficientNets have no `include_preprocessing`; they always scale.
_SCALE_WITHOUT_ASKING = "EfficientNetB"
# Trained by Caffe, on pixels less their mean, in the order blue, green, red.
_CAFFE = ("ResNet50", "ResNet101", "ResNet152", "VGG16", "VGG19")
_CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)
# Trained by Torch, on pixels from 0 to 1, less their mean and over their deviation.
_TORCH = "DenseNet"
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def list_names() -> list[str]:
    """Returns the names of keras.applications, sorted."""
    return sorted(
        name
        for name, value in vars(keras.applications).items()
        if inspect.isfunction(value) and not name.startswith("_")
    )


def build_model(num_classes: int, image_shape: tuple[int, int, int], name: str) -> keras.Model:
    """Returns the model: uint8 [N, *image_shape] -> logits [N, num_classes].

    Random weights get pixels from -1 to 1, or from 0 to 255 where the family scales them itself.

    Raises:
        ConfigError: no such model, or it cannot take images of this shape.
    """
    name, _, variant = name.partition(":")
    if name not in list_names():
        raise ConfigError(
            f"--model=keras:{name}: keras.applications has no such model."
            f"{nearest_name(name, list_names())} There are: {', '.join(list_names())}."
        )
    if variant == PRETRAINED:
        images, colours = colour_input(image_shape, f"keras:{name}")
        pixels = _imagenet_pixels(name)(colours)
        backbone = _build(
            name, pixels.shape[1:], input_tensor=pixels, include_top=False, pooling="avg"
        )
        return classifier(images, backbone.output, num_classes, name.lower())
    if variant:
        raise ConfigError(f"--model=keras:{name}:{variant}: write keras:{name}:{PRETRAINED}.")
    images = keras.Input(image_shape, dtype="uint8", name="images")
    if _scales_inside(name):
        pixels = keras.layers.Rescaling(1.0)(images)
    else:
        pixels = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    backbone = _build(
        name, image_shape,
        input_tensor=pixels, classes=num_classes, classifier_activation=None,
    )  # fmt: skip
    # Some name their own last layer "logits".
    logits = keras.layers.Activation("linear", dtype="float32", name="float32_logits")
    return keras.Model(images, logits(backbone.output), name=name.lower())


def imagenet_weights(image_shape: tuple[int, int, int], name: str) -> tuple[str, list[np.ndarray]]:
    """Returns where the ImageNet weights come from, and the weights in the order of
    `model.weights`, without those of the logits. Keras fetches its file.

    Raises:
        ConfigError: the model cannot take images of this shape.
    """
    name = name.partition(":")[0]
    in_colour = (*image_shape[:2], 3)
    backbone = _build(name, in_colour, include_top=False, weights="imagenet")
    weights = [weight.numpy() for weight in backbone.weights]
    if name in _CAFFE:  # The images are red, green, blue here.
        weights[0] = weights[0][:, :, ::-1]
    if name.startswith(_SCALE_WITHOUT_ASKING):
        weights[:3] = _identity_of(*weights[:3])
    return f"keras.applications.{name}", weights


def _build(name: str, image_shape: tuple[int, int, int], **settings) -> keras.Model:
    try:
        return getattr(keras.applications, name)(
            **{"weights": None, "input_shape": image_shape} | settings
        )
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"--model=keras:{name} cannot take {list(image_shape)} images: {reason} "
            "Set --image_size, or choose another model."
        ) from None


def _scales_inside(name: str) -> bool:
    build = getattr(keras.applications, name)
    return "include_preprocessing" in inspect.signature(build).parameters or (
        name.startswith(_SCALE_WITHOUT_ASKING)
    )


def _identity_of(mean: np.ndarray, variance: np.ndarray, count: np.ndarray) -> list[np.ndarray]:
    """Returns the values with which an EfficientNet's Normalization leaves pixels as they are.

    Its `call` uses copies that Keras makes when the layer is built, which values assigned later do
    not reach; and Keras adds a second scaling to the layer where it loads the weights itself. What
    both come to, (pixel / 255 - mean) / deviation, is in _imagenet_pixels.
    """
    if not (np.allclose(mean, _MEAN, 1e-3) and np.allclose(variance, _DEVIATION, 1e-3)):
        raise ConfigError(
            f"--weights=imagenet: the file has pixels of mean {mean} and variance {variance}, and "
            f"{_MEAN} and {_DEVIATION} are known; choose another model."
        )
    return [np.zeros_like(mean), np.ones_like(variance), np.zeros_like(count)]


def _imagenet_pixels(name: str) -> keras.layers.Layer:
    """Returns the layer from red, green and blue, 0 to 255, to what the weights were trained on.

    Each family's `preprocess_input` in keras.applications says what that is.
    """
    if name.startswith(_SCALE_WITHOUT_ASKING):  # It divides by 255.
        scales, offsets = 1 / _DEVIATION, -255 * _MEAN / _DEVIATION
        return keras.layers.Rescaling(scales.tolist(), offsets.tolist(), name="pixels")
    if _scales_inside(name):
        return keras.layers.Rescaling(1.0, name="pixels")
    if name in _CAFFE:
        return keras.layers.Rescaling(1.0, [-mean for mean in _CAFFE_MEAN_RGB], name="pixels")
    if name.startswith(_TORCH):
        scales, offsets = 1 / (255 * _DEVIATION), -_MEAN / _DEVIATION
        return keras.layers.Rescaling(scales.tolist(), offsets.tolist(), name="pixels")
    return keras.layers.Rescaling(1 / 127.5, offset=-1, name="pixels")
