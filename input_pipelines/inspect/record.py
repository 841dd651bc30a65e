"""inspect.json: the findings as JSON. docs/records.md explains each field."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from flowrate.text import one_line, printable
from input_pipelines.inspect.headers import HeaderScan

if TYPE_CHECKING:
    from input_pipelines.inspect.example import Naming
    from input_pipelines.inspect.inspection import Inspection

SCHEMA_VERSION = 1
# Files that are no images can be many, and say little one by one.
_MAX_OTHERS = 1000
_HISTOGRAM_BINS = 64


def describe(inspection: Inspection) -> dict[str, Any]:
    """Returns what was found, JSON-able."""
    data, naming = inspection.data, inspection.naming
    duplicates = inspection.duplicates
    return {
        "schema_version": SCHEMA_VERSION,
        "command": inspection.command,
        "dataset": inspection.config.dataset,
        "title": data.info.title,
        "image_shape": list(data.image_shape),
        "class_names": list(data.class_names),
        "examples": inspection.counts.total,
        "splits": inspection.counts.to_json(),
        "notes": [one_line(note) for note in data.notes],
        "files": describe_files(inspection.scan, naming) if inspection.scan else None,
        "decoded": inspection.pixels.num_images,
        "is_whole": inspection.is_whole,
        "undecodable": [
            {**naming.to_json(example), "reason": failure.reason}
            for example, failure in inspection.failures.items()
        ],
        "duplicates": {
            "groups": len(duplicates),
            "surplus_examples": sum(len(group.examples) - 1 for group in duplicates),
            "across_splits": sum(group.across_splits for group in duplicates),
            "different_labels": sum(group.different_labels for group in duplicates),
            "listed": [group.to_json(naming) for group in duplicates],
        },
        "pixels": inspection.pixels.to_json(),
        "brightness": {
            "histogram": brightness_histogram(inspection),
            **(inspection.extremes.to_json(naming) if inspection.extremes else {}),
        },
        "augmentation": list(inspection.augmentation),
        "memory": inspection.memory.to_json(),
        "input_rate": inspection.input_rate.to_json() if inspection.input_rate else None,
    }


def describe_files(scan: HeaderScan, naming: Naming) -> dict[str, Any]:
    """Returns what the headers say, JSON-able."""
    sizes = scan.sizes()
    return {
        "count": scan.num_files,
        "bytes": scan.total_bytes,
        "formats": dict(scan.formats.most_common()),
        "modes": dict(scan.modes.most_common()),
        "exif_orientations": {str(key): n for key, n in sorted(scan.orientations.items())},
        "width": _range(sizes[:, 0]),
        "height": _range(sizes[:, 1]),
        "aspect_ratio": _range(sizes[:, 0] / sizes[:, 1]),
        "wrong_suffix": [
            {**naming.to_json(example), "format": kind} for example, kind in scan.wrong_suffixes
        ],
        "not_used": {
            "count": len(scan.others),
            "listed": [printable(path) for path in scan.others[:_MAX_OTHERS]],
        },
    }


def brightness_histogram(inspection: Inspection) -> dict[str, list[int]]:
    """Returns {split: images by their mean level, in 64 bins of four levels}."""
    return {
        split: np.histogram(values[values >= 0], _HISTOGRAM_BINS, (0, 256))[0].tolist()
        for split, values in inspection.pixels.brightness.items()
    }


def _range(values: np.ndarray) -> dict[str, float] | None:
    if not values.size:
        return None
    found = {"min": values.min(), "median": np.median(values), "max": values.max()}
    return {name: _number(value) for name, value in found.items()}


def _number(value: float) -> float:
    return int(value) if math.floor(value) == value else round(float(value), 4)
