"""Dark on white paper -> bright on black, for models of data sets with a dark background."""

from __future__ import annotations

import numpy as np

_BRIGHT = 127


def has_bright_border(image: np.ndarray) -> bool:
    """Returns whether the median of the outermost pixels of uint8 [H, W, C] is above 127."""
    return float(np.median(border_of(image))) > _BRIGHT


def border_of(image: np.ndarray) -> np.ndarray:
    """Returns the outermost pixels of [H, W, C], each once, as [N, C]."""
    is_border = np.ones(image.shape[:2], bool)
    is_border[1:-1, 1:-1] = False
    return image[is_border]


def inverted(image: np.ndarray) -> np.ndarray:
    """Returns 255 - image."""
    return 255 - image
