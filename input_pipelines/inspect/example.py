"""Names of examples: by split and index, and by file where the data set has files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flowrate.text import printable
from input_pipelines.source import FileSource, Source


class Example(NamedTuple):
    """The place of an example in the data set."""

    split: str
    index: int  # type: ignore[assignment]  # It hides tuple.index, which nobody calls.


class Naming:
    """Describes the examples of a data set for the record.

    Attributes:
        folder: that holds all files; None where the data set came as arrays.
    """

    def __init__(self, sources: Mapping[str, Source]):
        self._sources = sources
        files = [source for source in sources.values() if isinstance(source, FileSource)]
        self.folder = _common_folder({path.parent for source in files for path in source.paths})

    def describe(self, example: Example, **facts: Any) -> dict[str, Any]:
        """Returns an example as in inspect.json: split, index, class and path, then `facts`."""
        source = self._sources[example.split]
        path = source.paths[example.index] if isinstance(source, FileSource) else None
        return {
            "split": example.split,
            "index": example.index,
            "class": source.class_names[source.labels[example.index]],
            "path": None if path is None else printable(path),
            **facts,
        }


def short_name(described: Mapping[str, Any], folder: str | None) -> str:
    """Returns the path of a described example below `folder`, or its split and index."""
    if described["path"] is None:
        return f"{described['split']} {described['index']}"
    return os.path.relpath(described["path"], folder) if folder else described["path"]


def _common_folder(folders: set[Path]) -> Path | None:
    try:
        common = Path(os.path.commonpath(folders))
    except ValueError:  # There are no files, or some paths are absolute and some are not.
        return None
    return common.parent if len(folders) == 1 else common
