"""`--weights`: what a run starts from. No TensorFlow here; trainer/data.py finds out which."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Protocol

from trainer.checkpoints.store import Checkpoint

NONE, IMAGENET = "none", "imagenet"
FILE_SUFFIXES = (".weights.h5", ".keras", ".npz")


class WeightsOfRun(Protocol):
    """A trained run (trainer/trained/run.py), as far as its weights go."""

    @property
    def path(self) -> Path: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...

    def checkpoint(self) -> Checkpoint: ...


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
    run: WeightsOfRun | None = None


def describe(record: dict[str, Any]) -> str:
    """Returns what was taken over, in words; `record` as initial_weights.take_over gives it."""
    new = f"; new: {record['new']}" if record["new"] else ""
    return f"{record['tensors']} of {record['of']} tensors from {record['source']}{new}"
