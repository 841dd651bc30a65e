"""From `--dataset` to sources ready to train on: loaded, held out, decoded and cached."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from flowrate.errors import ConfigError
from input_pipelines.augmentation import names as _augmentation_names
from input_pipelines.dataset import DatasetInfo
from input_pipelines.datasets import DATASETS
from input_pipelines.loading import load_sources
from input_pipelines.source import Source
from trainer.class_weights import class_weights
from trainer.config import TrainConfig
from trainer.model.weights import Start, resolve
from trainer.run_dir.dataset import DatasetRecord


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """A loaded data set; nothing here needs TensorFlow.

    Attributes:
        info: what its file says of it.
        sources: by split; train and test at least, validation where there is one.
        image_shape: (height, width, channels) that the model gets.
        start: the model to train, `auto` resolved, and the weights it starts from.
        augmentation: the augmentations to apply, `preset` resolved.
        class_weights: what the loss of an example of each class is multiplied by, in label order;
            None: 1.
        num_skipped: image files left out because they cannot be used.
        record: of the image files; None where the data set came as arrays.
    """

    info: DatasetInfo
    sources: dict[str, Source]
    image_shape: tuple[int, int, int]
    start: Start
    augmentation: tuple[str, ...]
    class_weights: tuple[float, ...] | None = None
    num_skipped: int = 0
    record: DatasetRecord | None = None

    @property
    def model(self) -> str:
        return self.start.model

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
            **(
                {"class_weights": dict(zip(self.class_names, self.class_weights))}
                if self.class_weights
                else {}
            ),
        }


def may_differ(config: TrainConfig) -> tuple[str, ...]:
    """Returns the facts that may differ when a run goes on."""
    if not config.accept_data_change:
        return ()
    counted = ("class_weights",) if config.class_weights == "balanced" else ()
    return ("examples", "files_sha256", *counted)


def load_data(
    config: TrainConfig,
    tell: Callable[[str], None] = lambda _: None,
    start: Start | None = None,
) -> TrainingData:
    """Loads the data set that a config names; `tell` gets what the user should know.

    Args:
        config: what was asked for.
        tell: takes a line for the user.
        start: the model of a run that is trained already; None: as the config asks.

    Raises:
        ConfigError: a flag that does not fit the data set.
        DataError: the data set is missing or damaged.
    """
    start = start or resolve(config, DATASETS.load(config.dataset)[0].INFO)
    loaded = load_sources(
        config.dataset,
        data_dir=config.data_dir,
        columns=config.columns,
        image_size=config.image_size or start.image_side,
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
        start=start,
        augmentation=_augmentation_names.parse(config.augmentation, info.augmentation),
        class_weights=class_weights(config.class_weights, sources["train"]),
        num_skipped=loaded.num_skipped,
        record=DatasetRecord.of(loaded),
    )
