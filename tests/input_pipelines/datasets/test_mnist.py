"""MNIST, from the four idx files or from Keras's npz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flowrate.errors import DataError
from input_pipelines.dataset import LoadOptions
from input_pipelines.datasets import mnist


@pytest.fixture
def npz_folder(shared_data, tmp_path) -> Path:
    """A folder with Keras's archive alone."""
    (tmp_path / "mnist.npz").symlink_to(shared_data("mnist", "mnist.npz"))
    return tmp_path


def load(folder: Path | None):
    return mnist.load(LoadOptions(data_dir=folder))


def npz_arrays(**changes) -> dict[str, np.ndarray]:
    arrays = {
        "x_train": np.zeros((20, 28, 28), np.uint8),
        "y_train": np.arange(20, dtype=np.uint8) % 10,
        "x_test": np.zeros((10, 28, 28), np.uint8),
        "y_test": np.arange(10, dtype=np.uint8),
    }
    return {name: array for name, array in (arrays | changes).items() if array is not None}


def refused(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_both_formats_give_the_same_arrays(shared_data, npz_folder):
    by_idx, by_npz = load(shared_data("mnist")), load(npz_folder)
    assert {split: len(source) for split, source in by_idx.items()} == mnist.INFO.num_examples
    assert by_idx.keys() == by_npz.keys()
    for split, source in by_idx.items():
        assert source.images.shape[1:] == mnist.INFO.image_shape
        assert source.class_names == mnist.INFO.class_names
        np.testing.assert_array_equal(source.images, by_npz[split].images)
        np.testing.assert_array_equal(source.labels, by_npz[split].labels)
        assert by_npz[split].images.dtype == np.uint8
        assert by_npz[split].labels.dtype == np.int32


def test_the_real_archive_is_the_one_that_would_be_fetched(shared_data):
    import hashlib

    content = shared_data("mnist", "mnist.npz").read_bytes()
    assert len(content) == mnist.ARCHIVE.num_bytes
    assert hashlib.sha256(content).hexdigest() == mnist.ARCHIVE.sha256


def test_what_was_fetched_before_is_found(npz_folder, tmp_path, monkeypatch, offline):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache" / "flowrate").mkdir(parents=True)
    (tmp_path / "cache" / "flowrate" / "mnist").symlink_to(npz_folder)
    assert len(load(None)["test"]) == 10_000


def test_a_folder_without_it(tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"")  # one of the four is not enough
    assert refused(tmp_path) == (
        f"--data_dir={tmp_path} does not hold mnist.npz or the four *-ubyte.gz files; "
        "point it at the folder that does."
    )


def test_damage_at_any_place_of_an_npz(tmp_path):
    """It shows as a wrong checksum or as a stream that cannot be unpacked."""
    path = tmp_path / "mnist.npz"
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (20, 28, 28), np.uint8) // 16  # unpacks to twice its size
    np.savez_compressed(path, **npz_arrays(x_train=images))
    whole = path.read_bytes()
    np.testing.assert_array_equal(load(tmp_path)["train"].images[..., 0], images)
    for place in range(500, 5000, 50):
        path.write_bytes(whole[:place] + generator.bytes(200) + whole[place + 200 :])
        assert refused(tmp_path).startswith(f"{path}: not a readable MNIST archive: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "not a readable MNIST archive: "),
        ({"x_train": None}, "not a readable MNIST archive: "),
        ({"x_train": np.array([{}, {}], object)}, "not a readable MNIST archive: "),
        ({"x_train": np.zeros((20, 28, 28))}, "images must be uint8"),
        ({"x_train": np.zeros((19, 28, 28), np.uint8)}, "19 images need int32 labels"),
        ({"y_train": np.arange(20, dtype=np.uint8)}, "label 10 of example 10 is out of range"),
    ],
)
def test_another_npz(tmp_path, changes, message):
    np.savez(tmp_path / "mnist.npz", **npz_arrays(**changes))
    assert message in refused(tmp_path)


def test_an_array_under_the_name_of_the_archive(tmp_path):
    with (tmp_path / "mnist.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    assert "not a readable MNIST archive: " in refused(tmp_path)
