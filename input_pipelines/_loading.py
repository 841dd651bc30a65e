"""From a data set's name to its sources: loaded, and held out. No TensorFlow of its own."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from flowrate.errors import ConfigError
from input_pipelines import DATASETS
from input_pipelines._dataset import DatasetInfo, LoadOptions
from input_pipelines._source import ArraySource, Source
from input_pipelines._splits import hold_out


@dataclasses.dataclass(frozen=True)
class LoadedData:
    """A data set as it was asked for.

    Attributes:
        info: what its file says of it.
        sources: by split; train and test at least, validation where there is one.
        image_shape: (height, width, channels) that its images are brought to.
    """

    info: DatasetInfo
    sources: dict[str, Source]
    image_shape: tuple[int, int, int]

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.sources["train"].class_names


def load_sources(
    dataset: str,
    *,
    data_dir: str | None = None,
    image_size: int | None = None,
    validation_examples: int = 0,
    seed: int = 0,
) -> LoadedData:
    """Loads a data set of the catalog.

    Args:
        dataset: its name, `family:NAME` for a member of a family.
        data_dir: the folder with its files; None: the usual places.
        image_size: side in pixels that images are brought to; None: the data set's own.
        validation_examples: how many are held out of training.
        seed: of the run.

    Raises:
        ConfigError: a flag that does not fit the data set.
        DataError: the data set is missing or damaged.
    """
    module, argument = DATASETS.load(dataset)
    info: DatasetInfo = module.INFO
    options = LoadOptions(
        data_dir=Path(os.path.expanduser(data_dir)) if data_dir else None,
        argument=argument,
        image_shape=_asked_shape(image_size, info.image_shape),
        seed=seed,
    )
    sources = dict(module.load(options))
    if validation_examples:
        if "validation" in sources:
            raise ConfigError(
                f"--validation_examples={validation_examples}: {dataset} brings a "
                f"validation split of {len(sources['validation'])} examples; leave the flag out."
            )
        sources["train"], sources["validation"] = hold_out(
            sources["train"], validation_examples, seed
        )
    image_shape = _asked_shape(image_size, _loaded_shape(sources["train"], info))
    return LoadedData(info, sources, image_shape)


def _asked_shape(image_size: int | None, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    return (image_size, image_size, shape[2]) if image_size else shape


def _loaded_shape(source: Source, info: DatasetInfo) -> tuple[int, int, int]:
    return source.images.shape[1:] if isinstance(source, ArraySource) else info.image_shape
