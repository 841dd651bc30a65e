"""Fashion-MNIST, from Debian's package or any folder with the four files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flowrate.errors import DataError
from input_pipelines.dataset import LoadOptions
from input_pipelines.datasets import _idx, fashion_mnist


def load(folder: Path | None):
    return fashion_mnist.load(LoadOptions(data_dir=folder))


def test_the_package_is_found_and_whole(fashion_folder):
    sources = load(None)
    for split, source in sources.items():
        num_examples = fashion_mnist.INFO.num_examples[split]
        assert source.images.shape == (num_examples, *fashion_mnist.INFO.image_shape)
        assert np.bincount(source.labels).tolist() == [num_examples // 10] * 10
        assert source.class_names == fashion_mnist.INFO.class_names
    assert sources.keys() == {"train", "test"}
    # The first of each, as everyone knows them: an ankle boot, and another.
    assert sources["train"].labels[:4].tolist() == [9, 0, 0, 3]
    assert sources["test"].labels[:4].tolist() == [9, 2, 1, 1]


def test_a_folder_with_the_files(fashion_folder, tmp_path):
    for name in [name for pair in _idx.FILES.values() for name in pair]:
        (tmp_path / name).symlink_to(fashion_folder / name)
    here, there = load(tmp_path)["test"], load(fashion_folder)["test"]
    np.testing.assert_array_equal(here.images, there.images)
    np.testing.assert_array_equal(here.labels, there.labels)


def test_a_folder_without_the_files(tmp_path):
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        f"--data_dir={tmp_path} does not hold the four *-ubyte.gz files (Debian's package "
        "dataset-fashion-mnist has them); point it at the folder that does."
    )


def test_neither_package_nor_network(tmp_path, monkeypatch, offline):
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "not-installed")
    with pytest.raises(DataError) as caught:
        load(None)
    assert str(caught.value) == (
        "train-images-idx3-ubyte.gz (26,421,880 bytes from storage.googleapis.com) is not here and "
        "cannot be fetched (Network is unreachable). Give --data_dir=FOLDER with the four "
        "*-ubyte.gz files (Debian's package dataset-fashion-mnist has them); digits and synthetic "
        "need no download."
    )
