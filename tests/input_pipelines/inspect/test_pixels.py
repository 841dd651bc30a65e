"""Statistics of pixels: numpy's own, however the images are cut into batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from input_pipelines.inspect.brightness import find_extremes
from input_pipelines.inspect.example import Example
from input_pipelines.inspect.pixels import MAX_CLASS_MEANS, UNSEEN, PixelStatistics


def count(images: np.ndarray, labels: np.ndarray, cuts=(), num_classes: int = 3):
    statistics = PixelStatistics.empty(images.shape[1:], num_classes, {"train": len(images)})
    for part in np.split(np.arange(len(images)), sorted(cuts)):
        if part.size:
            statistics.add("train", part, images[part], labels[part])
    return statistics


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 9), st.sampled_from([(1, 1, 1), (5, 3, 1), (4, 6, 3)]), st.integers(0, 2**16),
    st.sets(st.integers(0, 9), max_size=4),
)  # fmt: skip
def test_numpys_figures_in_any_cut(num_images, shape, seed, cuts):
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (num_images, *shape), np.uint8)
    labels = generator.integers(0, 3, num_images).astype(np.int32)
    found = count(images, labels, cuts)
    np.testing.assert_allclose(found.mean, images.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(found.std, images.std(axis=(0, 1, 2)), atol=1e-6)
    np.testing.assert_array_equal(found.mean_image(), np.rint(images.mean(axis=0)))
    brightness = images.reshape(num_images, -1).mean(axis=1)
    np.testing.assert_allclose(found.brightness["train"], brightness, rtol=1e-6)
    for label, image in found.class_means().items():
        np.testing.assert_array_equal(image, np.rint(images[labels == label].mean(axis=0)))
    assert found.class_means().keys() == set(labels.tolist())


def test_images_of_one_colour():
    images = np.zeros((4, 3, 3, 3), np.uint8)
    images[1] = (255, 0, 9)
    images[2, 2, 2, 2] = 1
    images[3] = np.arange(27).reshape(3, 3, 3)
    found = count(images, np.zeros(4, np.int32))
    assert found.constant["train"].tolist() == [True, True, False, False]


def test_of_many_classes_the_first_have_mean_images():
    images = np.full((100, 2, 2, 1), 7, np.uint8)
    found = count(images, np.arange(100, dtype=np.int32), num_classes=100)
    assert list(found.class_means()) == list(range(MAX_CLASS_MEANS))
    assert found.class_counts.sum() == 100


def test_mean_images_of_large_images_take_bounded_memory():
    found = PixelStatistics.empty((1024, 1024, 3), 1000, {"train": 1})
    assert found.class_sums.nbytes <= 256 * 2**20


def test_darkest_and_brightest_of_what_was_seen():
    images = np.arange(20, dtype=np.uint8).reshape(20, 1, 1, 1) * np.ones((1, 2, 2, 1), np.uint8)
    found = PixelStatistics.empty((2, 2, 1), 2, {"train": 20, "test": 20})
    seen = np.arange(1, 20, 2)
    found.add("test", seen, images[seen], np.zeros(10, np.int32))
    extremes = find_extremes(found)
    assert [example for example, _ in extremes.darkest[:2]] == [
        Example("test", 1), Example("test", 3)
    ]  # fmt: skip
    assert extremes.brightest[0] == (Example("test", 19), pytest.approx(19))
    assert len(extremes.blank) == 10
    assert (found.brightness["train"] == UNSEEN).all()


def test_nothing_seen_is_no_figure():
    assert PixelStatistics.empty((2, 2, 1), 2, {"train": 3}).to_json()["mean"] is None


def test_mnist_has_the_figures_that_everybody_uses(shared_data):
    """Of the training split: 0.1307 and 0.3081."""
    from input_pipelines.loading import load_sources

    train = load_sources("mnist", data_dir=str(shared_data("mnist"))).sources["train"]
    found = count(train.images, train.labels, num_classes=10)
    assert found.mean[0] / 255 == pytest.approx(0.1307, abs=5e-5)
    assert found.std[0] / 255 == pytest.approx(0.3081, abs=5e-5)
