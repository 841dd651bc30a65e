"""A table of images: CSV, TSV or Parquet with paths, or Parquet with the images themselves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flowrate.errors import ConfigError, DataError
from flowrate.text import one_line, printable
from input_pipelines.dataset import DatasetInfo, LoadOptions
from input_pipelines.fetch import download
from input_pipelines.folders.listing import with_test_split
from input_pipelines.folders.split_folders import split_of
from input_pipelines.source import FileSource
from input_pipelines.tables.file import SUFFIXES, Rows, read_rows

_FORMS = "a .csv, .tsv or .parquet file, or a folder of train-*.parquet and test-*.parquet"
_MAX_NAMED = 5

INFO = DatasetInfo(
    title="A table of images",
    homepage="",
    licence="the user's own",
    image_shape=(180, 180, 3),
    default_model="flowers_cnn",
    augmentation="flip,rotation,zoom",
    has_image_files=True,
    has_columns=True,
)


def load(options: LoadOptions) -> dict[str, FileSource]:
    """Returns the splits that the table names; without a test split, 80/20 as Keras splits.

    Raises:
        ConfigError: a column that is not there, or cannot be told from others.
        DataError: no `--data_dir`, no table, or rows that cannot be trained on.
    """
    if options.data_dir is None:
        raise download.MissingDataError(f"--dataset=table needs --data_dir: {_FORMS}.")
    rows = _read(options.data_dir, options)
    labels, class_names = _as_labels(rows, options.data_dir)
    _check_files(rows.paths, options.data_dir)
    _check_agreement(rows.paths, labels, class_names)
    split_names = np.array(rows.splits or ["train"] * len(rows.paths))
    kept = np.array([path not in options.excluded for path in rows.paths])
    everything = FileSource(tuple(rows.paths), labels, class_names)
    splits = {
        split: everything.take(np.flatnonzero((split_names == split) & kept))
        for split in ("train", "validation", "test")
        if split in split_names
    }
    if "train" not in splits:
        raise DataError(
            f"{printable(options.data_dir)}: no row is of the train split, only of "
            f"{' and '.join(splits)}."
        )
    return with_test_split(splits)


def _read(place: Path, options: LoadOptions) -> Rows:
    """Returns the rows of a file, or of all files of a folder; splits are train, ... or None."""
    if os.path.isdir(place):
        return _read_folder(place, options)
    if not os.path.isfile(place):
        raise DataError(f"--data_dir={printable(place)} does not exist; give {_FORMS}.")
    if place.suffix.lower() not in SUFFIXES:
        raise DataError(f"--data_dir={printable(place)} is no table; give {_FORMS}.")
    rows = read_rows(place, options.columns)
    if rows.splits is None:
        return rows
    names = {name: split for name in set(rows.splits) if (split := split_of(name)) is not None}
    if unknown := [name for name in dict.fromkeys(rows.splits) if name not in names]:
        raise DataError(
            f"{printable(place)}: {_some(unknown)} is no split's name; write train, validation or "
            "test."
        )
    return Rows(rows.paths, rows.labels, [names[name] for name in rows.splits], rows.class_names)


def _read_folder(folder: Path, options: LoadOptions) -> Rows:
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise download.missing_from(folder, _FORMS)
    if "split" in options.columns:
        raise ConfigError(
            f"--columns=split={one_line(options.columns['split'])}: of a folder, the names of its "
            "files say the split; leave it out."
        )
    found = {path: split_of(path.stem.partition("-")[0]) for path in files}
    splits = [split for split in found.values() if split is not None]
    if unknown := [path.name for path, split in found.items() if split is None]:
        raise DataError(
            f"{printable(folder)}: the name of {_some(unknown)} says no split; call each file "
            "train-*.parquet, validation-*.parquet or test-*.parquet, or give one file."
        )
    parts = [read_rows(path, options.columns) for path in files]
    for path, part in zip(files, parts):
        alike = part.class_names == parts[0].class_names
        if not alike or type(part.labels[0]) is not type(parts[0].labels[0]):
            raise DataError(
                f"{printable(path)} and {files[0].name} have other classes, or labels of another "
                "type."
            )
    return Rows(
        [path for part in parts for path in part.paths],
        [label for part in parts for label in part.labels],
        [split for part, split in zip(parts, splits) for _ in part.paths],
        parts[0].class_names,
    )


def _as_labels(rows: Rows, place: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns int32 [N] and the class names: those given; else sorted, numbers by their value."""
    if rows.class_names:
        values = list(map(int, rows.labels))  # They are numbers already.
        count = len(rows.class_names)
        if wrong := sorted({value for value in values if not 0 <= value < count}):
            raise DataError(
                f"{printable(place)}: label {wrong[0]} is none of the {count} classes named "
                f"there (0 to {count - 1}); a split without labels cannot be used."
            )
        return np.array(values, np.int32), rows.class_names
    kinds: set[Any] = set(rows.labels)  # All texts, or all numbers.
    classes = sorted(kinds)
    if all(str(value).lstrip("-").isdecimal() for value in classes):
        classes.sort(key=int)
    if len(classes) == 1:
        raise DataError(
            f"{printable(place)} has one class only ({one_line(classes[0])}); a classifier needs "
            "at least two."
        )
    label_of = {value: label for label, value in enumerate(classes)}
    labels = np.array([label_of[value] for value in rows.labels], np.int32)
    return labels, tuple(map(str, classes))


def _check_files(paths: Sequence[Path], place: Path) -> None:
    missing = [str(path) for path in dict.fromkeys(paths) if not os.path.isfile(path)]
    if missing:
        raise DataError(
            f"{len(missing):,} of the {len(paths):,} images in {printable(place)} are not there: "
            f"{_some(missing)}. Paths start from the table's folder."
        )


def _check_agreement(
    paths: Sequence[Path], labels: np.ndarray, class_names: tuple[str, ...]
) -> None:
    """Raises DataError where an image stands in two rows with different labels."""
    first: dict[Path, int] = {}
    differing = {
        path: f"{path} ({class_names[first[path]]}, {class_names[label]})"
        for path, label in zip(paths, labels.tolist())
        if first.setdefault(path, label) != label
    }
    if differing:
        raise DataError(
            f"{len(differing):,} of the images have rows with different labels: "
            f"{_some(list(differing.values()))}. Keep one row of each."
        )


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMED
    return one_line(", ".join(names[:_MAX_NAMED]) + (f" and {more:,} more" if more > 0 else ""))
