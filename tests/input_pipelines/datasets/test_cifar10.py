"""CIFAR-10's binary version: a folder, or the archive of it."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from flowrate.errors import DataError
from input_pipelines.dataset import LoadOptions
from input_pipelines.datasets import cifar10

NAMES = [name for names in cifar10.FILES.values() for name in names]


def load(folder: Path | None):
    return cifar10.load(LoadOptions(data_dir=folder))


def make_records(number: int) -> np.ndarray:
    """uint8 [10,000, 3,073], as in one file: a label, then planes that tell a pixel's place."""
    records = np.zeros((cifar10.RECORDS_PER_FILE, cifar10.RECORD_BYTES), np.uint8)
    records[:, 0] = np.arange(len(records)) % 10
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    planes[:100, 0] = 10 * number  # red: the file
    planes[:100, 1] = np.arange(32)[:, None]  # green: the row
    planes[:100, 2] = np.arange(32)  # blue: the column
    return records


@pytest.fixture(scope="module")
def batches(tmp_path_factory):
    """The folder cifar-10-batches-bin with six files of the right length."""
    folder = tmp_path_factory.mktemp("cifar10") / cifar10.FOLDER
    folder.mkdir()
    for number, name in enumerate(NAMES, start=1):
        (folder / name).write_bytes(make_records(number).tobytes())
    (folder / "readme.html").write_text("<html>")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder_like(batches, tmp_path):
    """Returns a function: a folder of links to the six files, where some have other contents."""

    def make(**changes: bytes | None) -> Path:
        folder = tmp_path / cifar10.FOLDER
        folder.mkdir()
        for name in NAMES:
            content = changes.get(name.removesuffix(".bin"), b"same")
            if content == b"same":
                (folder / name).symlink_to(batches / name)
            elif content is not None:
                (folder / name).write_bytes(content)
        return folder

    return make


@pytest.fixture(scope="module")
def archive(batches) -> bytes:
    """The archive, as gzip packs it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as tar:
        tar.add(batches, arcname=cifar10.FOLDER)
    return stream.getvalue()


def check(sources) -> None:
    assert {split: len(source) for split, source in sources.items()} == cifar10.INFO.num_examples
    for source in sources.values():
        assert source.images.shape[1:] == cifar10.INFO.image_shape
        assert source.class_names == cifar10.INFO.class_names
        np.testing.assert_array_equal(source.labels, np.arange(len(source)) % 10)
    places = np.arange(32, dtype=np.uint8)
    files = [*sources["train"].images.reshape(5, 10_000, 32, 32, 3), sources["test"].images]
    for number, images in enumerate(files, start=1):
        for image in (images[0], images[99]):
            assert np.all(image[..., 0] == 10 * number)
            np.testing.assert_array_equal(image[..., 1], np.repeat(places[:, None], 32, axis=1))
            np.testing.assert_array_equal(image[..., 2], np.repeat(places[None], 32, axis=0))
        assert not images[100:].any()


def test_the_folder_or_the_one_above(batches):
    check(load(batches))
    check(load(batches.parent))


def test_the_archive(archive, tmp_path):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(archive)
    check(load(tmp_path))
    assert os.listdir(tmp_path) == ["cifar-10-binary.tar.gz"]  # nothing is unpacked to the disk


def test_a_file_that_is_cut_short(folder_like):
    folder = folder_like(data_batch_3=bytes(30_729_999))
    with pytest.raises(DataError) as caught:
        load(folder)
    assert str(caught.value) == (
        f"{folder / 'data_batch_3.bin'}: 30729999 bytes, expected 30730000."
    )


def test_a_file_that_is_missing(folder_like):
    folder = folder_like(test_batch=None)
    with pytest.raises(DataError) as caught:
        load(folder)
    assert str(caught.value) == (
        f"{folder / 'test_batch.bin'}: cannot be read: No such file or directory."
    )


@pytest.mark.parametrize("damage", ["cut", "overwritten", "empty", "page"])
def test_a_damaged_archive(archive, tmp_path, damage):
    middle = len(archive) // 2
    contents = {
        "cut": archive[:middle],
        "overwritten": archive[:middle] + bytes(100) + archive[middle + 100 :],
        "empty": b"",
        "page": b"<html>Not Found</html>",
    }
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(contents[damage])
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(f"{path}: not a readable archive: ")
    assert "\n" not in str(caught.value)


def test_an_archive_that_lacks_files(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in NAMES[:4]:
            tar.addfile(tarfile.TarInfo(f"{cifar10.FOLDER}/{name}"))
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert str(caught.value) == f"{path}: lacks data_batch_5.bin, test_batch.bin."
