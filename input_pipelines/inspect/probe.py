"""How fast training could be fed from here: the input pipeline alone, for a few seconds."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import statistics
import time
from typing import Any

import numpy as np

from flowrate.errors import DataError
from input_pipelines.blocks import training_blocks
from input_pipelines.cache import apply_tier
from input_pipelines.source import ArraySource, Source

_BATCH_SIZE, _STEPS_PER_BLOCK = 32, 2
# What is made ahead of the first reading would be counted without the time it took.
_WARMUP_BLOCKS = 4
_NUM_WINDOWS = 6
_MAX_ARRAY_BYTES = 256 * 2**20


@dataclasses.dataclass(frozen=True)
class InputRate:
    """Images per second of several windows, one after the other.

    Attributes:
        images_per_second: of each window.
        images: in all windows.
        is_decoding: whether files were decoded; else arrays were gathered.
    """

    images_per_second: tuple[float, ...]
    images: int
    is_decoding: bool

    @property
    def median(self) -> float:
        return statistics.median(self.images_per_second)

    def to_json(self) -> dict[str, Any]:
        """Returns it JSON-able."""
        return {
            "images_per_second": self.median,
            "lowest": min(self.images_per_second),
            "highest": max(self.images_per_second),
            "windows": list(self.images_per_second),
            "images": self.images,
            "is_decoding": self.is_decoding,
        }


def measure_input_rate(
    source: Source,
    usable: np.ndarray,
    image_shape: tuple[int, int, int],
    seed: int,
    seconds: float,
) -> InputRate | None:
    """Reads the training split in training's order, without a cache and without a model.

    Args:
        source: of the training split.
        usable: int64 [K], indices of its examples that can be decoded.
        image_shape: (height, width, channels) to bring images to.
        seed: of the order.
        seconds: how long; 0 for not at all.

    Returns:
        The rate; None where nothing was measured.
    """
    if not seconds:
        return None
    is_decoding = not isinstance(source, ArraySource)
    if is_decoding:
        source = source.take(usable)
    else:
        part = usable[: max(1, _MAX_ARRAY_BYTES // math.prod(image_shape))]
        source = apply_tier(source.take(part), "memory", image_shape)
    blocks = training_blocks(
        source, image_shape, seed=seed, first_step=0, last_step=2**31,
        global_batch_size=_BATCH_SIZE, steps_per_block=_STEPS_PER_BLOCK,
    )  # fmt: skip
    with contextlib.closing(blocks), contextlib.suppress(DataError):
        for _ in itertools.islice(blocks, _WARMUP_BLOCKS):
            pass
        rates, num_images = _time_windows(blocks, seconds / _NUM_WINDOWS)
        return InputRate(rates, num_images, is_decoding)
    return None


def _time_windows(blocks, window_seconds: float) -> tuple[tuple[float, ...], int]:
    rates, total = [], 0
    for _ in range(_NUM_WINDOWS):
        started, num_images = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < window_seconds or not num_images:
            next(blocks)
            num_images += _BATCH_SIZE * _STEPS_PER_BLOCK
        rates.append(num_images / elapsed)
        total += num_images
    return tuple(rates), total
