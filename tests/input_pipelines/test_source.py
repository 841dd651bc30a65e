"""What a source refuses to hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flowrate.errors import DataError
from input_pipelines.source import ArraySource, FileSource

NAMES = ("cat", "dog")
IMAGES = np.zeros((3, 2, 2, 1), np.uint8)
LABELS = np.array([0, 1, 1], np.int32)


def files(labels: np.ndarray, names: tuple[str, ...] = NAMES) -> FileSource:
    return FileSource(tuple(Path(f"{n}.jpg") for n in range(3)), labels, names)


def arrays(labels: np.ndarray, names: tuple[str, ...] = NAMES) -> ArraySource:
    return ArraySource(IMAGES, labels, names)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (IMAGES.astype(np.float32), r"not float32 \[3, 2, 2, 1\]"),
        (IMAGES.astype(np.uint16), r"not uint16 \[3, 2, 2, 1\]"),
        (IMAGES[..., 0], r"not uint8 \[3, 2, 2\]"),
    ],
)
def test_images_must_be_bytes_with_channels(images, found):
    message = r"^images must be uint8 \[N, height, width, channels\], " + found
    with pytest.raises(DataError, match=message):
        ArraySource(images, LABELS, NAMES)


@pytest.mark.parametrize("make", [arrays, files])
@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (np.array([0, 2, 1]), NAMES,
         "label 2 of example 1 is out of range: there are 2 classes, so labels go from 0 to 1."),
        (np.array([0, 1, -1]), NAMES,
         "label -1 of example 2 is out of range: there are 2 classes, so labels go from 0 to 1."),
        (np.array([0, 1]), NAMES,
         "3 images need int32 labels of shape [3], not int32 [2]."),
        (np.array([[0], [1], [1]]), NAMES,
         "3 images need int32 labels of shape [3], not int32 [3, 1]."),
        (np.array([0, 0, 0]), ("cat",),
         "the data set has 1 class (cat); a classifier needs at least two."),
    ],
)  # fmt: skip
def test_labels(make, labels, names, message):
    with pytest.raises(DataError) as caught:
        make(labels.astype(np.int32), names)
    assert str(caught.value) == message


def test_labels_are_whole_numbers_of_32_bits():
    with pytest.raises(DataError, match=r"need int32 labels of shape \[3\], not int64 \[3\]\.$"):
        arrays(LABELS.astype(np.int64))


def test_no_examples():
    with pytest.raises(DataError, match=r"^the data set has no examples\.$"):
        ArraySource(IMAGES[:0], LABELS[:0], NAMES)
    with pytest.raises(DataError, match=r"^the data set has no examples\.$"):
        FileSource((), LABELS[:0], NAMES)


def test_taking_examples():
    source = ArraySource(np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1), LABELS, NAMES)
    taken = source.take(np.array([2, 0]))
    assert taken.images.ravel().tolist() == [2, 0]
    assert taken.labels.tolist() == [1, 0]
    assert len(taken) == 2
    taken = files(LABELS).take(np.array([2, 0]))
    assert taken.paths == (Path("2.jpg"), Path("0.jpg"))
    assert taken.labels.tolist() == [1, 0]
    assert len(taken) == 2
