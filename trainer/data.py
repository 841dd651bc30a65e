"""From `--dataset` to sources ready to train on: loaded, held out, decoded and cached."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from flowrate.errors import ConfigError
from input_pipelines import _augmentation_names
from input_pipelines._dataset import DatasetInfo
from input_pipelines._loading import load_sources
from input_pipelines._source import Source
from trainer.config import TrainConfig
from trainer.dataset_record import DatasetRecord


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """A loaded data set; nothing here needs TensorFlow.

    Attributes:
        info: what its file says of it.
        sources: by split; train and test at least, validation where there is one.
        image_shape: (height, width, channels) that the model gets.
        model: the model to train, `auto` resolved.
        augmentation: the augmentations to apply, `preset` resolved.
        num_skipped: image files left out because they cannot be used.
        record: of the image files; None where the data set came as arrays.
    """

    info: DatasetInfo
    sources: dict[str, Source]
    image_shape: tuple[int, int, int]
    model: str
    augmentation: tuple[str, ...]
    num_skipped: int = 0
    record: DatasetRecord | None = None

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
            **({"files_sha256": self.record.sha256} if self.record else {}),
        }


def may_differ(config: TrainConfig) -> tuple[str, ...]:
    """Returns the facts that may differ when a run goes on."""
    return ("examples", "files_sha256") if config.accept_data_change else ()


def load_data(config: TrainConfig, tell: Callable[[str], None] = lambda _: None) -> TrainingData:
    """Loads the data set that a config names; `tell` gets what the user should know.

    Raises:
        ConfigError: a flag that does not fit the data set.
        DataError: the data set is missing or damaged.
    """
    loaded = load_sources(
        config.dataset,
        data_dir=config.data_dir,
        columns=config.columns,
        image_size=config.image_size,
        validation_examples=config.validation_examples,
        seed=config.seed,
        on_bad_image=config.on_bad_image,
        tell=tell,
    )
    info, sources = loaded.info, loaded.sources
    if config.early_stopping_patience and "validation" not in sources:
        raise ConfigError(
            f"--early_stopping_patience={config.early_stopping_patience} needs a validation split: "
            "choosing by the test split would spoil its figure; give --validation_examples=N."
        )
    return TrainingData(
        info=info,
        sources=sources,
        image_shape=loaded.image_shape,
        model=info.default_model if config.model == "auto" else config.model,
        augmentation=_augmentation_names.parse(config.augmentation, info.augmentation),
        num_skipped=loaded.num_skipped,
        record=DatasetRecord.of(loaded),
    )
