"""The input alone: by data set, cache tier, augmentation and image size, beside other loaders."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.case import BenchmarkCase, Choice
from benchmarks.measure import INPUT
from benchmarks.measure.metrics import METRICS, named

TITLE = "images/s of the input alone, beside image_dataset_from_directory and PyTorch's DataLoader"
METRIC = METRICS["images_per_second"]
COLUMNS = named("images_per_cpu_second", "wall_seconds")

# `none` decodes anew each time: the first pass over the files.
_ARRAYS: tuple[dict[str, Any], ...] = ({"dataset": "mnist"}, {"dataset": "fashion_mnist"})
_FILES: tuple[dict[str, Any], ...] = (
    {"dataset": "flowers", "image_size": 180},
    {"dataset": "flowers", "image_size": 96},
)
_OWN_FILES: tuple[dict[str, Any], ...] = ({"dataset": "image_folder", "image_size": 180},)
_TIERS = ("none", "disk", "memory", "device")
# Other loaders, for data sets of files, and the packages each needs.
_OTHERS = {
    "image_dataset_from_directory": (),
    "torch_dataloader": ("torch", "PIL"),
}


def cases(choice: Choice) -> list[BenchmarkCase]:
    """Returns the cases; contenders of one case next to each other."""
    found = []
    for flags in _ARRAYS:
        found += [_ours(flags, tier, choice) for tier in ("memory", "device")]
    # A folder of the user's own, where one is named.
    files = _OWN_FILES if "image_folder" in choice.datasets else _FILES
    for flags in files:
        for tier in _TIERS:
            found.append(_ours(flags, tier, choice))
            found += _others(flags, tier, choice)
        found.append(_ours({**flags, "augmentation": "preset"}, "memory", choice))
    return choice.select(found)


def _ours(flags: dict[str, Any], tier: str, choice: Choice) -> BenchmarkCase:
    return BenchmarkCase(
        suite="input",
        name=_name(flags, tier),
        measure=INPUT,
        flags=choice.data_flags({**flags, "cache": tier}),
        seconds=choice.seconds,
    )


def _others(flags: dict[str, Any], tier: str, choice: Choice) -> list[BenchmarkCase]:
    ours = _ours(flags, tier, choice)
    return [
        dataclasses.replace(ours, contender=name, arguments={"loader": name}, needs=needs)
        for name, needs in _OTHERS.items()
        # PyTorch's has no cache of its own.
        if tier == "none" or (tier == "memory" and name != "torch_dataloader")
    ]


def _name(flags: dict[str, Any], tier: str) -> str:
    words = [flags["dataset"]]
    if "image_size" in flags:
        words.append(str(flags["image_size"]))
    if "augmentation" in flags:
        words.append("augmented")
    return "-".join([*words, tier])
