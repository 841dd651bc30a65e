"""What a trained model says of an image file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a model says of a file.

    Attributes:
        path: as it was named.
        image: uint8 [height, width, channels], as the model got it; None where it cannot be read.
        logits, probabilities: float32 [C]; None likewise.
        inverted: whether the image was.
        error: why it cannot be read, without the file's name.
    """

    path: Path
    image: np.ndarray | None = None
    logits: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    inverted: bool = False
    error: str | None = None
