"""Dark on white -> bright on black."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from input_pipelines.images.inversion import border_of, has_bright_border, inverted


def digit(paper: int, ink: int) -> np.ndarray:
    image = np.full((28, 28, 1), paper, np.uint8)
    image[4:24, 12:16] = ink
    return image


@pytest.mark.parametrize(
    ("paper", "ink", "is_bright"),
    [(255, 0, True), (180, 40, True), (128, 0, True), (127, 0, False), (0, 255, False)],
)
def test_the_border_tells(paper, ink, is_bright):
    assert has_bright_border(digit(paper, ink)) == is_bright


def test_a_stroke_that_crosses_the_border_does_not_matter():
    image = digit(230, 20)
    image[:, 12:16] = 20
    assert has_bright_border(image)
    assert inverted(image)[0, 0] == 0


def test_grey_paper_becomes_black_and_grey_ink_white():
    image = inverted(digit(180, 60))
    assert set(np.unique(image)) == {0, 255}
    assert image[10, 13] == 255


def test_black_on_white_is_inverted_alone():
    image = digit(255, 0)
    image[10] = 100
    np.testing.assert_array_equal(inverted(image), 255 - image)


def test_a_dark_border_is_not_stretched():
    image = digit(90, 200)
    np.testing.assert_array_equal(inverted(image), 255 - image)


def test_blank_paper_is_black():
    assert not inverted(np.full((8, 8, 1), 200, np.uint8)).any()


@pytest.mark.parametrize(("shape", "count"), [((1, 1, 1), 1), ((1, 5, 1), 5), ((2, 2, 3), 4),
                                              ((4, 5, 1), 14)])  # fmt: skip
def test_each_pixel_of_the_border_counts_once(shape, count):
    assert border_of(np.zeros(shape, np.uint8)).shape == (count, shape[2])


@given(hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 12)] * 2, st.sampled_from([1, 3]))))
def test_any_image_stays_one(image):
    found = inverted(image)
    assert (found.dtype, found.shape) == (np.uint8, image.shape)
