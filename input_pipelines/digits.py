"""Handwritten digits of 8 x 8 pixels: 1,797 real scans that come with scikit-learn."""

from __future__ import annotations

import numpy as np

from input_pipelines._dataset import DatasetInfo, LoadOptions
from input_pipelines._source import ArraySource
from input_pipelines._splits import hold_out

NUM_TEST_EXAMPLES = 360
# Fixed, not the run's: every run is tested on the same examples.
TEST_SPLIT_SEED = 0

INFO = DatasetInfo(
    title="Digits (UCI optical recognition of handwritten digits, test part)",
    homepage="https://archive.ics.uci.edu/dataset/80",
    licence="CC BY 4.0",
    image_shape=(8, 8, 1),
    class_names=tuple("0123456789"),
    num_examples={"train": 1797 - NUM_TEST_EXAMPLES, "test": NUM_TEST_EXAMPLES},
    default_model="cnn",
    augmentation="translation",
)


def load(options: LoadOptions) -> dict[str, ArraySource]:
    """Returns train and test: a fixed stratified 80/20 split, since none is published."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    # Pixels are counts from 0 to 16; bring them to the full range of a byte.
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    source = ArraySource(images, digits.target.astype(np.int32), INFO.class_names)
    train, test = hold_out(source, NUM_TEST_EXAMPLES, TEST_SPLIT_SEED)
    return {"train": train, "test": test}
