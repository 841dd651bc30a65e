"""The embedded digits."""

from __future__ import annotations

import numpy as np
import pytest

from input_pipelines.dataset import LoadOptions
from input_pipelines.datasets import digits


@pytest.fixture(scope="module")
def sources():
    return digits.load(LoadOptions())


def test_info_is_true(sources):
    assert {split: len(source) for split, source in sources.items()} == digits.INFO.num_examples
    assert sum(digits.INFO.num_examples.values()) == 1797
    for source in sources.values():
        assert source.images.shape[1:] == digits.INFO.image_shape
        assert source.class_names == digits.INFO.class_names


def test_the_parts_are_what_scikit_learn_brings(sources):
    from sklearn.datasets import load_digits

    whole = load_digits()
    images = np.concatenate([source.images for source in sources.values()])
    labels = np.concatenate([source.labels for source in sources.values()])
    # The full range of a byte, in 17 levels.
    assert images.dtype == np.uint8
    assert len(np.unique(images)) == 17
    assert (images.min(), images.max()) == (0, 255)
    counts = np.rint(images.reshape(-1, 64) / 255 * 16)
    found = sorted((label, *pixels) for label, pixels in zip(labels, counts))
    assert found == sorted((label, *pixels) for label, pixels in zip(whole.target, whole.data))


def test_each_class_is_in_both_parts_by_its_share(sources):
    train, test = (np.bincount(sources[split].labels) for split in ("train", "test"))
    share = digits.NUM_TEST_EXAMPLES / 1797
    assert np.all(np.abs(test - (train + test) * share) < 1)


def test_the_split_is_the_same_whatever_the_seed_of_the_run(sources):
    again = digits.load(LoadOptions(seed=7))
    for split, source in sources.items():
        np.testing.assert_array_equal(source.images, again[split].images)
        np.testing.assert_array_equal(source.labels, again[split].labels)
