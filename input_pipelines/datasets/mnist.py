"""MNIST: 70,000 handwritten digits of 28 x 28 pixels."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from flowrate.errors import DataError
from input_pipelines.dataset import DatasetInfo, LoadOptions
from input_pipelines.datasets import _idx
from input_pipelines.fetch import download
from input_pipelines.source import ArraySource

# Size and hash as in Keras (keras/src/datasets/mnist.py).
ARCHIVE = download.RemoteFile(
    url="https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
    num_bytes=11_490_434,
    sha256="731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
)
WANTED = "mnist.npz or the four *-ubyte.gz files"

# The real one unpacks to 55 million.
_MOST_BYTES = 2**27

# What numpy raises on files that are no npz, or a damaged one.
_DAMAGE = (
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile,
    MemoryError, zlib.error,
)  # fmt: skip

INFO = DatasetInfo(
    title="MNIST",
    homepage="https://yann.lecun.org/exdb/mnist/",
    licence="CC BY-SA 3.0",
    image_shape=(28, 28, 1),
    class_names=tuple("0123456789"),
    num_examples={"train": 60_000, "test": 10_000},
    default_model="cnn",
    augmentation="translation,rotation",
    dark_background=True,
)


def load(options: LoadOptions) -> dict[str, ArraySource]:
    """Returns train and test, from Keras's `mnist.npz` or from the four idx files.

    Raises:
        DataError: the files are absent and cannot be fetched, or are damaged.
    """
    folder = download.existing_folder(options.data_dir, "mnist")
    if _idx.has_idx_files(folder):
        parts = {split: _idx.read_split(folder, split) for split in _idx.FILES}
    else:
        path = download.find_or_fetch(ARCHIVE, folder, options.data_dir, WANTED)
        parts = _read_archive(path)
    return {
        split: ArraySource(images, labels, INFO.class_names)
        for split, (images, labels) in parts.items()
    }


def _read_archive(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MOST_BYTES:
                raise ValueError("it would unpack to more than any MNIST")
        with np.load(path, allow_pickle=False) as archive:
            return {
                split: (archive[f"x_{split}"][..., np.newaxis],
                        archive[f"y_{split}"].astype(np.int32))
                for split in INFO.num_examples
            }  # fmt: skip
    except _DAMAGE as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not a readable MNIST archive: {reason}") from None
