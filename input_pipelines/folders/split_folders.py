"""Whether folders are splits or classes, by their names and by what they hold.

    train, training                       train
    val, valid, validation, dev, eval     validation
    test, testing, holdout                test

in any case, and with spaces, hyphens or underscores anywhere. A split's folder holds the class
folders. What could be read both ways is refused:
a wrong guess trains a classifier of `train` against `test`, and says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from flowrate.errors import DataError
from input_pipelines.folders.tree import class_folders_of, holds_folders, is_image, some

_NAMES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "eval": "validation",
    "test": "test", "testing": "test", "holdout": "test",
}  # fmt: skip


def split_of(name: str) -> str | None:
    """Returns train, validation or test for what is named as one; else None."""
    return _NAMES.get(re.sub(r"[\s_-]", "", name.casefold()))


def split_folders(
    folder: Path, entries: Sequence[Path], tell: Callable[[str], None] = lambda _: None
) -> dict[str, Path]:
    """Returns {split: folder}; empty where the folders are the classes themselves.

    Classes may be named as splits where they look like the classes beside them: they hold images
    and no folders, are of one kind, and are no more than the others.

    Raises:
        DataError: it cannot be told, two folders are one split, or there is none to train on.
    """
    splits = {entry: split for entry in entries if (split := split_of(entry.name))}
    named = splits | {
        entry: split for entry in entries if entry not in splits and (split := _like(entry.name))
    }
    kinds = set(named.values())
    if not splits and not ("train" in kinds and len(kinds) > 1):
        return {}
    looks_like_classes = (
        len(entries) - len(named) >= len(named)
        and len(set(splits.values())) <= 1
        and not any(map(holds_folders, named))
    )
    if looks_like_classes:
        are, what = ("are", "classes") if len(named) > 1 else ("is", "a class")
        tell(
            f"{some([entry.name for entry in named])} {are} taken for {what}: images lie there "
            "directly, where a split has class folders; if that is wrong, move them elsewhere."
        )
        return {}
    if len(splits) < len(entries):
        seen = some([f"{entry.name} ({_contents(entry)})" for entry in entries])
        raise DataError(
            f"{folder}: which folders are splits and which are classes cannot be told: {seen}. "
            "Give train, validation and test alone, with the class folders in each, or class "
            "folders alone: move the others elsewhere, or rename a class that is named as a split."
        )
    return _one_each(folder, splits)


def _one_each(folder: Path, splits: dict[Path, str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for entry, split in splits.items():
        if split in found:
            raise DataError(
                f"{folder}: {found[split].name} and {entry.name} are both the {split} split; "
                "rename one to train, validation or test, or merge them."
            )
        found[split] = entry
    if "train" not in found:
        raise DataError(
            f"{folder}: no train folder stands beside {some([entry.name for entry in splits])}; "
            "add it, or rename them if they are classes."
        )
    return found


def _like(name: str) -> str | None:
    """Returns the split that a word of the name speaks of: of seg_train, test1, training_set."""
    words = re.split(r"[^a-z]+", name.casefold())
    return next(filter(None, (split_of(word.removesuffix("set")) for word in words)), None)


def _contents(folder: Path) -> str:
    if holds_folders(folder):
        count = len(class_folders_of(folder))
        return f"{count:,} folders" if count != 1 else "1 folder"
    return "images and no folders" if any(map(is_image, folder.iterdir())) else "no images"
