"""A folder of class folders: listed in a fixed order and split file for file as Keras does it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from flowrate.errors import DataError
from input_pipelines._download import MissingDataError
from input_pipelines._source import FileSource

# What keras.utils.image_dataset_from_directory takes for an image.
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
# Images too, which nobody should believe to be trained on.
_OTHER_SUFFIXES = (".avif", ".heic", ".heif", ".jp2", ".jxl", ".tif", ".tiff", ".webp")


def list_folder(folder: Path, excluded: frozenset[Path] = frozenset()) -> FileSource:
    """Lists the images below each class folder; classes and files in the order of their names.

    Args:
        folder: holds one folder per class.
        excluded: files that are left out.

    Returns:
        The source; labels follow the sorted class names.

    Raises:
        MissingDataError: no class folders, only one, or one without images.
    """
    class_folders = class_folders_of(folder)
    if not class_folders:
        raise MissingDataError(
            f"{folder} holds no class folders (one folder of images for each class)."
        )
    paths, labels, empty = [], [], []
    for label, class_folder in enumerate(class_folders):
        found = [path for path in _images_below(class_folder) if path not in excluded]
        if not found:
            empty.append(class_folder.name)
        paths += found
        labels += [label] * len(found)
    if empty:
        raise MissingDataError(
            f"{folder}: no image ({', '.join(IMAGE_SUFFIXES)}) in class folder {', '.join(empty)}; "
            "add some, or remove the folder."
        )
    if len(class_folders) == 1:
        raise MissingDataError(
            f"{folder} has one class folder only ({class_folders[0].name}); "
            "a classifier needs at least two."
        )
    names = tuple(class_folder.name for class_folder in class_folders)
    return FileSource(tuple(paths), np.array(labels, np.int32), names)


def other_images(paths: Iterable[Path]) -> str:
    """Returns a line on the images beside these that are of a kind not trained on; or nothing."""
    suffixes = Counter(
        Path(name).suffix.lower()
        for folder in sorted({path.parent for path in paths})
        for name in os.listdir(folder)
        if name.lower().endswith(_OTHER_SUFFIXES)
    )
    if not suffixes:
        return ""
    counted = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(suffixes.items()))
    return f"left out {counted}: trained on are {', '.join(IMAGE_SUFFIXES)}; convert them."


def split_like_keras(
    source: FileSource, validation_split: float, seed: int
) -> tuple[FileSource, FileSource]:
    """Splits as `image_dataset_from_directory(validation_split=..., seed=...)` does.

    Keras shuffles the sorted list with `RandomState(seed)` and cuts the second subset from its
    end (keras/src/utils/dataset_utils.py).

    Returns:
        (its "training" subset, its "validation" subset), in its order.

    Raises:
        DataError: so few images that the second subset would be empty.
    """
    order = np.arange(len(source))
    np.random.RandomState(seed).shuffle(order)
    num_second = int(validation_split * len(source))
    if not num_second:
        raise DataError(
            f"{len(source)} images are too few to keep {validation_split:.0%} for the test; "
            "add images, or a test folder."
        )
    first, second = np.split(order, [len(source) - num_second])
    return source.take(first), source.take(second)


def class_folders_of(folder: Path) -> list[Path]:
    """Returns the folders directly below, by name; hidden ones do not count.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}.") from None
    return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _images_below(folder: Path) -> list[Path]:
    # As Keras walks: by folder first, then by file name; links to folders are not followed.
    return [
        Path(parent, name)
        for parent, _, names in sorted(os.walk(folder), key=lambda entry: entry[0])
        for name in sorted(names)
        if name.lower().endswith(IMAGE_SUFFIXES)
    ]
