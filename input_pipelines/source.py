"""A Source: the examples of one split, reached by index. Arrays in memory, or files on disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from flowrate.errors import DataError


@dataclasses.dataclass(frozen=True)
class ArraySource:
    """Decoded examples.

    Attributes:
        images: uint8 [N, height, width, channels]; a memory map counts as an array.
        labels: int32 [N], each in [0, len(class_names)).
        class_names: in label order.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]

    def __post_init__(self):
        if self.images.ndim != 4 or self.images.dtype != np.uint8:
            raise DataError(
                f"images must be uint8 [N, height, width, channels], not {self.images.dtype} "
                f"{list(self.images.shape)}."
            )
        check_labels(self.labels, len(self.images), self.class_names)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> ArraySource:
        """Returns the source of these examples (int64 [M]), in the order of the indices."""
        return dataclasses.replace(self, images=self.images[indices], labels=self.labels[indices])


class FeatureSource(ArraySource):
    """What frozen layers give for the images, in their place: float32 [N, ...]."""

    def __post_init__(self):
        check_labels(self.labels, len(self.images), self.class_names)


@dataclasses.dataclass(frozen=True)
class FileSource:
    """Image files, decoded when read.

    Attributes:
        paths: N files.
        labels: int32 [N], each in [0, len(class_names)).
        class_names: in label order.
        orientations: int32 [N], EXIF's: how to turn each image, 1 to 8; 1, the default, is upright.
    """

    paths: tuple[Path, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    orientations: np.ndarray = None  # type: ignore[assignment]  # Filled in below.

    def __post_init__(self):
        if self.orientations is None:
            object.__setattr__(self, "orientations", np.ones(len(self.paths), np.int32))
        check_labels(self.labels, len(self.paths), self.class_names)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> FileSource:
        """Returns the source of these examples (int64 [M]), in the order of the indices."""
        paths = tuple(self.paths[index] for index in indices)
        return dataclasses.replace(
            self,
            paths=paths,
            labels=self.labels[indices],
            orientations=self.orientations[indices],
        )


Source = ArraySource | FileSource


def check_labels(labels: np.ndarray, num_images: int, class_names: tuple[str, ...]) -> None:
    """Raises DataError unless there is one int32 label in range for each of one or more images."""
    if num_images == 0:
        raise DataError("the data set has no examples.")
    if labels.shape != (num_images,) or labels.dtype != np.int32:
        raise DataError(
            f"{num_images} images need int32 labels of shape [{num_images}], not {labels.dtype} "
            f"{list(labels.shape)}."
        )
    if len(class_names) < 2:
        raise DataError(
            f"the data set has {len(class_names)} class ({', '.join(class_names)}); "
            "a classifier needs at least two."
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= len(class_names)))
    if wrong.size:
        raise DataError(
            f"label {labels[wrong[0]]} of example {wrong[0]} is out of range: there are "
            f"{len(class_names)} classes, so labels go from 0 to {len(class_names) - 1}."
        )
