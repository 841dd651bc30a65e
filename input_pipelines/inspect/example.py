"""An example of a data set, by split and index, and how it is called."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flowrate.text import printable
from input_pipelines.source import FileSource, Source


class Example(NamedTuple):
    """Where an example stands."""

    split: str
    index: int


class Naming:
    """Names the examples of a data set: files by their path, others by split and number."""

    def __init__(self, sources: Mapping[str, Source]):
        self._sources = sources
        folders = {
            path.parent
            for source in sources.values()
            if isinstance(source, FileSource)
            for path in source.paths
        }
        self.root = _common_folder(folders)

    def path(self, example: Example) -> Path | None:
        """Returns the example's file; None where it has none."""
        source = self._sources[example.split]
        return source.paths[example.index] if isinstance(source, FileSource) else None

    def class_name(self, example: Example) -> str:
        """Returns the name of the example's class."""
        source = self._sources[example.split]
        return source.class_names[source.labels[example.index]]

    def short(self, example: Example) -> str:
        """Returns a name for people: the path below the data set's folder, or split and number."""
        path = self.path(example)
        return self.shorten(path) if path else f"{example.split} {example.index}"

    def file_name(self, example: Example) -> str:
        """Returns the name of the example's file alone, or its number."""
        path = self.path(example)
        return printable(path.name) if path else str(example.index)

    def shorten(self, path: Path) -> str:
        """Returns a path below the data set's folder, printable."""
        return printable(os.path.relpath(path, self.root) if self.root else path)

    def to_json(self, example: Example) -> dict[str, Any]:
        """Returns what inspect.json says of an example."""
        path = self.path(example)
        return {
            "split": example.split,
            "index": example.index,
            "class": self.class_name(example),
            "path": printable(path) if path else None,
        }


def _common_folder(folders: set[Path]) -> Path | None:
    try:
        common = Path(os.path.commonpath(folders))
    except ValueError:  # None at all, or some absolute and some not.
        return None
    return common.parent if len(folders) == 1 else common
