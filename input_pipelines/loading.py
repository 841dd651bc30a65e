"""From a data set's name to its sources: loaded, and held out. No TensorFlow of its own."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from flowrate.errors import ConfigError, DataError
from input_pipelines.dataset import DatasetInfo, LoadOptions
from input_pipelines.datasets import DATASETS
from input_pipelines.images.failures import error_text, skipped_text
from input_pipelines.images.manifest import Manifest, read_manifest, stored_at
from input_pipelines.source import ArraySource, FileSource, Source
from input_pipelines.splits import absent_classes, hold_out
from input_pipelines.tables.columns import parse_columns

# The images that cannot be used stay among the others, for whoever looks at them all.
KEEP = "keep"


@dataclasses.dataclass(frozen=True)
class LoadedData:
    """A data set as it was asked for.

    Attributes:
        info: what its file says of it.
        sources: by split; train and test at least, validation where there is one.
        image_shape: (height, width, channels) that its images are brought to.
        manifest: what its image files hold; None where it came as arrays.
        num_skipped: image files that were left out.
        notes: what a person should know of its files and classes, a line each.
    """

    info: DatasetInfo
    sources: dict[str, Source]
    image_shape: tuple[int, int, int]
    manifest: Manifest | None = None
    num_skipped: int = 0
    notes: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.sources["train"].class_names


def load_sources(
    dataset: str,
    *,
    data_dir: str | None = None,
    columns: str | None = None,
    image_size: int | None = None,
    validation_examples: int = 0,
    seed: int = 0,
    on_bad_image: str = KEEP,
    verify: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> LoadedData:
    """Loads a data set of the catalog.

    Args:
        dataset: its name, `family:NAME` for a member of a family.
        data_dir: the folder with its files; None: the usual places.
        columns: `image=NAME,label=NAME,split=NAME`, of a table; None: by their usual names.
        image_size: side in pixels that images are brought to; None: the data set's own.
        validation_examples: how many are held out of training.
        seed: of the run.
        on_bad_image: error; skip, as if the image were not there; keep, for who looks at it.
        verify: read image files again that have not changed.
        tell: is told what a person should know.

    Raises:
        ConfigError: a flag that does not fit the data set.
        DataError: the data set is missing or damaged; or, in words, every image that cannot be
            used.
    """
    module, argument = DATASETS.load(dataset)
    info: DatasetInfo = module.INFO
    if columns and not info.has_columns:
        raise ConfigError(f"--columns={columns}: {dataset} is no table; use --dataset=table.")
    notes: list[str] = []
    with DATASETS.blaming(dataset):
        options = LoadOptions(
            data_dir=Path(os.path.expanduser(data_dir)) if data_dir else None,
            argument=argument,
            image_shape=_asked_shape(image_size, info.image_shape),
            seed=seed,
            columns=parse_columns(columns),
            tell=notes.append,
        )
        sources = dict(module.load(options))
        if not sources.keys() >= {"train", "test"}:
            raise KeyError(f"load gives {', '.join(sources)}; train and test are needed")
    for note in notes:
        tell(note)
    manifest, bad = None, {}
    if paths := [path for each in sources.values() for path in _paths_of(each)]:
        manifest = read_manifest(paths, verify=verify, tell=tell)
        bad = {} if on_bad_image == KEEP else manifest.problems()
        list_path = stored_at(manifest.root).with_suffix(".bad.txt")
        if bad and on_bad_image == "error":
            raise DataError(error_text(bad, list_path))
        if bad:  # Before anything is split: all is as if they were not there.
            tell(skipped_text(bad, list_path))
            again = dataclasses.replace(options, excluded=frozenset(bad), tell=lambda _: None)
            sources = dict(module.load(again))
        sources = {split: _turned(source, manifest) for split, source in sources.items()}
    if validation_examples:
        if "validation" in sources:
            raise ConfigError(
                f"--validation_examples={validation_examples}: {dataset} brings a "
                f"validation split of {len(sources['validation'])} examples; leave the flag out."
            )
        sources["train"], sources["validation"] = hold_out(
            sources["train"], validation_examples, seed
        )
    for note in (absent := absent_classes(sources)):
        tell(note)
    image_shape = _asked_shape(image_size, _loaded_shape(sources["train"], info))
    return LoadedData(info, sources, image_shape, manifest, len(bad), (*notes, *absent))


def _paths_of(source: Source) -> tuple[Path, ...]:
    return source.paths if isinstance(source, FileSource) else ()


def _turned(source: Source, manifest: Manifest) -> Source:
    """Returns the source with what the manifest says of turning its images."""
    if isinstance(source, ArraySource):
        return source
    found = np.array([manifest.files[path].orientation for path in source.paths], np.int32)
    return dataclasses.replace(source, orientations=found)


def _asked_shape(image_size: int | None, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    return (image_size, image_size, shape[2]) if image_size else shape


def _loaded_shape(source: Source, info: DatasetInfo) -> tuple[int, int, int]:
    return source.images.shape[1:] if isinstance(source, ArraySource) else info.image_shape
