"""From `--dataset`, `--model` and `--weights` to what there is to train. No TensorFlow here."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flowrate.errors import ConfigError, DataError
from input_pipelines.augmentation import names as _augmentation_names
from input_pipelines.class_weights import class_weights
from input_pipelines.dataset import DatasetInfo
from input_pipelines.datasets import DATASETS
from input_pipelines.loading import load_sources
from input_pipelines.source import Source
from models import MODELS
from trainer.config import TrainConfig
from trainer.model.weights import FILE_SUFFIXES, IMAGENET, NONE, Start
from trainer.run_dir.dataset import DatasetRecord
from trainer.trained.run import TrainedRun

# The model of --weights=imagenet where --model names none: its weights need no download.
_PRETRAINED_MODEL = "efficientnet_lite0"


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """A loaded data set, and the model to train on it.

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
        """Returns, JSON-able, what must be the same when a run is resumed."""
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
    """Returns the facts that may differ when a run is resumed."""
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
        start: the model of a trained run; None: as the config asks.

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


def load_data_of(trained: TrainedRun, config: TrainConfig) -> TrainingData:
    """Loads the data set that a config names, for a trained model.

    Raises:
        ConfigError, DataError: as load_data does.
        DataError: the data set has other classes, or images of another size.
    """
    height, width, _ = trained.image_shape
    side = height if height == width else None
    data = load_data(config, start=Start(NONE, trained.model, side))
    if data.class_names != trained.class_names:
        raise DataError(
            f"the data set has the classes {_some(data.class_names)}; the run was trained on "
            f"{_some(trained.class_names)}; give its own with --data_dir."
        )
    if data.image_shape != trained.image_shape:
        raise DataError(
            f"the data set's images are {_size(data.image_shape)}; the model takes "
            f"{_size(trained.image_shape)}; give its own with --data_dir."
        )
    return data


def resolve(config: TrainConfig, info: DatasetInfo) -> Start:
    """Works out the model, and the size of its images.

    Args:
        config: what was asked for.
        info: of the data set.

    Raises:
        ConfigError: no such weights, or none for this model.
        RunDirError: a folder that is no run directory.
    """
    model = info.default_model if config.model == "auto" else config.model
    if config.weights == NONE:
        return Start(NONE, model, _side_of(model) if info.has_image_files else None)
    if config.weights == IMAGENET:
        if config.model == "auto":
            model = _PRETRAINED_MODEL
        if model.startswith("keras:") and model.count(":") == 1:
            model = f"{model}:{IMAGENET}"
        side = _side_of(model)
        if side is None:
            raise ConfigError(
                f"--weights=imagenet: there are none for --model={model}; use "
                f"--model={_PRETRAINED_MODEL} or --model=keras:NAME."
            )
        return Start(IMAGENET, model, side)
    path = Path(os.path.expanduser(config.weights))
    if os.path.isdir(path):
        run = TrainedRun.open(path)
        if config.model in ("auto", run.model.removesuffix(f":{IMAGENET}")):
            model = run.model
        return Start(config.weights, model, run.image_shape[0], run)
    if not os.path.isfile(path):
        raise ConfigError(
            f"--weights={config.weights}: there is no such file or folder; give none, imagenet, a "
            f"file ({', '.join(FILE_SUFFIXES)}) or a run directory."
        )
    if not path.name.endswith(FILE_SUFFIXES):
        raise ConfigError(
            f"--weights={config.weights}: weights are read from {', '.join(FILE_SUFFIXES)} files; "
            "convert it, for example with model.save_weights('x.weights.h5')."
        )
    return Start(config.weights, model, _side_of(model))


def _side_of(model: str) -> int | None:
    """Returns the side in pixels that a pretrained model is made for; None for others."""
    sides = MODELS.constant(model, "IMAGE_SIDE")
    if not isinstance(sides, dict):
        return sides
    name, _, variant = model.partition(":")[2].partition(":")
    return sides.get(name, sides[""]) if variant else None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
