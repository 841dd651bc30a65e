"""Convolutions as products of matrices and poolings as comparisons, for XLA on CPUs.

XLA's own convolutions and the gradient of its poolings are slow on CPUs; its product of matrices is
not. A convolution is the product of the image's patches and the kernel (K. Chellapilla, S. Puri,
P. Simard, "High performance convolutional neural networks for document processing", 2006). The
patches take as many times the image's memory as the kernel has pixels: it pays while they stay in
the cache.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator

import keras
import tensorflow as tf


@contextlib.contextmanager
def matrix_convolutions(model: keras.Model) -> Iterator[None]:
    """Makes the model's convolutions and poolings, where they can be, products and comparisons.

    For as long as a function that calls the model is traced; the results are the same but for
    rounding.
    """
    changed = []
    try:
        for layer in model._flatten_layers():
            if is_plain_convolution(layer):
                layer.convolution_op = functools.partial(_convolve, layer)
                changed.append((layer, "convolution_op"))
            elif is_plain_pooling(layer):
                layer.call = functools.partial(_max_pool, layer.padding)
                changed.append((layer, "call"))
        yield
    finally:
        for layer, name in changed:
            delattr(layer, name)


def is_plain_convolution(layer: keras.Layer) -> bool:
    """Returns whether a product can stand in for the layer: a convolution in two dimensions."""
    return (
        type(layer) is keras.layers.Conv2D
        and layer.groups == 1
        and layer.dilation_rate == (1, 1)
        and layer.data_format == "channels_last"
    )


def largest_patches_bytes(model: keras.Model, rows: int) -> int:
    """Returns the float32 bytes of the patches of the convolution that has most; 0 without any.

    Args:
        model: whose convolutions are all plain.
        rows: examples in a batch.
    """
    sizes = [
        rows * math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape[:3]) * 4
        for layer in model._flatten_layers()
        if is_plain_convolution(layer)
    ]
    return max(sizes, default=0)


def is_plain_pooling(layer: keras.Layer) -> bool:
    """Returns whether comparisons can stand in for the layer: the maxima of 2 x 2 pixels."""
    return (
        type(layer) is keras.layers.MaxPooling2D
        and layer.pool_size == layer.strides == (2, 2)
        and layer.data_format == "channels_last"
    )


def _convolve(layer: keras.layers.Conv2D, images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Stands in for keras.layers.Conv2D.convolution_op.

    Args:
        images: [N, height, width, channels].
        kernel: [kernel height, kernel width, channels, filters].

    Returns:
        [N, new height, new width, filters].
    """
    kernel = tf.convert_to_tensor(kernel)
    *size, num_channels, num_filters = kernel.shape
    if layer.padding == "same":
        edges = [_edges(*each) for each in zip(images.shape[1:3], size, layer.strides)]
        images = tf.pad(images, [(0, 0), *edges, (0, 0)])
    height, width = (
        (length - part) // stride + 1
        for length, part, stride in zip(images.shape[1:3], size, layer.strides)
    )
    rows, columns = layer.strides
    patches = tf.concat(
        [
            images[:, top : top + rows * height : rows, left : left + columns * width : columns]
            for top in range(size[0])
            for left in range(size[1])
        ],
        axis=-1,
    )
    matrix = tf.reshape(kernel, [math.prod(size) * num_channels, num_filters])
    product = tf.matmul(tf.reshape(patches, [-1, matrix.shape[0]]), matrix)
    return tf.reshape(product, [-1, height, width, num_filters])


def _edges(length: int, part: int, stride: int) -> tuple[int, int]:
    """Returns the zeros before and after, as TensorFlow's "SAME" has them."""
    missing = max(0, (math.ceil(length / stride) - 1) * stride + part - length)
    return missing // 2, missing - missing // 2


def _max_pool(padding: str, images: tf.Tensor) -> tf.Tensor:
    """Stands in for keras.layers.MaxPooling2D.call with pools of 2 x 2.

    Args:
        padding: "valid" leaves an odd row out, "same" fills it up.
        images: [N, height, width, channels].
    """
    height, width = images.shape[1:3]
    if padding == "same":
        odd = [(0, 0), (0, height % 2), (0, width % 2), (0, 0)]
        images = tf.pad(images, odd, constant_values=images.dtype.min)
        height, width = images.shape[1:3]
    return _largest_of_four(images[:, : height // 2 * 2, : width // 2 * 2])


@tf.custom_gradient
def _largest_of_four(images: tf.Tensor):
    """The gradient goes to the first of equal pixels, as that of TensorFlow's own pooling does."""
    _, height, width, channels = images.shape
    pools = tf.reshape(images, [-1, height // 2, 2, width // 2, 2, channels])
    pixels = [pools[:, :, row, :, column] for row in range(2) for column in range(2)]
    largest = functools.reduce(tf.maximum, pixels)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        shares = []
        is_given = tf.zeros_like(upstream, tf.bool)
        for pixel in pixels:
            is_first = (pixel == largest) & ~is_given
            is_given |= is_first
            shares.append(tf.where(is_first, upstream, tf.zeros_like(upstream)))
        rows = [tf.stack(shares[:2], axis=3), tf.stack(shares[2:], axis=3)]
        return tf.reshape(tf.stack(rows, axis=2), [-1, height, width, channels])

    return largest, gradient
