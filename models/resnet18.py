"""ResNet-18: 11.7 million parameters at 1,000 classes.

K. He et al., "Deep residual learning for image recognition", 2016. Images of up to 64 pixels get a
3 x 3 stem without pooling, as is usual for CIFAR-10; larger ones the paper's 7 x 7 stem.
"""

from __future__ import annotations

import keras

from models._layers import classifier, image_input

MAX_SMALL_SIDE = 64
BLOCKS_PER_STAGE = 2
STAGE_FILTERS = (64, 128, 256, 512)


def build_model(num_classes: int, image_shape: tuple[int, int, int]) -> keras.Model:
    """Returns the model: uint8 [N, *image_shape] -> logits [N, num_classes]."""
    images, pixels = image_input(image_shape)
    if max(image_shape[:2]) <= MAX_SMALL_SIDE:
        features = _convolution(pixels, 64, kernel=3, stride=1)
    else:
        features = _convolution(pixels, 64, kernel=7, stride=2)
        features = keras.layers.MaxPooling2D(3, 2, padding="same")(features)
    for stage, filters in enumerate(STAGE_FILTERS):
        for block in range(BLOCKS_PER_STAGE):
            stride = 2 if stage > 0 and block == 0 else 1
            features = _residual_block(features, filters, stride)
    features = keras.layers.GlobalAveragePooling2D()(features)
    return classifier(images, features, num_classes, name="resnet18")


def _residual_block(inputs: keras.KerasTensor, filters: int, stride: int) -> keras.KerasTensor:
    features = _convolution(inputs, filters, kernel=3, stride=stride)
    features = _convolution(features, filters, kernel=3, stride=1, activate=False)
    shortcut = inputs
    if stride != 1 or inputs.shape[-1] != filters:
        shortcut = _convolution(inputs, filters, kernel=1, stride=stride, activate=False)
    return keras.layers.ReLU()(keras.layers.Add()([features, shortcut]))


def _convolution(
    inputs: keras.KerasTensor, filters: int, kernel: int, stride: int, activate: bool = True
) -> keras.KerasTensor:
    features = keras.layers.Conv2D(
        filters, kernel, stride, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(inputs)
    features = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(features)
    return keras.layers.ReLU()(features) if activate else features
