"""MixUp and CutMix: an example blended with its neighbour, and the targets with it.

MixUp: H. Zhang et al., "mixup: Beyond empirical risk minimization", 2018.
CutMix: S. Yun et al., "CutMix: Regularization strategy to train strong classifiers", 2019.
Both with alpha = 1, so the share kept is a uniform draw. The order is shuffled, so a neighbour in
the batch is a random partner; and it is on the same replica, however many there are.
"""

from __future__ import annotations

import tensorflow as tf

NUM_DRAWS = 3


def mix(
    pixels: tf.Tensor, targets: tf.Tensor, draws: dict[str, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Blends rows 0 and 1, 2 and 3, and so on; where both methods are given, each takes half.

    Args:
        pixels: float32 [N, height, width, channels], N even.
        targets: float32 [N, num_classes].
        draws: float32 [N, NUM_DRAWS] under "mixup", "cutmix" or both.

    Returns:
        pixels and targets of the same shapes; the rows of the targets keep their sum.
    """
    if len(draws) == 1:
        ((name, draw),) = draws.items()
        return _MIXERS[name](pixels, targets, draw)
    mixed = _mixup(pixels, targets, draws["mixup"])
    cut = _cutmix(pixels, targets, draws["cutmix"])
    is_mixed = draws["mixup"][:, 2] < 0.5
    return (
        tf.where(is_mixed[:, None, None, None], mixed[0], cut[0]),
        tf.where(is_mixed[:, None], mixed[1], cut[1]),
    )


def box(
    shape: tf.TensorShape, x_share: tf.Tensor, y_share: tf.Tensor, side_pixels: tf.Tensor
) -> tf.Tensor:
    """Returns bool [N, height, width, 1]: the pixels of a box, of which a part may lie outside.

    Args:
        shape: [N, height, width, channels] of the images.
        x_share, y_share: float32 [N], the centre as a share of width and height.
        side_pixels: float32 [N] or [N, 2] (width, height) of the box.
    """
    sides = side_pixels if side_pixels.shape.rank == 2 else tf.stack([side_pixels] * 2, axis=1)

    def within(share: tf.Tensor, side: tf.Tensor, length: int) -> tf.Tensor:
        first = tf.round(share * length - side / 2)
        places = tf.range(length, dtype=tf.float32)[None, :]
        return (places >= first[:, None]) & (places < (first + tf.round(side))[:, None])

    columns = within(x_share, sides[:, 0], shape[2])
    rows = within(y_share, sides[:, 1], shape[1])
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def _mixup(pixels, targets, draws):
    kept = draws[:, 0]
    weight = kept[:, None, None, None]
    blended = weight * pixels + (1 - weight) * _partners(pixels)
    return blended, kept[:, None] * targets + (1 - kept)[:, None] * _partners(targets)


def _cutmix(pixels, targets, draws):
    height, width = pixels.shape[1:3]
    ratio = tf.sqrt(1 - draws[:, 2])
    sides = tf.stack([ratio * width, ratio * height], axis=1)
    inside = box(pixels.shape, draws[:, 0], draws[:, 1], sides)
    # The share that was really kept: a box at the edge covers less than it was drawn to.
    kept = 1 - tf.reduce_mean(tf.cast(inside, tf.float32), axis=[1, 2])
    return tf.where(inside, _partners(pixels), pixels), kept * targets + (1 - kept) * _partners(
        targets
    )


def _partners(rows: tf.Tensor) -> tf.Tensor:
    """Swaps rows 0 and 1, 2 and 3, and so on."""
    pairs = tf.reshape(rows, [-1, 2, *rows.shape[1:]])
    return tf.reshape(tf.reverse(pairs, axis=[1]), tf.shape(rows))


_MIXERS = {"mixup": _mixup, "cutmix": _cutmix}
