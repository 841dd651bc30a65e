"""RandAugment's fourteen operations, each against Pillow, SciPy or its definition in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

SIZE = (24, 32)


@pytest.fixture(scope="module")
def operations(tf):
    from input_pipelines.augmentation import randaugment as _randaugment

    return _randaugment


@pytest.fixture(scope="module")
def apply(operations, tf):
    """Returns a function: images, an operation's name and a sign -> float32 pixels."""

    def run(images: np.ndarray, name: str, sign: int = 1) -> np.ndarray:
        chosen = tf.fill([len(images)], operations.OPERATIONS.index(name))
        signs = tf.fill([len(images)], float(sign))
        return operations.apply_operation(tf.cast(images, tf.float32), chosen, signs).numpy()

    return run


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Waves with noise, over part of the range of a byte."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    phases = generator.uniform(0, 6, (4, 1, 1, 3))
    waves = np.sin(0.3 * x[None, ..., None] + phases) + np.cos(0.4 * y[None, ..., None] - phases)
    pixels = 120 + 40 * waves + generator.uniform(-15, 15, waves.shape)
    return pixels.clip(10, 240).astype(np.uint8)


def with_pillow(images: np.ndarray, change) -> np.ndarray:
    pillow = pytest.importorskip("PIL.Image")
    modes = {1: "L", 3: "RGB"}
    results = []
    for image in images:
        picture = pillow.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        assert picture.mode == modes[image.shape[-1]]
        results.append(np.asarray(change(picture)).reshape(image.shape))
    return np.stack(results)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("name", "linear", "shift"),
    [
        # In SciPy's order: y before x. 0.9 of 30 degrees, of 0.3 and of 0.45 of the side.
        ("rotate", lambda s: [[math.cos(s * math.radians(27)), math.sin(s * math.radians(27))],
                              [-math.sin(s * math.radians(27)), math.cos(s * math.radians(27))]],
         (0, 0)),
        ("shear_x", lambda s: [[1, 0], [s * 0.27, 1]], (0, 0)),
        ("shear_y", lambda s: [[1, s * 0.27], [0, 1]], (0, 0)),
        ("translate_x", lambda s: [[1, 0], [0, 1]], (0, 0.405 * SIZE[1])),
        ("translate_y", lambda s: [[1, 0], [0, 1]], (0.405 * SIZE[0], 0)),
    ],
    ids=["rotate", "shear_x", "shear_y", "translate_x", "translate_y"],
)  # fmt: skip
def test_geometry(apply, images, name, linear, shift, sign):
    from scipy import ndimage

    matrix = np.array(linear(sign))
    middle = (np.array(SIZE) - 1) / 2
    offset = middle - matrix @ middle + sign * np.array(shift)
    found = apply(images, name, sign)
    for image, result in zip(images, found):
        for channel in range(3):
            expected = ndimage.affine_transform(
                image[..., channel].astype(float), matrix, offset, order=1, mode="reflect"
            )
            np.testing.assert_allclose(result[..., channel], expected, atol=0.05)


def test_a_positive_rotation_turns_as_pillow_turns(apply, images):
    pillow = pytest.importorskip("PIL.Image")
    expected = with_pillow(images, lambda p: p.rotate(27, resample=pillow.Resampling.BILINEAR))
    middle = np.s_[:, 8:-8, 12:-12]
    np.testing.assert_allclose(apply(images, "rotate")[middle], expected[middle], atol=2)


@pytest.mark.parametrize(("sign", "factor"), [(-1, 1 - 0.81), (1, 1 + 0.81)])
def test_enhancements_against_pillow(apply, images, sign, factor):
    enhance = pytest.importorskip("PIL.ImageEnhance")
    grey = images[..., :1]  # of which Pillow takes the same mean
    for name, pictures, tolerance, inside in (
        ("brightness", images, 1, np.s_[:]),
        ("contrast", grey, 2, np.s_[:]),
        ("sharpness", images, 2, np.s_[:, 1:-1, 1:-1]),  # Pillow leaves the edge as it is
    ):
        enhancer = getattr(enhance, name.capitalize())
        expected = with_pillow(pictures, lambda p, e=enhancer: e(p).enhance(factor))
        found = apply(pictures, name, sign)
        assert np.abs(found - pictures).mean() > 1
        np.testing.assert_allclose(
            found[inside], expected[inside].astype(float), atol=tolerance, err_msg=name
        )


