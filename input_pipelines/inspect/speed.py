"""What the decoded images take in memory, and how fast the input pipeline alone gives them."""

from __future__ import annotations

import contextlib
import itertools
import math
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from flowrate.errors import DataError
from input_pipelines.blocks import training_blocks
from input_pipelines.cache import apply_tier, choose_tier
from input_pipelines.device_memory import free_device_bytes
from input_pipelines.source import ArraySource, Source

_BATCH_SIZE, _STEPS_PER_BLOCK = 32, 2
# What is made ahead of the first reading would be counted without the time it took.
_WARMUP_BLOCKS = 4
_NUM_WINDOWS = 6
_MAX_ARRAY_BYTES = 256 * 2**20


def estimate_memory(
    sources: Mapping[str, Source], image_shape: tuple[int, int, int]
) -> dict[str, Any]:
    """Returns the field `memory` of inspect.json, for training on one device of this machine."""
    num_bytes = sum(map(len, sources.values())) * math.prod(image_shape)
    tier = choose_tier(
        "auto",
        num_bytes=num_bytes,
        is_decoded=isinstance(sources["train"], ArraySource),
        device_bytes=num_bytes,
        free_device_bytes=free_device_bytes(),
    )
    return {"decoded_bytes": num_bytes, "cache": tier.tier, "reason": tier.reason}


def measure_input_rate(
    source: Source,
    usable: np.ndarray,
    image_shape: tuple[int, int, int],
    seed: int,
    seconds: float,
) -> dict[str, Any] | None:
    """Reads the training split in training's order, without a cache and without a model.

    Args:
        source: of the training split.
        usable: int64 [K], indices of its examples that can be decoded.
        image_shape: (height, width, channels) to bring images to.
        seed: of the order.
        seconds: how long; 0 for not at all.

    Returns:
        The field `input_rate` of inspect.json; None where nothing was measured.
    """
    if not seconds or not usable.size:
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
        counts, rates = zip(
            *(_time_window(blocks, seconds / _NUM_WINDOWS) for _ in range(_NUM_WINDOWS))
        )
        return {
            "images_per_second": statistics.median(rates),
            "lowest": min(rates),
            "highest": max(rates),
            "windows": list(rates),
            "images": sum(counts),
            "is_decoding": is_decoding,
        }
    return None


def _time_window(blocks: Iterator, seconds: float) -> tuple[int, float]:
    """Returns the images read in a time, one block at least, and images per second."""
    started, num_images = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds or not num_images:
        next(blocks)
        num_images += _BATCH_SIZE * _STEPS_PER_BLOCK
    return num_images, num_images / elapsed
