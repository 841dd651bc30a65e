"""What the pixels say, in one pass: channel statistics, and the brightness of each image."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from input_pipelines.inspect.example import Example, Naming

_LEVELS = 256
# Pixel values that are counted at once: numpy makes 8 bytes of each.
_CHUNK_VALUES = 2**20
# The brightness of an image that was not decoded.
UNSEEN = -1.0
_NUM_EXTREMES = 6
_BRIGHTNESS_BINS = 64


@dataclasses.dataclass
class PixelStatistics:
    """Sums over images of one shape; `add` counts more in. The order of the images is no matter.

    Attributes:
        levels: int64 [channels, 256], how often each level occurs.
        brightness: {split: float32 [N]}, each image's mean level, UNSEEN where it was not added.
        constant: {split: bool [N]}, whether all pixels of an image have one colour.
        num_images: so far.
    """

    levels: np.ndarray
    brightness: dict[str, np.ndarray]
    constant: dict[str, np.ndarray]
    num_images: int = 0

    @classmethod
    def empty(cls, num_channels: int, num_examples: dict[str, int]) -> PixelStatistics:
        """Returns the statistics of no image; `num_examples` is {split: N}."""
        return cls(
            levels=np.zeros((num_channels, _LEVELS), np.int64),
            brightness={split: np.full(n, UNSEEN, np.float32) for split, n in num_examples.items()},
            constant={split: np.zeros(n, bool) for split, n in num_examples.items()},
        )

    def add(self, split: str, indices: np.ndarray, images: np.ndarray) -> None:
        """Counts images in.

        Args:
            split: of the images.
            indices: int64 [M] in the split.
            images: uint8 [M, height, width, channels].
        """
        self.num_images += len(images)
        at_once = max(1, _CHUNK_VALUES // int(np.prod(images.shape[1:])))
        for first in range(0, len(images), at_once):
            for channel, counts in enumerate(self.levels):
                values = images[first : first + at_once, ..., channel].ravel()
                counts += np.bincount(values, minlength=_LEVELS)
        flat = images.reshape(len(images), -1)
        self.brightness[split][indices] = flat.mean(axis=1, dtype=np.float64)
        corners = images[:, :1, :1]
        self.constant[split][indices] = (images == corners).reshape(len(images), -1).all(axis=1)

    @property
    def mean(self) -> np.ndarray:
        """float64 [channels], of levels 0 to 255."""
        return self.levels @ np.arange(_LEVELS) / self.levels.sum(axis=1)

    @property
    def std(self) -> np.ndarray:
        """float64 [channels]: the standard deviation of the levels of all pixels."""
        squares = self.levels @ np.arange(_LEVELS) ** 2 / self.levels.sum(axis=1)
        return np.sqrt(np.maximum(squares - self.mean**2, 0))

    def to_json(self) -> dict[str, Any]:
        """Returns the field `pixels` of inspect.json."""
        figures = dict.fromkeys(("mean", "std", "levels"))
        if self.num_images:
            figures = {name: getattr(self, name).tolist() for name in figures}
        return {"images": self.num_images, **figures}

    def brightness_to_json(self, naming: Naming) -> dict[str, Any]:
        """Returns the field `brightness` of inspect.json; of equally bright images, the first."""
        places = [
            Example(split, index)
            for split, levels in self.brightness.items()
            for index in range(len(levels))
        ]
        levels = np.concatenate(list(self.brightness.values()))
        seen = np.flatnonzero(levels != UNSEEN)
        chosen = {
            "darkest": seen[np.argsort(levels[seen], kind="stable")][:_NUM_EXTREMES],
            "brightest": seen[np.argsort(-levels[seen], kind="stable")][:_NUM_EXTREMES],
            "blank": np.flatnonzero(np.concatenate(list(self.constant.values()))),
        }
        return {
            "histogram": {
                split: np.histogram(each[each != UNSEEN], _BRIGHTNESS_BINS, (0, 256))[0].tolist()
                for split, each in self.brightness.items()
            },
            **{
                name: [naming.describe(places[n], brightness=float(levels[n])) for n in numbers]
                for name, numbers in chosen.items()
            },
        }
