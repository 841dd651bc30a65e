"""`--weights`: which weights a run starts from, and the model they are for. No TensorFlow here."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowrate.errors import ConfigError
from models import MODELS
from trainer.trained.run import TrainedRun

if TYPE_CHECKING:
    from input_pipelines.dataset import DatasetInfo
    from trainer.config import TrainConfig

NONE, IMAGENET = "none", "imagenet"
FILE_SUFFIXES = (".weights.h5", ".keras", ".npz")
# The model of --weights=imagenet where --model names none: its weights need no download.
_PRETRAINED_MODEL = "efficientnet_lite0"


@dataclasses.dataclass(frozen=True)
class Start:
    """What a run starts from.

    Attributes:
        weights: as asked for.
        model: the model to train, `auto` resolved; `keras:NAME:imagenet` with ImageNet weights.
        image_side: side in pixels that the model is made for; None where any will do.
        run: the run whose weights they are; None where they come from elsewhere.
    """

    weights: str
    model: str
    image_side: int | None
    run: TrainedRun | None = None


def of_trained(run: TrainedRun) -> Start:
    """Returns the model of a trained run, whose data are to be loaded again."""
    height, width, _ = run.image_shape
    return Start(NONE, run.model, height if height == width else None)


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


def describe(record: dict[str, Any]) -> str:
    """Returns what was taken over, in words; `record` as initial_weights.take_over gives it."""
    new = f"; new: {record['new']}" if record["new"] else ""
    return f"{record['tensors']} of {record['of']} tensors from {record['source']}{new}"


def _side_of(model: str) -> int | None:
    """Returns the side in pixels that a pretrained model is made for; None for others."""
    sides = MODELS.constant(model, "IMAGE_SIDE")
    if not isinstance(sides, dict):
        return sides
    name, _, variant = model.partition(":")[2].partition(":")
    return sides.get(name, sides[""]) if variant else None
