"""From `--dataset` to sources ready to train on: loaded, held out, decoded and cached."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from flowrate.errors import ConfigError
from input_pipelines import DATASETS, _augmentation_names
from input_pipelines._dataset import DatasetInfo, LoadOptions
from input_pipelines._source import ArraySource, Source
from input_pipelines._splits import hold_out
from trainer.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """A loaded data set; nothing here needs TensorFlow.

    Attributes:
        info: what its file says of it.
        sources: by split; train and test at least, validation where there is one.
        image_shape: (height, width, channels) that the model gets.
        model: the model to train, `auto` resolved.
        augmentation: the augmentations to apply, `preset` resolved.
    """

    info: DatasetInfo
    sources: dict[str, Source]
    image_shape: tuple[int, int, int]
    model: str
    augmentation: tuple[str, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.sources["train"].class_names

    def facts(self) -> dict[str, Any]:
        """Returns, JSON-able, what must be the same when a run goes on."""
        return {
            "class_names": list(self.class_names),
            "examples": {split: len(source) for split, source in self.sources.items()},
            "image_shape": list(self.image_shape),
            "model": self.model,
            "augmentation": list(self.augmentation),
        }


def load_data(config: TrainConfig) -> TrainingData:
    """Loads the data set that a config names.

    Raises:
        ConfigError: a flag that does not fit the data set.
        DataError: the data set is missing or damaged.
    """
    dataset, argument = DATASETS.load(config.dataset)
    info: DatasetInfo = dataset.INFO
    options = LoadOptions(
        data_dir=Path(os.path.expanduser(config.data_dir)) if config.data_dir else None,
        argument=argument,
        image_shape=_asked_shape(config, info.image_shape),
        seed=config.seed,
    )
    sources = dict(dataset.load(options))
    if config.validation_examples:
        if "validation" in sources:
            raise ConfigError(
                f"--validation_examples={config.validation_examples}: {config.dataset} brings a "
                f"validation split of {len(sources['validation'])} examples; leave the flag out."
            )
        sources["train"], sources["validation"] = hold_out(
            sources["train"], config.validation_examples, config.seed
        )
    if config.early_stopping_patience and "validation" not in sources:
        raise ConfigError(
            f"--early_stopping_patience={config.early_stopping_patience} needs a validation split: "
            "choosing by the test split would spoil its figure; give --validation_examples=N."
        )
    return TrainingData(
        info=info,
        sources=sources,
        image_shape=_asked_shape(config, _loaded_shape(sources["train"], info)),
        model=info.default_model if config.model == "auto" else config.model,
        augmentation=_augmentation_names.parse(config.augmentation, info.augmentation),
    )


def _asked_shape(config: TrainConfig, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    return (config.image_size, config.image_size, shape[2]) if config.image_size else shape


def _loaded_shape(source: Source, info: DatasetInfo) -> tuple[int, int, int]:
    return source.images.shape[1:] if isinstance(source, ArraySource) else info.image_shape
