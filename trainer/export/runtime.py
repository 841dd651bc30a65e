"""An exported file, loaded by the program it is meant for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Runtime:
    """What a format's `load` gives.

    Attributes:
        name: of the program, with its version.
        class_names: in label order, as the file itself tells them.
        answer: uint8 [N, height, width, channels], any N -> logits and probabilities, each float32
            [N, classes].
    """

    name: str
    class_names: tuple[str, ...]
    answer: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
