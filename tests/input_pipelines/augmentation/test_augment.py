"""Augmentation: a pure function of images and draws, example for example."""

from __future__ import annotations

import math

import numpy as np
import pytest

from input_pipelines.augmentation.names import MIXING, NAMES

SIZE = (16, 24)
NUM_CLASSES = 5
# Draws that change nothing, one row for each name; mixing keeps all of an image at 1.
NEUTRAL = {
    "rotation": [0.5], "zoom": [0.5], "translation": [0.5, 0.5], "crop": [0.5, 0.5], "flip": [0.5],
    "contrast": [0.5], "randaugment": [0.0, 0.0, 0.0, 0.0],
}  # fmt: skip


@pytest.fixture(scope="module")
def augmentation(tf):
    from input_pipelines.augmentation import augment as _augmentation

    return _augmentation


@pytest.fixture(scope="module")
def augment(augmentation, tf):
    """Returns a function: names, images, labels, draws -> images and targets, as arrays."""

    def apply(names, images, labels, draws) -> tuple[np.ndarray, np.ndarray]:
        function = augmentation.Augmentation(tuple(names), NUM_CLASSES)
        images, targets = function(
            tf.constant(images), tf.constant(labels, tf.int32), tf.constant(draws, tf.float32)
        )
        return images.numpy(), targets.numpy()

    return apply


def num_draws(augmentation, names) -> int:
    return augmentation.Augmentation(tuple(names), NUM_CLASSES).num_draws


def make_batch(num_images: int, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Smooth images, so that resampling has something to get right, with some noise."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    phases = generator.uniform(0, 6, (num_images, 1, 1, channels))
    waves = np.sin(0.4 * x[None, ..., None] + phases) + np.cos(0.5 * y[None, ..., None] - phases)
    images = 128 + 45 * waves + generator.uniform(-20, 20, waves.shape)
    labels = generator.integers(0, NUM_CLASSES, num_images)
    return images.clip(0, 255).astype(np.uint8), labels


def uniform(num_images: int, count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((num_images, count), np.float32)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("names", [*[(name,) for name in NAMES], NAMES], ids="-".join)
def test_parts_of_a_batch_give_the_pixels_of_the_whole(augmentation, augment, names, channels):
    """Each replica augments its own rows: that is all that makes replicas equal."""
    images, labels = make_batch(32, channels)
    draws = uniform(32, num_draws(augmentation, names))
    whole_images, whole_targets = augment(names, images, labels, draws)
    assert whole_images.dtype == np.uint8
    assert whole_images.shape == images.shape
    assert np.any(whole_images != images)
    for num_parts in (2, 4, 16):
        parts = [
            augment(names, *part)
            for part in zip(*(np.split(array, num_parts) for array in (images, labels, draws)))
        ]
        part_images, part_targets = (np.concatenate(arrays) for arrays in zip(*parts))
        np.testing.assert_array_equal(part_images, whole_images)
        np.testing.assert_array_equal(part_targets, whole_targets)


@pytest.mark.parametrize("names", [(name,) for name in NAMES], ids="-".join)
def test_compiled_and_eager_give_the_same(augmentation, augment, tf, names):
    images, labels = make_batch(8)
    draws = uniform(8, num_draws(augmentation, names))
    eager, eager_targets = augment(names, images, labels, draws)
    function = tf.function(augmentation.Augmentation(names, NUM_CLASSES), autograph=False)
    compiled, targets = function(images, labels.astype(np.int32), draws)
    # A rounding may fall to the other side where a kernel sums in another order.
    assert np.abs(compiled.numpy().astype(int) - eager).max() <= 1
    np.testing.assert_allclose(targets, eager_targets, atol=1e-6)


def test_every_name_can_be_applied_and_says_how_many_draws_it_needs(augmentation):
    assert set(augmentation._NUM_DRAWS) == set(NAMES)
    whole = augmentation.Augmentation(NAMES, NUM_CLASSES)
    assert whole.num_draws == sum(num_draws(augmentation, [name]) for name in NAMES)
    assert whole.names == NAMES
    for name in NAMES:
        assert augmentation.Augmentation((name,), NUM_CLASSES).mixes == (name in MIXING)


@pytest.mark.parametrize("names", [*[(name,) for name in NEUTRAL], tuple(NEUTRAL)], ids="-".join)
def test_neutral_draws_leave_an_image_as_it_is(augment, names):
    images, labels = make_batch(6)
    draws = np.tile(np.concatenate([NEUTRAL[name] for name in names]), (6, 1))
    found, targets = augment(names, images, labels, draws)
    np.testing.assert_array_equal(found, images)
    np.testing.assert_array_equal(targets, np.eye(NUM_CLASSES)[labels])


@pytest.mark.parametrize("names", [(n,) for n in NAMES if n not in MIXING], ids="-".join)
def test_without_mixing_a_target_is_the_label(augmentation, augment, names):
    images, labels = make_batch(6)
    draws = uniform(6, num_draws(augmentation, names))
    _, targets = augment(names, images, labels, draws)
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(targets, np.eye(NUM_CLASSES)[labels])


def test_flip_is_exact(augment):
    images, labels = make_batch(4)
    found, _ = augment(["flip"], images, labels, [[0.0], [0.499], [0.5], [0.999]])
    np.testing.assert_array_equal(found[:2], images[:2, :, ::-1])
    np.testing.assert_array_equal(found[2:], images[2:])


def test_crop_is_padding_and_cutting(augment):
    """By whole pixels, up to an eighth of the side; what comes in is the reflection."""
    height, width = SIZE
    up, along = height // 8, width // 8
    shifts = [(x, y) for x in range(-along, along + 1) for y in range(-up, up + 1)]
    images, labels = make_batch(len(shifts))
    draws = [
        ((x + along + 0.5) / (2 * along + 1), (y + up + 0.5) / (2 * up + 1)) for x, y in shifts
    ]
    found, _ = augment(["crop"], images, labels, draws)
    padded = np.pad(images, [(0, 0), (up, up), (along, along), (0, 0)], mode="symmetric")
    for (x, y), image, source in zip(shifts, found, padded):
        expected = source[up + y : up + y + height, along + x : along + x + width]
        np.testing.assert_array_equal(image, expected)


def test_translation_goes_up_to_a_tenth_of_each_side(augment):
    height, width = SIZE
    ramp = np.broadcast_to(10.0 * np.arange(width), SIZE)[..., None].astype(np.uint8)
    images = np.stack([ramp, ramp, ramp])
    draws = [[0.0, 0.5], [0.5 + 5 / width, 0.5], [0.5, 1.0]]
    found, _ = augment(["translation"], images, np.zeros(3, int), draws)
    inside = np.s_[:, 4:-4]
    np.testing.assert_allclose(found[0][inside], np.rint(ramp - 10 * 0.1 * width)[inside])
    np.testing.assert_allclose(found[1][inside], ramp[inside] + 10)  # by one pixel
    np.testing.assert_array_equal(found[2], ramp)  # along the other axis
    tall = np.broadcast_to(10.0 * np.arange(height)[:, None], SIZE)[..., None].astype(np.uint8)
    found, _ = augment(["translation"], tall[None], [0], [[0.5, 0.0]])
    np.testing.assert_allclose(found[0][4:-4], np.rint(tall - 10 * 0.1 * height)[4:-4])


@pytest.mark.parametrize(("draw", "degrees"), [(0.0, -36), (0.25, -18), (0.75, 18), (1.0, 36)])
def test_rotation_goes_up_to_a_tenth_of_a_turn(augment, draw, degrees):
    """A bright spot right of the middle turns by the angle drawn."""
    y, x = np.mgrid[:41, :41] - 20
    image = (255 * np.exp(-((x - 12) ** 2 + y**2) / 6)).astype(np.uint8)[None, ..., None]
    found, _ = augment(["rotation"], image, [0], [[draw]])
    weights = found[0, ..., 0].astype(float)
    spot_x, spot_y = np.sum(weights * x), np.sum(weights * y)
    assert math.degrees(math.atan2(-spot_y, spot_x)) == pytest.approx(degrees, abs=1)


@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.9), (0.75, 1.05), (1.0, 1.1)])
def test_zoom_goes_up_to_a_tenth(augment, draw, factor):
    """A pixel of the result is read from `factor` times as far from the middle."""
    height, width = SIZE
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    y, x = np.mgrid[:height, :width] - middle[:, None, None]
    for coordinate in (x, y):
        image = (128 + 6 * coordinate)[None, ..., None]
        found, _ = augment(["zoom"], np.rint(image).astype(np.uint8), [0], [[draw]])
        expected = 128 + 6 * factor * coordinate
        np.testing.assert_allclose(found[0, 2:-2, 2:-2, 0], expected[2:-2, 2:-2], atol=1.1)


