"""Examples as training sees them: decoded and resized, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from input_pipelines.images import decode as _decode
from input_pipelines.images.failures import Failure
from input_pipelines.source import ArraySource, Source
from input_pipelines.splits import stratified_indices

_BATCH_BYTES = 16 * 2**20


def draw_examples(
    sources: Mapping[str, Source], max_images: int, seed: int
) -> dict[str, np.ndarray]:
    """Returns which examples are decoded: int64 indices by split, in order.

    Args:
        sources: by split.
        max_images: of all splits together, each class with its share; 0: all.
        seed: of the draw.
    """
    total = sum(map(len, sources.values()))
    if not max_images or total <= max_images:
        return {split: np.arange(len(source)) for split, source in sources.items()}
    return {
        split: stratified_indices(source.labels, len(source) * max_images // total, seed)
        for split, source in sources.items()
    }


def image_batches(
    source: Source,
    image_shape: tuple[int, int, int],
    indices: np.ndarray,
    failures: list[Failure],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields int64 [M] indices and uint8 [M, *image_shape] images.

    Args:
        source: of a split.
        image_shape: (height, width, channels) to bring images to.
        indices: int64 [K] of the examples wanted.
        failures: gets the files that cannot be decoded, all of them by the end.
    """
    if not isinstance(source, ArraySource):
        yield from _decode.decoded_batches(source, image_shape, failures, indices)
        return
    at_once = max(1, _BATCH_BYTES // int(np.prod(image_shape)))
    for first in range(0, len(indices), at_once):
        part = source.take(indices[first : first + at_once])
        same = part.images.shape[1:] == image_shape
        images = part.images if same else _decode.resized(part, image_shape).images
        yield indices[first : first + at_once], images
