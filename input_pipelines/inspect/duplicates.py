"""Exact duplicates: files of the same bytes, or arrays of the same pixels, by SHA-256."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from input_pipelines.inspect.example import Example, Naming
from input_pipelines.inspect.headers import HeaderScan
from input_pipelines.source import ArraySource, Source

_CHUNK_BYTES = 2**20


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Two examples or more that are the same image.

    Attributes:
        examples: in the order of splits and indices.
        across_splits: whether they stand in different splits: what is tested was trained on.
        different_labels: whether they stand in different classes: one label at least is wrong.
    """

    examples: tuple[Example, ...]
    across_splits: bool
    different_labels: bool

    def to_json(self, naming: Naming) -> dict[str, Any]:
        """Returns it JSON-able."""
        return {
            "across_splits": self.across_splits,
            "different_labels": self.different_labels,
            "examples": [naming.to_json(example) for example in self.examples],
        }


def find_duplicates(
    sources: Mapping[str, Source],
    scan: HeaderScan | None,
    report: Callable[[int], None] = lambda _: None,
) -> list[Duplicates]:
    """Finds all groups of equal examples: those with different labels first, then across splits.

    Of files, only those are read whole that have the size and the beginning of another. Files
    that are no images count too: what is wrong with one is then wrong with the other.

    Args:
        sources: by split.
        scan: of the files' headers; None where the data set came as arrays.
        report: called with the number of examples done since the last call.
    """
    groups = _equal_files(sources, scan, report) if scan else _equal_arrays(sources, report)
    found = [_describe(group, sources) for group in groups]
    return sorted(
        found,
        key=lambda group: (not group.different_labels, not group.across_splits),
    )


def _describe(examples: tuple[Example, ...], sources: Mapping[str, Source]) -> Duplicates:
    labels = {int(sources[example.split].labels[example.index]) for example in examples}
    splits = {example.split for example in examples}
    return Duplicates(examples, len(splits) > 1, len(labels) > 1)


def _equal_arrays(sources: Mapping[str, ArraySource], report) -> list[tuple[Example, ...]]:
    def keys():
        for split, source in sources.items():
            for index, image in enumerate(source.images):
                pixels = np.ascontiguousarray(image)
                yield Example(split, index), hashlib.sha256(pixels).digest()
                report(1)

    return _groups(keys())


def _equal_files(sources, scan: HeaderScan, report) -> list[tuple[Example, ...]]:
    # An empty file is like every other: nothing to be learned from that.
    beginnings = (
        (Example(split, index), (int(num_bytes), int(scan.prefixes[split][index])))
        for split in sources
        for index, num_bytes in enumerate(scan.num_bytes[split])
        if num_bytes
    )
    candidates = _groups(beginnings)
    report(scan.num_files - sum(map(len, candidates)))

    def keys():
        for example in (each for group in candidates for each in group):
            digest = _hash_file(sources[example.split].paths[example.index])
            report(1)
            if digest:
                yield example, digest

    return _groups(keys())


def _groups(keyed: Iterable[tuple[Example, Any]]) -> list[tuple[Example, ...]]:
    """Returns the examples that share a key with another, in order of the first of each group."""
    by_key = collections.defaultdict(list)
    for example, key in keyed:
        by_key[key].append(example)
    return [tuple(examples) for examples in by_key.values() if len(examples) > 1]


def _hash_file(path: Path) -> bytes | None:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError:  # Unreadable: named among the files that cannot be used.
        return None
    return digest.digest()
