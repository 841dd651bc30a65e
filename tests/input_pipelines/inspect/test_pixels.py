"""Statistics of pixels: numpy's own, however the images are cut into batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from input_pipelines.inspect.example import Naming
from input_pipelines.inspect.pixels import UNSEEN, PixelStatistics
from input_pipelines.source import ArraySource


def count(images: np.ndarray, cuts=()) -> PixelStatistics:
    statistics = PixelStatistics.empty(images.shape[-1], {"train": len(images)})
    for part in np.split(np.arange(len(images)), sorted(cuts)):
        if part.size:
            statistics.add("train", part, images[part])
    return statistics


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 9), st.sampled_from([(1, 1, 1), (5, 3, 1), (4, 6, 3)]), st.integers(0, 2**16),
    st.sets(st.integers(0, 9), max_size=4),
)  # fmt: skip
def test_numpys_figures_in_any_cut(num_images, shape, seed, cuts):
    images = np.random.default_rng(seed).integers(0, 256, (num_images, *shape), np.uint8)
    found = count(images, cuts)
    np.testing.assert_allclose(found.mean, images.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(found.std, images.std(axis=(0, 1, 2)), atol=1e-6)
    brightness = images.reshape(num_images, -1).mean(axis=1)
    np.testing.assert_allclose(found.brightness["train"], brightness, rtol=1e-6)


def test_images_of_one_colour():
    images = np.zeros((4, 3, 3, 3), np.uint8)
    images[1] = (255, 0, 9)
    images[2, 2, 2, 2] = 1
    images[3] = np.arange(27).reshape(3, 3, 3)
    assert count(images).constant["train"].tolist() == [True, True, False, False]


def test_darkest_and_brightest_of_what_was_seen():
    images = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1) * np.ones((1, 2, 2, 1), np.uint8)
    source = ArraySource(images, np.arange(20, dtype=np.int32) % 2, ("even", "odd"))
    found = PixelStatistics.empty(1, {"train": 20, "test": 20})
    seen = np.arange(1, 20, 2)
    found.add("test", seen, images[seen])
    record = found.brightness_to_json(Naming({"train": source, "test": source}))
    assert [each["index"] for each in record["darkest"]] == [1, 3, 5, 7, 9, 11]
    assert record["brightest"][0] == {
        "split": "test", "index": 19, "class": "odd", "path": None, "brightness": 19.0
    }  # fmt: skip
    assert len(record["blank"]) == sum(record["histogram"]["test"]) == 10
    assert (found.brightness["train"] == UNSEEN).all()


def test_mnist_has_the_figures_that_everybody_uses(shared_data):
    """Of the training split: 0.1307 and 0.3081."""
    from input_pipelines.loading import load_sources

    train = load_sources("mnist", data_dir=str(shared_data("mnist"))).sources["train"]
    found = count(train.images)
    assert found.mean[0] / 255 == pytest.approx(0.1307, abs=5e-5)
    assert found.std[0] / 255 == pytest.approx(0.3081, abs=5e-5)
