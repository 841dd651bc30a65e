"""How fast the input alone delivers, with nothing trained."""

from __future__ import annotations

import time
from collections.abc import Iterator

import tensorflow as tf

# Blocks that were made while nobody asked are not part of the rate.
_BLOCKS_LEFT_OUT = 3


def images_per_second(
    blocks: Iterator[dict[str, tf.Tensor]], images_per_block: int, seconds: float
) -> float | None:
    """Reads blocks for about so many seconds; None where there are too few to tell.

    Args:
        blocks: as Batches.host_blocks gives them.
        images_per_block: examples in each.
        seconds: how long to read.
    """
    for _ in range(_BLOCKS_LEFT_OUT):
        if next(blocks, None) is None:
            return None
    count, started = 0, time.perf_counter()
    for block in blocks:
        next(iter(block.values())).shape  # noqa: B018 - the tensor is there; nothing is copied
        count += images_per_block
        if time.perf_counter() - started > seconds:
            break
    elapsed = time.perf_counter() - started
    return count / elapsed if count else None
