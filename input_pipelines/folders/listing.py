"""A folder of class folders: listed in a fixed order and split file for file as Keras does it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from flowrate.errors import DataError
from input_pipelines.fetch.download import MissingDataError
from input_pipelines.folders.split_folders import split_of
from input_pipelines.folders.tree import (
    IMAGE_SUFFIXES,
    LeftOut,
    class_folders_of,
    some,
    tally_endings,
    walk,
)
from input_pipelines.source import FileSource

# What the flowers tutorial passes to image_dataset_from_directory; its "validation" is our test.
_TEST_SPLIT, _TEST_SPLIT_SEED = 0.2, 123


def list_folder(
    folder: Path, excluded: frozenset[Path] = frozenset(), left_out: LeftOut | None = None
) -> FileSource:
    """Lists the images below each class folder; classes and files in the order of their names.

    Returns:
        The source; labels follow the sorted class names.

    Raises:
        DataError: no class folders, only one, or one without images (MissingDataError where none
            of them holds images itself: the folder is of something else); or labels would be
            wrong: two folders are one class but for how it is written, or folders of other classes
            lie in a class folder.
    """
    left_out = LeftOut() if left_out is None else left_out
    class_folders = class_folders_of(folder, left_out)
    names = tuple(class_folder.name for class_folder in class_folders)
    if not class_folders:
        unplaced = len([path for path in left_out.unplaced if path.parent == folder])
        raise (DataError if unplaced else MissingDataError)(
            f"{folder} holds no class folders (one folder of images for each class)"
            + (f", but images without a class: {unplaced:,}." if unplaced else ".")
        )
    check_class_names(folder, names)
    paths, labels, empty = [], [], []
    for label, class_folder in enumerate(class_folders):
        found = [
            path for path in _images_below(class_folder, names, left_out) if path not in excluded
        ]
        if not found:
            others = {path for path in left_out.other_files if class_folder in path.parents}
            held = f" (it holds {tally_endings(others)}: convert or rename them)" if others else ""
            empty.append(f"{class_folder.name}{held}")
        paths += found
        labels += [label] * len(found)
    if not empty and len(class_folders) > 1:
        return FileSource(tuple(paths), np.array(labels, np.int32), names)
    is_of_images = not {path.parent for path in paths}.isdisjoint(class_folders)
    error = DataError if is_of_images else MissingDataError
    if empty:
        raise error(
            f"{folder}: no image ({', '.join(IMAGE_SUFFIXES)}) in class folder {', '.join(empty)}; "
            "add some, or move it elsewhere."
        )
    below = [entry.name for entry in class_folders_of(class_folders[0])]
    raise error(
        f"{folder} has one class folder only ({names[0]}); a classifier needs at least two."
        + (f" In it lie {some(below)}: if these are the classes, move them up." * bool(below))
    )


def check_class_names(folder: Path, names: Iterable[str]) -> None:
    """Raises DataError where two names are one but for case, Unicode's form or spaces around."""
    seen: dict[str, str] = {}
    for name in sorted(names):
        other = seen.setdefault(_written_alike(name), name)
        if other != name:
            raise DataError(
                f"{folder}: class folders {other!a} and {name!a} have one name but for case, "
                "Unicode form or spaces; merge them, or rename one."
            )


def _written_alike(name: str) -> str:
    """Returns what is equal for names that are not told apart; single letters are, by case."""
    name = unicodedata.normalize("NFC", name).strip()
    return name.casefold() if len(name) > 1 else name


def with_test_split(splits: dict[str, FileSource]) -> dict[str, FileSource]:
    """Returns the splits; where there is no test split, with one cut off the training split.

    By the share and the seed of the flowers tutorial.

    Raises:
        DataError: so few images that it would be empty.
    """
    if "test" in splits:
        return splits
    train, test = split_like_keras(splits["train"], _TEST_SPLIT, _TEST_SPLIT_SEED)
    return splits | {"train": train, "test": test}


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


def _images_below(class_folder: Path, class_names: Iterable[str], left_out: LeftOut) -> list[Path]:
    others = set(map(_written_alike, class_names)) - {_written_alike(class_folder.name)}
    found = []
    for parent, folders, files in walk(class_folder, left_out.litter):
        if strays := [parent / name for name in folders if _written_alike(name) in others]:
            raise DataError(
                f"{class_folder.parent}: in the folder of class {class_folder.name} lie folders "
                f"named as other classes: {some(strays)}. A copy of the data set? Their images "
                f"would count as {class_folder.name}; move them out."
            )
        splits = [name for name in folders if split_of(name)] if parent == class_folder else []
        if len({split_of(name) for name in splits}) > 1:
            raise DataError(
                f"{class_folder}: {some(splits)} are splits inside a class; put the splits above "
                f"the classes, as {splits[0]}/{class_folder.name}, or rename them."
            )
        left_out.links.update(parent / name for name in folders if (parent / name).is_symlink())
        images = [name for name in files if name.lower().endswith(IMAGE_SUFFIXES)]
        found += [parent / name for name in images]
        left_out.other_files.update(parent / name for name in set(files) - set(images))
    return found
