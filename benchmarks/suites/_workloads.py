"""The tutorials' own work: model, data, batch, optimizer and epochs as their pages have it."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Workload:
    """One tutorial.

    Attributes:
        name: data set and model.
        flags: fields of TrainConfig.
        is_long: takes minutes on two cores: peers run a part of it, unless asked for all.
    """

    name: str
    flags: dict[str, Any]
    is_long: bool = False


_HELD_OUT = {"dataset": "mnist", "epochs": 5, "validation_examples": 10_000}
_FLOWERS = {"dataset": "flowers", "model": "flowers_cnn"}

WORKLOADS = (
    Workload("fashion_mnist-mlp", {"dataset": "fashion_mnist", "model": "mlp", "epochs": 10}),
    Workload("mnist-mlp16", {**_HELD_OUT, "model": "mlp16"}),
    Workload("mnist-mlp64", {**_HELD_OUT, "model": "mlp64"}),
    Workload("mnist-cnn", {"dataset": "mnist", "model": "cnn", "epochs": 5}),
    Workload("mnist-cnn5x5", {**_HELD_OUT, "model": "cnn5x5"}, is_long=True),
    Workload("flowers-flowers_cnn", {**_FLOWERS, "epochs": 10}, is_long=True),
    Workload(
        "flowers-flowers_cnn-augmented",
        {**_FLOWERS, "augmentation": "preset", "epochs": 15},
        is_long=True,
    ),
)
