"""The whole look at a data set: what is found, in the order in which it is found out."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from input_pipelines.augmentation import names as _augmentation_names
from input_pipelines.images.failures import Failure
from input_pipelines.inspect.brightness import Extremes, find_extremes
from input_pipelines.inspect.config import InspectConfig
from input_pipelines.inspect.counts import Counts, count_classes
from input_pipelines.inspect.decoding import draw_examples, image_batches
from input_pipelines.inspect.duplicates import Duplicates, find_duplicates
from input_pipelines.inspect.example import Example, Naming
from input_pipelines.inspect.headers import HeaderScan, scan_headers
from input_pipelines.inspect.memory import Memory, estimate_memory
from input_pipelines.inspect.pixels import PixelStatistics
from input_pipelines.inspect.probe import InputRate, measure_input_rate
from input_pipelines.loading import LoadedData
from input_pipelines.progress import Progress
from input_pipelines.source import FileSource, Source

_SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        data: what was looked at.
        config: how.
        augmentation: the names, `preset` resolved.
        counts: examples by split and class.
        scan: of the files' headers; None where the data set came as arrays.
        duplicates: groups of equal examples.
        drawn: {split: int64 indices} of the examples that were decoded, or should have been.
        failures: {example: a file that cannot be used}.
        pixels: of what was decoded.
        extremes: images that stand out; None where nothing was decoded.
        memory: what the decoded images take.
        input_rate: of a short probe; None where there was none.
    """

    data: LoadedData
    config: InspectConfig
    augmentation: tuple[str, ...]
    counts: Counts
    scan: HeaderScan | None
    duplicates: list[Duplicates]
    drawn: dict[str, np.ndarray]
    failures: dict[Example, Failure]
    pixels: PixelStatistics
    extremes: Extremes | None
    memory: Memory
    input_rate: InputRate | None
    naming: Naming

    @property
    def command(self) -> str:
        """The command that makes this look, as a shell takes it."""
        flags = [
            f"--{field.name}={getattr(self.config, field.name)}"
            for field in dataclasses.fields(self.config)
            if getattr(self.config, field.name) != field.default
            and field.name not in ("json", "output", "dataset")
        ]
        program = ["python", "-m", "input_pipelines.inspect", f"--dataset={self.config.dataset}"]
        return shlex.join([*program, *flags])

    @property
    def num_drawn(self) -> int:
        return sum(map(len, self.drawn.values()))

    @property
    def is_whole(self) -> bool:
        """Whether every example was to be decoded."""
        return self.num_drawn == self.counts.total

    def usable(self, split: str) -> np.ndarray:
        """Returns the indices of a split, of those drawn, that could be decoded."""
        failed = [example.index for example in self.failures if example.split == split]
        return np.setdiff1d(self.drawn[split], failed)

    def to_json(self) -> dict[str, Any]:
        """Returns inspect.json; see docs/records.md."""
        from input_pipelines.inspect.record import describe

        return describe(self)


def inspect(data: LoadedData, config: InspectConfig, progress: Progress) -> Inspection:
    """Looks at a data set.

    Raises:
        ConfigError: `--augmentation` names what is none.
        DataError: the data set is not what it should be. Single files that cannot be used raise
            nothing: they are among the findings.
    """
    _use_memory_as_needed()
    sources = dict(sorted(data.sources.items(), key=lambda item: _SPLITS.index(item[0])))
    data = dataclasses.replace(data, sources=sources)
    total = sum(map(len, sources.values()))
    augmentation = _augmentation_names.parse(config.augmentation, data.info.augmentation)
    progress.start("headers", total)
    scan = scan_headers(sources, progress.advance)
    progress.start("duplicates", total)
    duplicates = find_duplicates(sources, scan, progress.advance)
    drawn = draw_examples(sources, config.max_images, config.seed)
    pixels, failures = _read_pixels(data, drawn, progress)
    progress.start("input rate", None)
    failed = [example.index for example in failures if example.split == "train"]
    usable = np.setdiff1d(drawn["train"], failed)
    rate = None
    if usable.size:
        rate = measure_input_rate(
            sources["train"], usable, data.image_shape, config.seed, config.probe_seconds
        )
    return Inspection(
        data=data,
        config=config,
        augmentation=augmentation,
        counts=count_classes(sources),
        scan=scan,
        duplicates=duplicates,
        drawn=drawn,
        failures=failures,
        pixels=pixels,
        extremes=find_extremes(pixels) if pixels.num_images else None,
        memory=estimate_memory(sources, data.image_shape),
        input_rate=rate,
        naming=Naming(sources),
    )


def _read_pixels(
    data: LoadedData, drawn: dict[str, np.ndarray], progress: Progress
) -> tuple[PixelStatistics, dict[Example, Failure]]:
    """Decodes what was drawn, once, but for the files that the manifest says cannot be used."""
    progress.start("decoding", sum(map(len, drawn.values())))
    sizes = {split: len(source) for split, source in data.sources.items()}
    pixels = PixelStatistics.empty(data.image_shape, len(data.class_names), sizes)
    problems = data.manifest.problems() if data.manifest else {}
    failures = {}
    for split, source in data.sources.items():
        found = _known_failures(source, problems)
        wanted = np.setdiff1d(drawn[split], [failure.index for failure in found])
        for batch, images in image_batches(source, data.image_shape, wanted, found):
            pixels.add(split, batch, images, source.labels[batch])
            progress.advance(len(batch))
        failures |= {Example(split, failure.index): failure for failure in found}
    by_path = sorted(failures.items(), key=lambda item: item[1].path)
    return pixels, dict(by_path)


def _known_failures(source: Source, problems: Mapping[Path, str]) -> list[Failure]:
    paths = source.paths if isinstance(source, FileSource) else ()
    return [
        Failure(index, path, problems[path]) for index, path in enumerate(paths) if path in problems
    ]


def _use_memory_as_needed() -> None:
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
