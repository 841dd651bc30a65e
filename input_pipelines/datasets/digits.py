"""Handwritten digits of 8 x 8 pixels: 1,797 real scans that come with scikit-learn."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from flowrate.errors import DataError
from input_pipelines.dataset import DatasetInfo, LoadOptions
from input_pipelines.source import ArraySource, Source
from input_pipelines.splits import hold_out

NUM_TEST_EXAMPLES = 360
# Fixed, not the run's: every run is tested on the same examples.
TEST_SPLIT_SEED = 0

INFO = DatasetInfo(
    title="Digits (UCI optical recognition of handwritten digits, test part)",
    homepage="https://archive.ics.uci.edu/dataset/80",
    licence="CC BY 4.0",
    image_shape=(8, 8, 1),
    class_names=tuple("0123456789"),
    num_examples={"train": 1797 - NUM_TEST_EXAMPLES, "test": NUM_TEST_EXAMPLES},
    default_model="cnn",
    augmentation="translation",
    dark_background=True,
)


def load(options: LoadOptions) -> dict[str, Source]:
    """Returns train and test: a fixed stratified 80/20 split, since none is published.

    Raises:
        DataError: scikit-learn, which brings the digits, is not there or not whole.
    """
    rows = np.loadtxt(_find_file(), delimiter=",")
    # Pixels are counts from 0 to 16; bring them to the full range of a byte.
    images = np.rint(rows[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, *INFO.image_shape)
    source = ArraySource(images, rows[:, -1].astype(np.int32), INFO.class_names)
    train, test = hold_out(source, NUM_TEST_EXAMPLES, TEST_SPLIT_SEED)
    return {"train": train, "test": test}


def _find_file() -> Path:
    """Returns the file within scikit-learn, without the 2 s that importing scikit-learn takes."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError("--dataset=digits: scikit-learn is not installed: pip install scikit-learn")
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.exists():
        raise DataError(f"--dataset=digits: {path} is not there; install scikit-learn anew.")
    return path