@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.8), (0.25, 0.9), (1.0, 1.2)])
def test_contrast_moves_away_from_each_channels_mean(augment, draw, factor):
    images, labels = make_batch(3)
    found, _ = augment(["contrast"], images, labels, np.full((3, 1), draw))
    mean = images.mean(axis=(1, 2), keepdims=True)
    expected = (mean + (images - mean) * factor).clip(0, 255)
    np.testing.assert_allclose(found, expected, atol=0.51)


def test_cutout_greys_half_the_side_anywhere(augment):
    images, labels = make_batch(5)
    centres = [(0.5, 0.5), (0.25, 0.75), (0.0, 0.0), (0.999, 0.999), (0.5, 0.0)]
    found, _ = augment(["cutout"], images, labels, centres)
    height, width = SIZE
    side = min(SIZE) // 2
    for (x, y), image, source in zip(centres, found, images):
        left, top = round(x * width - side / 2), round(y * height - side / 2)
        expected = source.copy()
        hole = np.s_[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
        expected[hole] = np.rint(source.mean(axis=(0, 1)))
        assert np.any(expected != source)
        np.testing.assert_allclose(image.astype(int), expected, atol=1)
        outside = np.ones(SIZE, bool)
        outside[hole] = False
        np.testing.assert_array_equal(image[outside], source[outside])


def test_pixels_stay_within_a_byte(augmentation, augment):
    generator = np.random.default_rng(0)
    images = generator.choice(np.array([0, 255], np.uint8), (64, *SIZE, 3))
    for name in NAMES:
        draws = uniform(64, num_draws(augmentation, [name]))
        found, _ = augment([name], images, np.zeros(64, int), draws)
        # Nothing wrapped around: the mean stays near the middle.
        assert 60 < found.mean() < 195, name
