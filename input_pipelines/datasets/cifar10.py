"""CIFAR-10: 60,000 colour photos of 32 x 32 pixels in ten classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flowrate.errors import DataError
from flowrate.text import one_line
from input_pipelines.dataset import DatasetInfo, LoadOptions
from input_pipelines.fetch import download, tar
from input_pipelines.source import ArraySource

# The binary version, not the pickled one: reading it cannot run code.
# Size and hash as in TensorFlow Datasets (url_checksums/cifar10.txt).
ARCHIVE = download.RemoteFile(
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    num_bytes=170_052_171,
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
FOLDER = "cifar-10-batches-bin"
FILES = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
RECORD_BYTES = 1 + 3 * 32 * 32  # a label, then the red, green and blue planes
RECORDS_PER_FILE = 10_000
# The archive holds 184 MB.
_MOST_BYTES = 2**28
WANTED = f"{ARCHIVE.name}, or the folder {FOLDER} from it"

INFO = DatasetInfo(
    title="CIFAR-10",
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="free to use with citation (A. Krizhevsky, 2009)",
    image_shape=(32, 32, 3),
    class_names=(
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
    num_examples={"train": 50_000, "test": 10_000},
    default_model="resnet18",
    augmentation="crop,flip",
)  # fmt: skip


def load(options: LoadOptions) -> dict[str, ArraySource]:
    """Returns train and test, from the binary archive or the folder unpacked from it.

    Raises:
        DataError: the files are absent and cannot be fetched, or are damaged.
    """
    folder = download.existing_folder(options.data_dir, "cifar10")
    unpacked = folder if folder.name == FOLDER else folder / FOLDER
    if unpacked.is_dir():
        contents = _read_folder(unpacked)
    else:
        path = download.find_or_fetch(ARCHIVE, folder, options.data_dir, WANTED)
        contents = _read_archive(path)
    return {
        split: _parse(b"".join(contents[name] for name in names)) for split, names in FILES.items()
    }


def _read_folder(folder: Path) -> dict[str, bytes]:
    try:
        found = {name: (folder / name).read_bytes() for names in FILES.values() for name in names}
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}.") from None
    _check_sizes(found, folder)
    return found


def _read_archive(path: Path) -> dict[str, bytes]:
    wanted = {name for names in FILES.values() for name in names}
    try:
        found = tar.read_files(path, wanted, _MOST_BYTES)
    except tar.ERRORS as error:
        raise DataError(f"{path}: not a readable archive: {one_line(error)}") from None
    if missing := sorted(wanted - found.keys()):
        raise DataError(f"{path}: lacks {', '.join(missing)}.")
    _check_sizes(found, path)
    return found


def _check_sizes(contents: dict[str, bytes], origin: Path) -> None:
    expected = RECORD_BYTES * RECORDS_PER_FILE
    for name, content in contents.items():
        if len(content) != expected:
            raise DataError(f"{origin / name}: {len(content)} bytes, expected {expected}.")


def _parse(content: bytes) -> ArraySource:
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    labels = records[:, 0].astype(np.int32)
    return ArraySource(np.ascontiguousarray(images), labels, INFO.class_names)
