"""Random images that can be learned."""

from __future__ import annotations

import numpy as np
import pytest

from input_pipelines.dataset import LoadOptions
from input_pipelines.datasets import synthetic


def load(image_shape=(8, 8, 3), seed: int = 0):
    return synthetic.load(LoadOptions(image_shape=image_shape, seed=seed))


@pytest.mark.parametrize("image_shape", [(32, 32, 3), (8, 8, 1), (5, 9, 3)])
def test_info_is_true(image_shape):
    sources = load(image_shape)
    assert {split: len(source) for split, source in sources.items()} == synthetic.INFO.num_examples
    for source in sources.values():
        assert source.images.shape[1:] == image_shape
        assert source.class_names == synthetic.INFO.class_names
        counts = np.bincount(source.labels, minlength=synthetic.NUM_CLASSES)
        assert counts.max() - counts.min() <= 1


def test_the_seed_decides_the_pixels():
    first, again, other = load(seed=1), load(seed=1), load(seed=2)
    for split in first:
        np.testing.assert_array_equal(first[split].images, again[split].images)
        assert np.mean(first[split].images == other[split].images) < 0.1
    train, test = first["train"].images, first["test"].images
    assert np.mean(train[: len(test)] == test) < 0.1


def test_brightness_tells_the_class():
    """Each class is brighter than the one before, and none runs over the end of a byte."""
    source = load()["train"]
    means = [source.images[source.labels == label].mean() for label in range(10)]
    np.testing.assert_allclose(means, 63.5 + 12 * np.arange(10), atol=1)
    assert source.images.max() <= 127 + 9 * 12


def test_large_images_are_few(monkeypatch):
    monkeypatch.setattr(synthetic, "MAX_IMAGE_BYTES", 100 * 64 * 64 * 3)
    sources = load((64, 64, 3))
    assert {split: len(source) for split, source in sources.items()} == {"train": 100, "test": 100}
    monkeypatch.setattr(synthetic, "MAX_IMAGE_BYTES", 1)
    assert [len(source) for source in load((64, 64, 3)).values()] == [1, 1]
