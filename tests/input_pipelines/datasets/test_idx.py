"""The idx format: what is read, and what is refused with what words."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrate.errors import DataError
from input_pipelines.datasets import _idx
from input_pipelines.datasets._idx import IMAGES_MAGIC, LABELS_MAGIC, read_idx

SIZES = (5, 4, 3)
PIXELS = np.arange(math.prod(SIZES), dtype=np.uint8).reshape(SIZES)
# Counted by others, too: the classes of MNIST.
MNIST_TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def idx_bytes(magic: int, sizes, body: bytes) -> bytes:
    return struct.pack(f">{1 + len(sizes)}i", magic, *sizes) + body


IMAGE_FILE = idx_bytes(IMAGES_MAGIC, SIZES, PIXELS.tobytes())


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """Returns a function that writes bytes to a file, always the same one, and gives its path."""
    path = tmp_path_factory.mktemp("idx") / "file.gz"

    def write_file(content: bytes) -> Path:
        path.write_bytes(content)
        return path

    return write_file


def refused(path: Path, magic: int = IMAGES_MAGIC) -> str:
    """The message with which a file is refused, less its name."""
    with pytest.raises(DataError) as caught:
        read_idx(path, magic)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_images_and_labels(write):
    images = read_idx(write(gzip.compress(IMAGE_FILE)), IMAGES_MAGIC)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, PIXELS)
    path = write(gzip.compress(idx_bytes(LABELS_MAGIC, (4,), b"\1\2\3\0")))
    labels = read_idx(path, LABELS_MAGIC)
    assert labels.tolist() == [1, 2, 3, 0]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (idx_bytes(LABELS_MAGIC, (4,), b"\0\1\2\3"), LABELS_MAGIC),
        (idx_bytes(0, SIZES, PIXELS.tobytes()), 0),
        (struct.pack("<4i", IMAGES_MAGIC, *SIZES) + PIXELS.tobytes(), 0x03080000),
        (IMAGE_FILE[:12], IMAGES_MAGIC),  # the header itself is cut
        (b"", None),
        (b"\0\0\10", None),
    ],
)
def test_wrong_magic(write, content, found):
    message = refused(write(gzip.compress(content)))
    assert message == f"not an idx file of this kind: magic {found}, expected 2051."


@pytest.mark.parametrize(
    "body", [PIXELS.tobytes()[:-1], PIXELS.tobytes() + b"\0", b""], ids=["less", "more", "none"]
)
def test_sizes_that_do_not_fit(write, body):
    message = refused(write(gzip.compress(idx_bytes(IMAGES_MAGIC, SIZES, body))))
    assert message == f"the header says [5, 4, 3], 60 bytes, but {len(body)} follow."


@given(st.data())
@settings(deadline=None)
def test_cut_short_anywhere(write, data):
    whole = gzip.compress(IMAGE_FILE, mtime=0)
    message = refused(write(whole[: data.draw(st.integers(2, len(whole) - 1))]))
    assert message == "truncated (the gzip stream ends early); fetch it again."


@given(st.data())
@settings(deadline=None)
def test_a_damaged_byte_never_goes_unseen(write, data):
    whole = bytearray(gzip.compress(IMAGE_FILE, mtime=0))
    whole[data.draw(st.integers(10, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = read_idx(write(bytes(whole)), IMAGES_MAGIC)
    except DataError:
        return
    # The last bits of the stream may be padding.
    np.testing.assert_array_equal(found, PIXELS)


@given(st.binary(max_size=64), st.booleans())
@settings(deadline=None)
def test_any_bytes_are_read_or_refused(write, content, is_idx):
    content = struct.pack(">i", IMAGES_MAGIC) + content if is_idx else content
    try:
        found = read_idx(write(gzip.compress(content)), IMAGES_MAGIC)
    except DataError:
        return
    assert found.ndim == 3
    assert found.tobytes() == content[16:]


def test_images_and_labels_that_disagree(tmp_path):
    images, labels = (tmp_path / name for name in _idx.FILES["train"])
    images.write_bytes(gzip.compress(IMAGE_FILE))
    labels.write_bytes(gzip.compress(idx_bytes(LABELS_MAGIC, (4,), b"\0\1\2\3")))
    with pytest.raises(DataError) as caught:
        _idx.read_split(tmp_path, "train")
    assert str(caught.value) == f"{images} has 5 images, {labels} 4 labels."


def test_all_four_files_must_be_there(tmp_path):
    for name in [name for pair in _idx.FILES.values() for name in pair]:
        assert not _idx.has_idx_files(tmp_path)
        (tmp_path / name).write_bytes(b"")
    assert _idx.has_idx_files(tmp_path)


@pytest.mark.parametrize(
    ("split", "first", "counts"),
    [("train", 5, MNIST_TRAIN_COUNTS), ("test", 7, MNIST_TEST_COUNTS)],
)
def test_real_mnist(shared_data, split, first, counts):
    images, labels = _idx.read_split(shared_data("mnist"), split)
    assert images.shape == (sum(counts), 28, 28, 1)
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)
    assert labels.dtype == np.int32
    assert labels[0] == first
    assert np.bincount(labels).tolist() == counts
