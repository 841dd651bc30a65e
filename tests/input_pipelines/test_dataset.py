"""What a data set file says of itself is what it gives."""

from __future__ import annotations

import numpy as np
import pytest

from input_pipelines.dataset import LoadOptions
from input_pipelines.datasets import DATASETS
from input_pipelines.images.inversion import has_bright_border
from input_pipelines.source import FileSource


@pytest.fixture
def load(shared_data, fashion_folder, image_folder):
    """Returns a function: the name of a data set -> its INFO and its training split."""
    folders = {
        "flowers": lambda: shared_data("flower_photos"),
        "mnist": lambda: shared_data("mnist"),
        "fashion_mnist": lambda: fashion_folder,
        "image_folder": image_folder,
    }

    def read(name: str):
        dataset, _ = DATASETS.load(name)
        folder = folders.get(name, lambda: None)()
        options = LoadOptions(data_dir=folder, image_shape=dataset.INFO.image_shape)
        return dataset.INFO, dataset.load(options)["train"]

    return read


@pytest.mark.parametrize(
    "name", ["digits", "mnist", "fashion_mnist", "flowers", "image_folder", "synthetic"]
)
def test_files_or_arrays(load, name):
    info, source = load(name)
    assert info.has_image_files == isinstance(source, FileSource)


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion_mnist"])
def test_a_dark_background(load, name):
    info, source = load(name)
    is_bright = [has_bright_border(image) for image in source.images[:500]]
    assert info.dark_background
    assert np.mean(is_bright) < 0.05
