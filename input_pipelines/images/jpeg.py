"""JPEG files decoded at 1/2, 1/4 or 1/8 of their size, where that still is enough."""

from __future__ import annotations

import tensorflow as tf

# What TensorFlow's JPEG decoder can divide height and width by, rounding up.
RATIOS = (1, 2, 4, 8)


def decode_jpeg(content: tf.Tensor, size: tf.Tensor | tuple[int, int], channels: int) -> tf.Tensor:
    """Decodes a JPEG at the smallest scale that is no smaller than the image asked for.

    A photo of 12 million pixels for an input of 180 x 180 is decoded at 1/8: of each 8 x 8 block
    only the mean is computed, instead of 64 pixels of which the resize would read at most four.

    Scaled decoding changes pixels, and only of images at least twice as high *and* twice as wide
    as asked for: it averages 2 x 2, 4 x 4 or 8 x 8 pixels, where a bilinear resize without
    anti-aliasing skips most of them (aliasing). See the figures in `_decode.decode`. For an input
    of 180 x 180 it takes 0.8 of the time at 800 x 600 pixels, 0.4 at 4000 x 3000; the rest is
    reading the compressed bits, all of which are needed at any scale.

    Args:
        content: string scalar, the bytes of a JPEG file.
        size: int32 [2], height and width that it will be resized to, as the file has it lying.
        channels: of the result.

    Returns:
        uint8 [h, w, channels]: the whole size, or at least `size` in both dimensions.

    Raises:
        tf.errors.InvalidArgumentError: the content is damaged or cut short.
    """

    def decode_at(ratio: int):
        return lambda: tf.io.decode_jpeg(content, channels, ratio=ratio)

    whole_size = tf.io.extract_jpeg_shape(content)[:2]
    chosen = ratio_index(whole_size, size)
    return tf.switch_case(chosen, [decode_at(ratio) for ratio in RATIOS])


def ratio_index(whole_size: tf.Tensor, size: tf.Tensor | tuple[int, int]) -> tf.Tensor:
    """Returns which of RATIOS to decode at: the largest that leaves at least `size`, or 1.

    Args:
        whole_size: int32 [2], height and width of the JPEG.
        size: (height, width) needed.
    """
    times_larger = tf.reduce_min(whole_size // size)
    return tf.reduce_sum(tf.cast(times_larger >= RATIOS[1:], tf.int32))