@pytest.mark.parametrize("sign", [-1, 1])
def test_colour_and_contrast_move_from_grey(apply, images, sign):
    factor = 1 + sign * 0.81
    pixels = images.astype(float)
    grey = pixels.mean(axis=-1, keepdims=True)
    expected = (grey + factor * (pixels - grey)).clip(0, 255)
    np.testing.assert_allclose(apply(images, "color", sign), expected, atol=0.01)
    mean = grey.mean(axis=(1, 2), keepdims=True)
    expected = (mean + factor * (pixels - mean)).clip(0, 255)
    np.testing.assert_allclose(apply(images, "contrast", sign), expected, atol=0.01)


def test_a_grey_image_has_no_colour_to_change(apply, images):
    grey = images[..., :1]
    for sign in (-1, 1):
        np.testing.assert_allclose(apply(grey, "color", sign), grey, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "change", "tolerance"),
    [
        ("posterize", lambda ops, p: ops.posterize(p, 4), 0),
        ("solarize", lambda ops, p: ops.solarize(p, 26), 0),
        ("autocontrast", lambda ops, p: ops.autocontrast(p), 1),
    ],
    ids=["posterize", "solarize", "autocontrast"],
)
def test_point_operations_against_pillow(apply, images, name, change, tolerance):
    ops = pytest.importorskip("PIL.ImageOps")
    expected = with_pillow(images, lambda picture: change(ops, picture))
    assert np.any(expected != images)
    found = apply(images, name)
    np.testing.assert_allclose(found, expected.astype(float), atol=tolerance + 1e-3)


def test_equalize(apply, images):
    """A level becomes the share of the pixels, beyond the darkest, that are not above it."""
    found = apply(images, "equalize")
    for image, result in zip(images, found):
        for channel in range(3):
            plane = image[..., channel]
            at_most = np.searchsorted(np.sort(plane, axis=None), plane, side="right")
            darkest = np.sum(plane == plane.min())
            expected = (at_most - darkest) / (plane.size - darkest) * 255
            np.testing.assert_allclose(result[..., channel], expected, atol=0.01)
    assert found.min() == 0
    assert found.max() == pytest.approx(255)


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_plain_images_stay_as_they_are(apply, name):
    plain = np.full((2, *SIZE, 3), 77, np.uint8)
    plain[1, ..., 0] = 0
    np.testing.assert_array_equal(apply(plain, name), plain)


@pytest.mark.parametrize("sign", [-1, 1])
def test_each_example_gets_the_operation_drawn_for_it(operations, apply, tf, images, sign):
    count = len(operations.OPERATIONS)
    batch = np.resize(images, (count, *images.shape[1:]))
    found = operations.apply_operation(
        tf.cast(batch, tf.float32), tf.range(count), tf.fill([count], float(sign))
    )
    for number, name in enumerate(operations.OPERATIONS):
        alone = apply(batch[number : number + 1], name, sign)
        np.testing.assert_allclose(found[number : number + 1], alone, atol=1e-3, err_msg=name)
    different = {np.rint(pixels).astype(np.uint8).tobytes() for pixels in found.numpy()}
    assert len(different) == count


def test_two_operations_one_after_the_other(operations, apply, tf, images):
    names = operations.OPERATIONS
    first, second = names.index("translate_x"), names.index("posterize")
    row = [(first + 0.5) / 14, 0.2, (second + 0.5) / 14, 0.7]
    draws = tf.constant([row] * len(images), tf.float32)
    found = operations.randaugment(tf.cast(images, tf.float32), draws)
    expected = apply(apply(images, "translate_x", -1), "posterize", 1)
    np.testing.assert_array_equal(found, expected)


def test_draws_reach_every_operation_and_no_other(operations, tf):
    """The largest draw there is below 1 still falls on the last operation."""
    below_one = np.nextafter(np.float32(1), np.float32(0))
    draws = np.array([*((np.arange(14) + 0.5) / 14), below_one], np.float32)
    pixels = np.random.default_rng(0).uniform(0, 99, (1, *SIZE, 3)).astype(np.float32)
    pixels = tf.constant(np.repeat(pixels, 15, axis=0))
    rows = np.stack([draws, np.ones(15), np.zeros(15), np.zeros(15)], axis=1)  # then identity
    found = operations.randaugment(pixels, tf.constant(rows, tf.float32))
    chosen = tf.constant([*range(14), 13])
    expected = operations.apply_operation(pixels, chosen, tf.ones([15]))
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_stay_in_range(operations, tf, channels):
    generator = np.random.default_rng(0)
    pixels = generator.uniform(0, 255, (300, 12, 9, channels)).astype(np.float32)
    pixels[:3], pixels[3:6] = 0, 255
    draws = generator.random((300, operations.NUM_DRAWS), np.float32)
    found = operations.randaugment(tf.constant(pixels), tf.constant(draws)).numpy()
    assert found.shape == pixels.shape
    assert np.all(np.isfinite(found))
    assert found.min() >= 0
    assert found.max() <= 255 + 1e-3
