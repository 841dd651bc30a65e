"""One pass over a data set, which gives the record: terminal, JSON and page show what it says."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from flowrate.text import masked, one_line, printable
from input_pipelines.augmentation import names as _augmentation_names
from input_pipelines.images.failures import Failure
from input_pipelines.inspect import speed
from input_pipelines.inspect.config import InspectConfig
from input_pipelines.inspect.decoding import draw_examples, image_batches
from input_pipelines.inspect.duplicates import find_duplicates
from input_pipelines.inspect.example import Example, Naming
from input_pipelines.inspect.files import describe_files
from input_pipelines.inspect.findings import find_harm
from input_pipelines.inspect.pixels import PixelStatistics
from input_pipelines.loading import LoadedData
from input_pipelines.progress import Progress
from input_pipelines.source import FileSource, Source

SCHEMA_VERSION = 2
_SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What was found, and what the pictures of the page are made from.

    Attributes:
        record: inspect.json (docs/records.md).
        data: the data set, its splits in the usual order.
        seed: of the draws of the augmentation.
        usable: {split: int64 indices} of the examples that were decoded.
    """

    record: dict[str, Any]
    data: LoadedData
    seed: int
    usable: dict[str, np.ndarray]


def inspect(data: LoadedData, config: InspectConfig, progress: Progress) -> Inspection:
    """Compares all examples, decodes as many as `config` allows, and times the input pipeline.

    Raises:
        ConfigError: `--augmentation` names what is none.
        DataError: the data set is not what it should be. Single files that cannot be used raise
            nothing: they are in the record.
    """
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    sources = dict(sorted(data.sources.items(), key=lambda item: _SPLITS.index(item[0])))
    data = dataclasses.replace(data, sources=sources)
    total = sum(map(len, sources.values()))
    augmentation = _augmentation_names.parse(config.augmentation, data.info.augmentation)
    progress.start("duplicates", None)
    naming = Naming(sources)
    duplicates = find_duplicates(sources, data.manifest, naming)
    drawn = draw_examples(sources, config.max_images, config.seed)
    progress.start("decoding", sum(map(len, drawn.values())))
    pixels, failures = _decode(data, drawn, progress)
    usable = {
        split: np.setdiff1d(indices, [each.index for each in failures if each.split == split])
        for split, indices in drawn.items()
    }
    progress.start("input rate", None)
    rate = speed.measure_input_rate(
        sources["train"], usable["train"], data.image_shape, config.seed, config.probe_seconds
    )
    record = {
        "schema_version": SCHEMA_VERSION,
        "command": masked(shlex.join(["python", "-m", "input_pipelines.inspect", *sys.argv[1:]])),
        "dataset": config.dataset,
        "title": data.info.title,
        "licence": data.info.licence,
        "folder": printable(naming.folder) if naming.folder else None,
        "image_shape": list(data.image_shape),
        "class_names": list(data.class_names),
        "examples": total,
        "splits": _count_classes(sources),
        "notes": [one_line(note) for note in data.notes],
        "files": describe_files(sources, data.manifest, naming),
        "decoded": pixels.num_images,
        "is_whole": sum(map(len, drawn.values())) == total,
        "undecodable": [
            naming.describe(example, reason=failure.reason) for example, failure in failures.items()
        ],
        "duplicates": duplicates,
        "pixels": pixels.to_json(),
        "brightness": pixels.brightness_to_json(naming),
        "augmentation": list(augmentation),
        "memory": speed.estimate_memory(sources, data.image_shape),
        "input_rate": rate,
    }
    record["findings"] = find_harm(record)
    return Inspection(record, data, config.seed, usable)


def _count_classes(sources: Mapping[str, Source]) -> dict[str, Any]:
    """Returns the field `splits` of inspect.json."""
    total, found = sum(map(len, sources.values())), {}
    for split, source in sources.items():
        counts = np.bincount(source.labels, minlength=len(source.class_names))
        found[split] = {
            "examples": len(source),
            "share": len(source) / total,
            "imbalance": float(counts.max() / counts.min()) if counts.min() else None,
            "classes": [
                {"name": name, "examples": int(count), "share": float(count / len(source))}
                for name, count in zip(source.class_names, counts)
            ],
        }
    return found


def _decode(
    data: LoadedData, drawn: dict[str, np.ndarray], progress: Progress
) -> tuple[PixelStatistics, dict[Example, Failure]]:
    """Decodes what was drawn, once, except the files that the manifest says cannot be used.

    Returns:
        The statistics; and all files that cannot be used, by path.
    """
    sizes = {split: len(source) for split, source in data.sources.items()}
    pixels = PixelStatistics.empty(data.image_shape[2], sizes)
    problems = data.manifest.problems() if data.manifest else {}
    failures: dict[Example, Failure] = {}
    for split, source in data.sources.items():
        paths = source.paths if isinstance(source, FileSource) else ()
        found = [
            Failure(n, path, problems[path]) for n, path in enumerate(paths) if path in problems
        ]
        wanted = np.setdiff1d(drawn[split], [failure.index for failure in found])
        for batch, images in image_batches(source, data.image_shape, wanted, found):
            pixels.add(split, batch, images)
            progress.advance(len(batch))
        failures |= {Example(split, failure.index): failure for failure in found}
    return pixels, dict(sorted(failures.items(), key=lambda item: item[1].path))
