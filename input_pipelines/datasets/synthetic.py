"""Random images of `--image_size`: speed without input, and tests without data."""

from __future__ import annotations

import numpy as np

from input_pipelines.dataset import DatasetInfo, LoadOptions
from input_pipelines.source import ArraySource

NUM_CLASSES = 10
# Few enough to stay in memory at any size, enough that batches differ.
MAX_IMAGE_BYTES = 256 * 2**20
NUM_EXAMPLES = {"train": 4096, "test": 512}

INFO = DatasetInfo(
    title="Synthetic images",
    homepage="",
    licence="none needed",
    image_shape=(32, 32, 3),
    class_names=tuple(f"class_{label}" for label in range(NUM_CLASSES)),
    num_examples=NUM_EXAMPLES,
    default_model="cnn",
)


def load(options: LoadOptions) -> dict[str, ArraySource]:
    """Returns train and test: a brightness that tells the class, under uniform noise.

    The classes can be learned, so that a loss that does not fall means a broken step.
    """
    fit = max(1, MAX_IMAGE_BYTES // int(np.prod(options.image_shape)))
    return {
        split: _draw(min(count, fit), options.image_shape, [options.seed, number])
        for number, (split, count) in enumerate(NUM_EXAMPLES.items())
    }


def _draw(count: int, image_shape: tuple[int, int, int], seed: list[int]) -> ArraySource:
    generator = np.random.Generator(np.random.PCG64(seed))
    labels = (np.arange(count) % NUM_CLASSES).astype(np.int32)
    noise = generator.integers(0, 128, (count, *image_shape), np.uint8)
    brightness = (labels * (127 // NUM_CLASSES)).astype(np.uint8)
    return ArraySource(noise + brightness[:, None, None, None], labels, INFO.class_names)
