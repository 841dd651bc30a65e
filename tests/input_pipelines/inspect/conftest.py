"""Folders of images made with Pillow, whole and odd; and a look at a data set in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from faults.tools.image_kinds import png_of
from PIL import Image


def draw(size: tuple[int, int], seed: int) -> Image.Image:
    """An image of (width, height) like no other."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of two classes with ten different whole images each."""
    for label, name in enumerate(("cat", "dog")):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(10):
            image = draw((20 + number, 30 - number), 100 * label + number)
            image.save(folder / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def bomb() -> bytes:
    """A PNG of 48 kB that says it has 400 million pixels, and has."""
    return png_of(20_000, 20_000)


@pytest.fixture
def look(tf) -> Callable:
    """Returns a function: flags of InspectConfig -> the Inspection; no probe unless given."""
    from input_pipelines.inspect.config import InspectConfig
    from input_pipelines.inspect.inspection import inspect
    from input_pipelines.loading import load_sources
    from input_pipelines.progress import Progress

    def run(**flags):
        config = InspectConfig(**{"probe_seconds": 0.0, **flags})
        data = load_sources(
            config.dataset,
            data_dir=config.data_dir,
            image_size=config.image_size,
            validation_examples=config.validation_examples,
            seed=config.seed,
        )
        return inspect(data, config, Progress())

    return run
