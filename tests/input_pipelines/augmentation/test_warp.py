"""Affine maps, against NumPy and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

SIZE = (13, 18)


@pytest.fixture(scope="module")
def warps(tf):
    from input_pipelines.augmentation import warp as _warp

    return _warp


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (5, *SIZE, 3)).astype(np.float32)


def run(warps, pixels, matrices) -> np.ndarray:
    return warps.warp(pixels, matrices).numpy()


def by_scipy(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The same map in SciPy's words: rows before columns; reflection about the edge."""
    from scipy import ndimage

    swapped = matrix[[1, 0]][:, [1, 0]]
    channels = [
        ndimage.affine_transform(
            image[..., c], swapped, offset=matrix[[1, 0], 2], order=1, mode="reflect"
        )
        for c in range(image.shape[-1])
    ]
    return np.stack(channels, axis=-1)


@pytest.mark.parametrize("name", ["rotate", "scale", "shear"])
def test_neutral_maps_change_nothing(warps, tf, pixels, name):
    zero, one = tf.zeros([5]), tf.ones([5])
    matrices = {
        "rotate": warps.rotate(zero, SIZE),
        "scale": warps.scale(one, one, SIZE),
        "shear": warps.shear(zero, zero, SIZE),
    }[name]
    np.testing.assert_array_equal(matrices, np.tile(np.eye(3), (5, 1, 1)))
    np.testing.assert_array_equal(run(warps, pixels, matrices), pixels)


@pytest.mark.parametrize("quarters", [1, 2, 3, -1])
def test_quarter_turns(warps, tf, quarters):
    square = np.random.default_rng(0).uniform(0, 255, (2, 11, 11, 3)).astype(np.float32)
    matrices = warps.rotate(tf.fill([2], quarters * math.pi / 2), (11, 11))
    expected = np.rot90(square, quarters, axes=(1, 2))
    np.testing.assert_allclose(run(warps, square, matrices), expected, atol=0.01)


def test_half_a_turn_of_any_shape(warps, tf, pixels):
    found = run(warps, pixels, warps.rotate(tf.fill([5], math.pi), SIZE))
    np.testing.assert_allclose(found, pixels[:, ::-1, ::-1], atol=0.01)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, 0), (0, -2), (-4, 5), (13, -13)])
def test_translation_by_whole_pixels_reflects(warps, tf, pixels, x, y):
    """What lies outside is the image again, mirrored with its edge: c b a | a b c | c b a."""
    height, width = SIZE
    matrices = warps.translate(tf.fill([5], float(x)), tf.fill([5], float(y)))
    padded = np.pad(pixels, [(0, 0), (13, 13), (13, 13), (0, 0)], mode="symmetric")
    expected = padded[:, 13 + y : 13 + y + height, 13 + x : 13 + x + width]
    np.testing.assert_allclose(run(warps, pixels, matrices), expected, atol=1e-3)


def test_each_example_has_its_own_map(warps, tf, pixels):
    shifts = tf.constant([0.0, 1.0, 2.0, 3.0, 4.0])
    found = run(warps, pixels, warps.translate(shifts, tf.zeros([5])))
    for shift in range(5):
        width = SIZE[1] - shift
        np.testing.assert_array_equal(found[shift, :, :width], pixels[shift, :, shift:])


def test_random_maps_against_scipy(warps, tf, pixels):
    generator = np.random.default_rng(1)

    def draw(low, high):
        return tf.constant(generator.uniform(low, high, 5), tf.float32)

    matrices = warps.compose(
        [
            warps.rotate(draw(-3, 3), SIZE),
            warps.scale(draw(0.6, 1.5), draw(0.6, 1.5), SIZE),
            warps.shear(draw(-0.4, 0.4), draw(-0.4, 0.4), SIZE),
            warps.translate(draw(-4, 4), draw(-4, 4)),
        ]
    ).numpy()
    np.testing.assert_array_equal(matrices[:, 2], np.tile([0, 0, 1], (5, 1)))
    for found, image, matrix in zip(run(warps, pixels, matrices), pixels, matrices):
        np.testing.assert_allclose(found, by_scipy(image, matrix.astype(float)), atol=0.05)


def test_maps_are_composed_first_to_last(warps, tf):
    """Turned, then moved: the spot ends where the two, one after the other, bring it."""
    image = np.zeros((1, 9, 9, 1), np.float32)
    image[0, 4, 7] = 1  # right of the middle
    turn = warps.rotate(tf.constant([math.pi / 2]), (9, 9))
    move = warps.translate(tf.constant([2.0]), tf.constant([0.0]))
    for maps in ([turn, move], [move, turn]):
        expected = run(warps, run(warps, image, maps[0]), maps[1])
        found = run(warps, image, warps.compose(maps))
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert found.max() == pytest.approx(1, abs=1e-4)


def test_the_middle_stays_in_its_place(warps, tf):
    middle = np.array([(SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2, 1])
    amount = tf.constant([0.3])
    for matrix in (
        warps.rotate(amount, SIZE),
        warps.scale(amount, 2 * amount, SIZE),
        warps.shear(amount, -amount, SIZE),
    ):
        np.testing.assert_allclose(matrix[0].numpy() @ middle, middle, atol=1e-5)


def test_shear_slants(warps, tf):
    """A row moves by the share of its distance from the middle row."""
    ramp = np.broadcast_to(np.arange(21, dtype=np.float32), (11, 21))[None, ..., None]
    found = run(warps, ramp, warps.shear(tf.constant([0.5]), tf.constant([0.0]), (11, 21)))
    rows = np.arange(11)[:, None] - 5
    expected = np.arange(21)[None] + 0.5 * rows
    np.testing.assert_allclose(found[0, :, 4:-4, 0], expected[:, 4:-4], atol=1e-4)
