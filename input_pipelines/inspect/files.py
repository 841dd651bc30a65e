"""What the manifest says of the files: formats, sizes, and files whose names mislead."""

from __future__ import annotations

import collections
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flowrate.text import printable
from input_pipelines.folders.tree import is_litter
from input_pipelines.images.headers import has_wrong_suffix
from input_pipelines.images.manifest import Manifest
from input_pipelines.inspect.example import Example, Naming
from input_pipelines.source import FileSource, Source

_MAX_UNUSED = 1000


def describe_files(
    sources: Mapping[str, Source], manifest: Manifest | None, naming: Naming
) -> dict[str, Any] | None:
    """Returns the field `files` of inspect.json; None where the data set came as arrays."""
    if manifest is None:
        return None
    places = {
        Example(split, index): path
        for split, source in sources.items()
        if isinstance(source, FileSource)
        for index, path in enumerate(source.paths)
    }
    found = {example: manifest.files[path] for example, path in places.items()}
    images = [each for each in found.values() if each.format]
    sizes = np.array([[each.width, each.height] for each in images if not each.problem])
    sizes = sizes.reshape(-1, 2)
    unused = _unused_files(set(places.values()))
    formats, orientations = (
        collections.Counter(getattr(each, name) for each in images).most_common()
        for name in ("format", "orientation")
    )
    return {
        "count": len(places),
        "bytes": sum(map(os.path.getsize, filter(os.path.exists, places.values()))),
        "formats": dict(formats),
        "exif_orientations": {str(orientation): count for orientation, count in orientations},
        "width": _range(sizes[:, 0]),
        "height": _range(sizes[:, 1]),
        "aspect_ratio": _range(sizes[:, 0] / sizes[:, 1]),
        "wrong_suffix": [
            naming.describe(example, format=each.format)
            for example, each in found.items()
            if each.format and has_wrong_suffix(places[example], each.format)
        ],
        "not_used": {
            "count": len(unused),
            "listed": [printable(path) for path in unused[:_MAX_UNUSED]],
        },
    }


def _unused_files(used: set[Path]) -> list[Path]:
    """Returns the files that lie beside the images and belong to no split, by name."""
    found = []
    for folder in sorted({path.parent for path in used}):
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_file())
            found += [folder / name for name in names if not is_litter(name)]
    return [path for path in found if path not in used]


def _range(values: np.ndarray) -> dict[str, float] | None:
    if not values.size:
        return None
    found = {"min": values.min(), "median": np.median(values), "max": values.max()}
    return {
        name: int(value) if value == int(value) else round(float(value), 4)
        for name, value in found.items()
    }
