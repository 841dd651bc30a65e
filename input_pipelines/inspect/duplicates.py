"""Exact duplicates: files of the same bytes, or arrays of the same pixels, by SHA-256."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from input_pipelines.images.manifest import Manifest
from input_pipelines.inspect.example import Example, Naming
from input_pipelines.source import FileSource, Source

# Empty files are all alike, which says nothing.
_NOTHING = hashlib.sha256().hexdigest()


def find_duplicates(
    sources: Mapping[str, Source], manifest: Manifest | None, naming: Naming
) -> dict[str, Any]:
    """Returns the field `duplicates` of inspect.json.

    Groups with different labels come first, then those across splits; examples in the order of
    splits and indices. Files that are no images count too.

    Args:
        sources: by split.
        manifest: of their files; None where the data set came as arrays.
        naming: of the examples.
    """
    by_digest = collections.defaultdict(list)
    for example, digest in _digests(sources, manifest):
        by_digest[digest].append(example)
    groups: list[dict[str, Any]] = [
        {
            # What is tested was trained on.
            "across_splits": len({example.split for example in group}) > 1,
            # At least one label is wrong.
            "different_labels": len({_label(sources, example) for example in group}) > 1,
            "examples": [naming.describe(example) for example in group],
        }
        for group in by_digest.values()
        if len(group) > 1
    ]
    return {
        "groups": len(groups),
        "surplus_examples": sum(len(group["examples"]) - 1 for group in groups),
        "across_splits": sum(group["across_splits"] for group in groups),
        "different_labels": sum(group["different_labels"] for group in groups),
        "listed": sorted(
            groups, key=lambda group: (not group["different_labels"], not group["across_splits"])
        ),
    }


def _digests(
    sources: Mapping[str, Source], manifest: Manifest | None
) -> Iterator[tuple[Example, str]]:
    for split, source in sources.items():
        if isinstance(source, FileSource):
            assert manifest is not None  # There is one wherever there are files.
            digests = (manifest.files[path].sha256 for path in source.paths)
        else:
            digests = (
                hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()
                for image in source.images
            )
        for index, digest in enumerate(digests):
            if digest and digest != _NOTHING:
                yield Example(split, index), digest


def _label(sources: Mapping[str, Source], example: Example) -> int:
    return int(sources[example.split].labels[example.index])
