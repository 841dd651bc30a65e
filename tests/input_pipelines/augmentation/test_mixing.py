"""MixUp and CutMix: images and targets are blended by the same share."""

from __future__ import annotations

import numpy as np
import pytest

SIZE = (20, 30)
NUM_ROWS = 200


@pytest.fixture(scope="module")
def mixing(tf):
    from input_pipelines.augmentation import mixing as _mixing

    return _mixing


@pytest.fixture(scope="module")
def mix(mixing, tf):
    """Returns a function: pixels, targets, {name: draws} -> pixels and targets, as arrays."""

    def apply(pixels, targets, draws) -> tuple[np.ndarray, np.ndarray]:
        draws = {name: tf.constant(rows, tf.float32) for name, rows in draws.items()}
        mixed = mixing.mix(tf.constant(pixels, tf.float32), tf.constant(targets, tf.float32), draws)
        return mixed[0].numpy(), mixed[1].numpy()

    return apply


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    """Plain images, each of its own brightness and its own class."""
    pixels = np.empty((NUM_ROWS, *SIZE, 3), np.float32)
    pixels[:] = (10 + np.arange(NUM_ROWS)).reshape(-1, 1, 1, 1)
    return pixels, np.eye(NUM_ROWS, dtype=np.float32)


def uniform(seed: int, num_rows: int = NUM_ROWS) -> np.ndarray:
    return np.random.default_rng(seed).random((num_rows, 3), np.float32)


PARTNERS = np.arange(NUM_ROWS) ^ 1


@pytest.mark.parametrize("names", [["mixup"], ["cutmix"], ["mixup", "cutmix"]])
def test_targets_tell_what_an_image_is_made_of(mix, batch, names):
    """The mean of a blend of plain images is the blend of their brightness by the targets."""
    pixels, targets = batch
    draws = {name: uniform(seed) for seed, name in enumerate(names)}
    mixed, mixed_targets = mix(pixels, targets, draws)
    np.testing.assert_allclose(mixed_targets.sum(axis=1), 1, atol=1e-5)
    assert mixed_targets.min() >= 0
    brightness = mixed_targets @ pixels[:, 0, 0, 0]
    np.testing.assert_allclose(mixed.mean(axis=(1, 2, 3)), brightness, rtol=1e-4)
    # Nothing but an example and its neighbour.
    rows = np.arange(NUM_ROWS)
    others = mixed_targets.copy()
    others[rows, rows] = others[rows, PARTNERS] = 0
    assert not others.any()
    assert np.any(mixed_targets[rows, PARTNERS] > 0.3)


def test_both_happen_and_no_example_is_zeroed(mix, batch):
    pixels, targets = batch
    mixed, mixed_targets = mix(pixels, targets, {"mixup": uniform(0), "cutmix": uniform(1)})
    assert mixed.min() >= 10  # the darkest image there is
    assert mixed_targets.sum(axis=1).min() > 0.999
    is_even = np.ptp(mixed, axis=(1, 2, 3)) < 1e-3
    values = [set(np.unique(image)) for image in mixed]
    own = [{value, value + (1 if row % 2 == 0 else -1)} for row, value in
           enumerate(pixels[:, 0, 0, 0])]  # fmt: skip
    is_cut = np.array([found <= pair for found, pair in zip(values, own)])
    blended = is_even & ~is_cut
    assert np.all(blended | is_cut)
    assert 70 < blended.sum() < 130
    assert 70 < is_cut.sum() < 130


def test_mixup_is_a_weighted_sum(mix, batch):
    pixels, targets = batch
    draws = uniform(0)
    mixed, mixed_targets = mix(pixels, targets, {"mixup": draws})
    kept = draws[:, :1]
    np.testing.assert_allclose(
        mixed[:, 0, 0, :1], kept * pixels[:, 0, 0, :1] + (1 - kept) * pixels[PARTNERS, 0, 0, :1],
        rtol=1e-5,
    )  # fmt: skip
    np.testing.assert_allclose(mixed_targets, kept * targets + (1 - kept) * targets[PARTNERS])


@pytest.mark.parametrize(
    ("draw", "rows", "columns"),
    [
        ((0.5, 0.5, 0.75), (5, 15), (8, 23)),  # half of each side, in the middle
        ((0.0, 0.0, 0.75), (0, 5), (0, 7)),  # a part outside: what is left counts
        ((0.9, 0.5, 0.75), (5, 15), (20, 30)),
        ((0.5, 0.5, 0.0), (0, 20), (0, 30)),  # all of it
        ((0.5, 0.5, 1.0), (0, 0), (0, 0)),  # nothing
    ],
)
def test_cutmix_is_a_box_of_the_neighbour(mix, draw, rows, columns):
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (2, *SIZE, 3)).astype(np.float32)
    targets = np.eye(2)
    mixed, mixed_targets = mix(pixels, targets, {"cutmix": [draw, draw]})
    for row, partner in ((0, 1), (1, 0)):
        expected = pixels[row].copy()
        box = np.s_[slice(*rows), slice(*columns)]
        expected[box] = pixels[partner][box]
        np.testing.assert_array_equal(mixed[row], expected)
        share = (rows[1] - rows[0]) * (columns[1] - columns[0]) / (SIZE[0] * SIZE[1])
        np.testing.assert_allclose(mixed_targets[row, partner], share, atol=1e-6)


def test_the_share_kept_is_uniform(mix):
    """Alpha = 1 in both papers. (Boxes at the edge keep more.)"""
    num_rows = 4000
    pixels = np.zeros((num_rows, 32, 32, 1))
    targets = np.tile(np.eye(2), (num_rows // 2, 1))
    own = np.arange(num_rows) % 2
    _, mixed_targets = mix(pixels, targets, {"mixup": uniform(0, num_rows)})
    counts, _ = np.histogram(mixed_targets[np.arange(num_rows), own], bins=4, range=(0, 1))
    assert counts.min() > 900  # 1,000 expected
    draws = uniform(1, num_rows)
    draws[:, :2] = 0.5  # boxes in the middle
    _, mixed_targets = mix(pixels, targets, {"cutmix": draws})
    counts, _ = np.histogram(mixed_targets[np.arange(num_rows), own], bins=4, range=(0, 1))
    assert counts.min() > 850
