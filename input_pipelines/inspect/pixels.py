"""What the pixels say: channel statistics, brightness and mean images, in one pass.

Everything is summed in whole numbers, so that nothing depends on the order of the images, and
nothing is kept of an image but its brightness.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

# Mean images of so many classes at most, and in so much memory.
MAX_CLASS_MEANS = 40
_MAX_CLASS_MEAN_BYTES = 256 * 2**20
_LEVELS = 256
# So many pixel values are counted at once: numpy makes 8 bytes of each.
_CHUNK_VALUES = 2**20
# Of a split that is drawn from, an image that was not looked at.
UNSEEN = -1.0


@dataclasses.dataclass
class PixelStatistics:
    """Sums over images of one shape; `add` counts more in.

    Attributes:
        levels: int64 [channels, 256], how often each level occurs.
        image_sum: uint64 [height, width, channels], over all images.
        num_images: of them.
        class_sums: uint64 [K, height, width, channels], over the images of the first K classes.
        class_counts: int64 [C], images of every class.
        brightness: {split: float32 [N]}, each image's mean level, UNSEEN where it was not added.
        constant: {split: bool [N]}, whether all pixels of an image are the same colour.
    """

    levels: np.ndarray
    image_sum: np.ndarray
    num_images: int
    class_sums: np.ndarray
    class_counts: np.ndarray
    brightness: dict[str, np.ndarray]
    constant: dict[str, np.ndarray]

    @classmethod
    def empty(
        cls, image_shape: tuple[int, int, int], num_classes: int, num_examples: dict[str, int]
    ) -> PixelStatistics:
        """Returns the statistics of no image.

        Args:
            image_shape: (height, width, channels).
            num_classes: of the data set.
            num_examples: {split: N}.
        """
        bytes_per_class = 8 * int(np.prod(image_shape))
        shown = min(num_classes, MAX_CLASS_MEANS, max(1, _MAX_CLASS_MEAN_BYTES // bytes_per_class))
        return cls(
            levels=np.zeros((image_shape[2], _LEVELS), np.int64),
            image_sum=np.zeros(image_shape, np.uint64),
            num_images=0,
            class_sums=np.zeros((shown, *image_shape), np.uint64),
            class_counts=np.zeros(num_classes, np.int64),
            brightness={
                split: np.full(count, UNSEEN, np.float32) for split, count in num_examples.items()
            },
            constant={split: np.zeros(count, bool) for split, count in num_examples.items()},
        )

    def add(self, split: str, indices: np.ndarray, images: np.ndarray, labels: np.ndarray) -> None:
        """Counts images in.

        Args:
            split: where they stand.
            indices: int64 [M] in the split.
            images: uint8 [M, height, width, channels].
            labels: int32 [M].
        """
        self.num_images += len(images)
        self.class_counts += np.bincount(labels, minlength=len(self.class_counts))
        for label in np.unique(labels):
            of_class = images[labels == label].sum(axis=0, dtype=np.uint64)
            self.image_sum += of_class
            if label < len(self.class_sums):
                self.class_sums[label] += of_class
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

    def mean_image(self) -> np.ndarray:
        """Returns uint8 [height, width, channels]."""
        return _rounded_mean(self.image_sum, self.num_images)

    def class_means(self) -> dict[int, np.ndarray]:
        """Returns {label: uint8 [height, width, channels]} of the first classes with images."""
        return {
            label: _rounded_mean(image_sum, self.class_counts[label])
            for label, image_sum in enumerate(self.class_sums)
            if self.class_counts[label]
        }

    def to_json(self) -> dict[str, Any]:
        """Returns the figures of the channels, JSON-able; None where no image was seen."""
        if not self.num_images:
            return {"images": 0, "mean": None, "std": None, "levels": None}
        return {
            "images": self.num_images,
            "mean": [float(value) for value in self.mean],
            "std": [float(value) for value in self.std],
            "levels": self.levels.tolist(),
        }


def _rounded_mean(image_sum: np.ndarray, count: int) -> np.ndarray:
    return np.rint(image_sum / count).astype(np.uint8)
