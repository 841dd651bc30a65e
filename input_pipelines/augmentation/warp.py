"""Affine maps of image coordinates, one 3 x 3 matrix per example, applied in one resampling.

A matrix sends a pixel (x, y, 1) of the result to the place in the input it is read from; x runs
along the width. Maps about the middle keep the image's centre, (width - 1) / 2, (height - 1) / 2.

Matrices are float64. The float32 sine of a number may differ in its last bit with the number's
place in the batch (vector unit or not), and now and then a pixel with it: replicas would not agree.
"""

from __future__ import annotations

import functools

import tensorflow as tf


def rotate(radians: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Returns float64 [N, 3, 3] that turn by `radians` [N] about the middle."""
    radians = tf.cast(radians, tf.float64)
    cosine, sine = tf.cos(radians), tf.sin(radians)
    return _about_middle(_linear(cosine, -sine, sine, cosine), size)


def scale(x_factor: tf.Tensor, y_factor: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Returns float64 [N, 3, 3] that read from `factor` [N] times as far from the middle."""
    zero = tf.zeros_like(x_factor)
    return _about_middle(_linear(x_factor, zero, zero, y_factor), size)


def shear(x_share: tf.Tensor, y_share: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Returns float64 [N, 3, 3] that slant by `share` [N] pixels per pixel about the middle."""
    one = tf.ones_like(x_share)
    return _about_middle(_linear(one, x_share, y_share, one), size)


def translate(x_pixels: tf.Tensor, y_pixels: tf.Tensor) -> tf.Tensor:
    """Returns float64 [N, 3, 3] that read from `pixels` [N] to the right and below."""
    one, zero = tf.ones_like(x_pixels), tf.zeros_like(x_pixels)
    return _matrix([one, zero, x_pixels, zero, one, y_pixels])


def compose(matrices: list[tf.Tensor]) -> tf.Tensor:
    """Returns the map that applies the first to the input, then the second, and so on."""
    return functools.reduce(tf.linalg.matmul, matrices)


def warp(pixels: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """Resamples bilinearly; what lies outside is filled by reflection.

    Args:
        pixels: float32 [N, height, width, channels].
        matrices: float64 [N, 3, 3], affine.

    Returns:
        float32 of the shape of `pixels`.
    """
    # The op takes a0 a1 a2 b0 b1 b2 c0 c1; an affine map's third row is 0 0 1.
    transforms = tf.cast(tf.reshape(matrices, [-1, 9])[:, :8], tf.float32)
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=transforms,
        output_shape=pixels.shape[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    return tf.ensure_shape(warped, pixels.shape)


def _about_middle(linear: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    height, width = size
    x = tf.fill(tf.shape(linear)[:1], (width - 1) / 2)
    y = tf.fill(tf.shape(linear)[:1], (height - 1) / 2)
    return compose([translate(x, y), linear, translate(-x, -y)])


def _linear(a: tf.Tensor, b: tf.Tensor, c: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    zero = tf.zeros_like(a)
    return _matrix([a, b, zero, c, d, zero])


def _matrix(rows: list[tf.Tensor]) -> tf.Tensor:
    rows = [tf.cast(row, tf.float64) for row in rows]
    zero, one = tf.zeros_like(rows[0]), tf.ones_like(rows[0])
    return tf.reshape(tf.stack([*rows, zero, zero, one], axis=1), [-1, 3, 3])
