"""Augmentation on whole batches, on the device, as a pure function of images and draws.

No random number is drawn here. Each example brings its own row of uniform numbers (`draws`, made
by blocks.py from the seed and the step), so that the result is the same under any number of
replicas, on any device and after a resume. Rotation, zoom, translation and crop become one affine
map and one resampling of the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from input_pipelines.augmentation import mixing as _mixing
from input_pipelines.augmentation import randaugment as _randaugment
from input_pipelines.augmentation import warp as _warp
from input_pipelines.augmentation.names import MIXING

# The amounts of the flowers tutorial: RandomRotation(0.1), RandomZoom(0.1), both of a uniform draw.
ROTATION_TURNS = 0.1
ZOOM_SHARE = 0.1
TRANSLATION_SHARE = 0.1
# Four pixels of 32: K. He et al., "Deep residual learning", section 4.2.
CROP_SHARE = 1 / 8
CONTRAST_SHARE = 0.2
# Half the side: T. DeVries, G. Taylor, "Improved regularization ... with cutout" (16 of 32 pixels).
CUTOUT_SHARE = 0.5

_Geometric = Callable[[tf.Tensor, tuple[int, int]], tf.Tensor]


class Augmentation:
    """The chosen augmentations, ready to be applied to a batch.

    Attributes:
        names: in the order of application.
        num_draws: uniform numbers that each example needs.
        mixes: whether an example's target becomes a blend of two classes.
    """

    def __init__(self, names: tuple[str, ...], num_classes: int):
        self.names = names
        self.num_draws = sum(_NUM_DRAWS[name] for name in names)
        self.mixes = any(name in MIXING for name in names)
        self._num_classes = num_classes

    def __call__(
        self, images: tf.Tensor, labels: tf.Tensor, draws: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Augments a batch.

        Args:
            images: uint8 [N, height, width, channels].
            labels: int32 [N].
            draws: float32 [N, num_draws], uniform in [0, 1).

        Returns:
            images uint8 of the same shape, and targets float32 [N, num_classes], whose rows sum
            to 1.
        """
        draws = dict(zip(self.names, tf.split(draws, [_NUM_DRAWS[n] for n in self.names], axis=1)))
        size = (images.shape[1], images.shape[2])
        pixels = tf.cast(images, tf.float32)
        matrices = [_GEOMETRIC[n](draws[n], size) for n in self.names if n in _GEOMETRIC]
        if matrices:
            pixels = _warp.warp(pixels, _warp.compose(matrices))
        for name in self.names:
            if name in _PIXELWISE:
                pixels = _PIXELWISE[name](pixels, draws[name])
        targets = tf.one_hot(labels, self._num_classes)
        if self.mixes:
            mixing = {name: draws[name] for name in self.names if name in MIXING}
            pixels, targets = _mixing.mix(pixels, targets, mixing)
        return tf.saturate_cast(tf.round(pixels), tf.uint8), targets


def _rotation(draws: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    return _warp.rotate(_symmetric(draws[:, 0], ROTATION_TURNS * 2 * math.pi), size)


def _zoom(draws: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    factor = 1 + _symmetric(draws[:, 0], ZOOM_SHARE)
    return _warp.scale(factor, factor, size)


def _translation(draws: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    height, width = size
    return _warp.translate(
        _symmetric(draws[:, 0], TRANSLATION_SHARE) * width,
        _symmetric(draws[:, 1], TRANSLATION_SHARE) * height,
    )


def _crop(draws: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """A shift by whole pixels: what padding by reflection and cropping at random gives."""
    height, width = size

    def shift(draw: tf.Tensor, side: int) -> tf.Tensor:
        padding = max(1, round(side * CROP_SHARE))
        return tf.floor(draw * (2 * padding + 1)) - padding

    return _warp.translate(shift(draws[:, 0], width), shift(draws[:, 1], height))


def _flip(pixels: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    flipped = draws[:, 0] < 0.5
    return tf.where(flipped[:, None, None, None], tf.reverse(pixels, axis=[2]), pixels)


def _contrast(pixels: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    factor = 1 + _symmetric(draws[:, 0], CONTRAST_SHARE)[:, None, None, None]
    mean = tf.reduce_mean(pixels, axis=[1, 2], keepdims=True)
    return tf.clip_by_value(mean + (pixels - mean) * factor, 0.0, 255.0)


def _cutout(pixels: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """Greys out a square with its centre anywhere in the image: a part may fall outside."""
    side = CUTOUT_SHARE * min(pixels.shape[1], pixels.shape[2])
    inside = _mixing.box(pixels.shape, draws[:, 0], draws[:, 1], tf.fill(tf.shape(draws)[:1], side))
    grey = tf.reduce_mean(pixels, axis=[1, 2], keepdims=True)
    return tf.where(inside, grey, pixels)


def _symmetric(draw: tf.Tensor, amount: float) -> tf.Tensor:
    """Brings a draw from [0, 1) to [-amount, amount)."""
    return (2 * draw - 1) * amount


_GEOMETRIC: dict[str, _Geometric] = {
    "rotation": _rotation, "zoom": _zoom, "translation": _translation, "crop": _crop,
}  # fmt: skip
_PIXELWISE: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "flip": _flip, "contrast": _contrast, "randaugment": _randaugment.randaugment,
    "cutout": _cutout,
}  # fmt: skip
_NUM_DRAWS = {
    "rotation": 1, "zoom": 1, "translation": 2, "crop": 2, "flip": 1, "contrast": 1,
    "randaugment": _randaugment.NUM_DRAWS, "cutout": 2,
    "mixup": _mixing.NUM_DRAWS, "cutmix": _mixing.NUM_DRAWS,
}  # fmt: skip
