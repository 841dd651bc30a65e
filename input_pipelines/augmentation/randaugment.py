"""RandAugment: for each example, two operations drawn from fourteen, at one strength.

E. D. Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search
space", 2020: N = 2 operations of magnitude M = 9 of 10 levels here; ranges as in table 6 of
E. D. Cubuk et al., "AutoAugment", 2019. A whole batch goes through every operation with a strength
per example that is neutral where the operation was not drawn: no loop over examples, no branches.
"""

from __future__ import annotations

import math

import tensorflow as tf

from input_pipelines.augmentation import warp as _warp

NUM_OPERATIONS = 2
MAGNITUDE = 0.9  # of the strongest

_MAX_ROTATION_RADIANS = math.radians(30)
_MAX_SHEAR = 0.3
_MAX_TRANSLATION_SHARE = 0.45
_MAX_ENHANCEMENT = 0.9
_SOLARIZE_THRESHOLD = 256 * (1 - MAGNITUDE)
_POSTERIZE_STEP = 2.0 ** (round(4 * MAGNITUDE))  # keeps 8 - 4 * magnitude bits

OPERATIONS = (
    "identity", "rotate", "shear_x", "shear_y", "translate_x", "translate_y",
    "brightness", "color", "contrast", "sharpness", "posterize", "solarize",
    "autocontrast", "equalize",
)  # fmt: skip
# Which operation, and the sign of its strength.
NUM_DRAWS = 2 * NUM_OPERATIONS


def randaugment(pixels: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Applies two drawn operations to each example.

    Args:
        pixels: float32 [N, height, width, channels], 0 to 255.
        draws: float32 [N, NUM_DRAWS], uniform in [0, 1).

    Returns:
        float32 of the same shape, 0 to 255.
    """
    for number in range(NUM_OPERATIONS):
        chosen = tf.cast(draws[:, 2 * number] * len(OPERATIONS), tf.int32)
        sign = tf.where(draws[:, 2 * number + 1] < 0.5, -1.0, 1.0)
        pixels = apply_operation(pixels, chosen, sign)
    return pixels


def apply_operation(pixels: tf.Tensor, chosen: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    """Applies one operation to each example.

    Args:
        pixels: float32 [N, height, width, channels], 0 to 255.
        chosen: int32 [N], an index into OPERATIONS.
        sign: float32 [N], -1 or 1: which way operations with a direction go.

    Returns:
        float32 of the same shape, 0 to 255.
    """

    def strength(name: str) -> tf.Tensor:
        return tf.where(chosen == OPERATIONS.index(name), sign * MAGNITUDE, 0.0)

    def where(name: str, changed: tf.Tensor) -> tf.Tensor:
        is_chosen = chosen == OPERATIONS.index(name)
        return tf.where(is_chosen[:, None, None, None], changed, pixels)

    pixels = _warp.warp(pixels, _geometry(strength, pixels.shape))
    pixels = _enhance(pixels, strength)
    pixels = where("posterize", tf.floor(pixels / _POSTERIZE_STEP) * _POSTERIZE_STEP)
    pixels = where("solarize", tf.where(pixels < _SOLARIZE_THRESHOLD, pixels, 255 - pixels))
    pixels = where("autocontrast", _autocontrast(pixels))
    return where("equalize", _equalize(pixels))


def _geometry(strength, shape) -> tf.Tensor:
    height, width = shape[1:3]
    size = (height, width)
    reach = _MAX_TRANSLATION_SHARE
    return _warp.compose(
        [
            _warp.rotate(strength("rotate") * _MAX_ROTATION_RADIANS, size),
            _warp.shear(strength("shear_x") * _MAX_SHEAR, strength("shear_y") * _MAX_SHEAR, size),
            _warp.translate(
                strength("translate_x") * reach * width, strength("translate_y") * reach * height
            ),
        ]
    )


def _enhance(pixels, strength) -> tf.Tensor:
    """Moves away from, or towards, a plainer image: black, grey, the mean grey, a smooth one."""
    grey = tf.reduce_mean(pixels, axis=-1, keepdims=True)
    plainer = {
        "brightness": tf.zeros_like(pixels),
        "color": tf.broadcast_to(grey, tf.shape(pixels)),
        "contrast": tf.reduce_mean(grey, axis=[1, 2], keepdims=True) + tf.zeros_like(pixels),
        "sharpness": _smooth(pixels),
    }
    for name, plain in plainer.items():
        factor = 1 + strength(name)[:, None, None, None] * _MAX_ENHANCEMENT
        pixels = tf.clip_by_value(plain + factor * (pixels - plain), 0.0, 255.0)
    return pixels


def _smooth(pixels: tf.Tensor) -> tf.Tensor:
    """Blurs with the 3 x 3 kernel of PIL's sharpness: centre 5, around it 1, over 13."""
    padded = tf.pad(pixels, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="SYMMETRIC")
    height, width = pixels.shape[1:3]
    around = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return (tf.add_n(around) + 4 * pixels) / 13


def _autocontrast(pixels: tf.Tensor) -> tf.Tensor:
    low = tf.reduce_min(pixels, axis=[1, 2], keepdims=True)
    high = tf.reduce_max(pixels, axis=[1, 2], keepdims=True)
    stretched = (pixels - low) * (255 / tf.maximum(high - low, 1.0))
    return tf.where(high > low, stretched, pixels)


def _equalize(pixels: tf.Tensor) -> tf.Tensor:
    """Spreads each channel's histogram evenly: a pixel becomes the share of pixels not above it."""
    num_images, height, width, channels = tf.unstack(tf.shape(pixels))
    levels = tf.cast(tf.round(tf.clip_by_value(pixels, 0.0, 255.0)), tf.int32)
    planes = tf.reshape(tf.range(num_images * channels), [num_images, 1, 1, channels])
    bins = planes * 256 + levels
    counts = tf.math.unsorted_segment_sum(
        tf.ones([tf.size(bins)]), tf.reshape(bins, [-1]), num_images * channels * 256
    )
    cumulative = tf.cumsum(tf.reshape(counts, [-1, 256]), axis=1)
    lowest = tf.reshape(tf.reduce_min(bins % 256, axis=[1, 2]), [-1, 1])
    lowest_count = tf.gather(cumulative, lowest, axis=1, batch_dims=1)
    total = tf.cast(height * width, tf.float32)
    table = (cumulative - lowest_count) * (255 / tf.maximum(total - lowest_count, 1.0))
    # One grey level only: nothing to spread.
    table = tf.where(total > lowest_count, table, tf.range(256, dtype=tf.float32)[None, :])
    return tf.gather(tf.reshape(table, [-1]), bins)
