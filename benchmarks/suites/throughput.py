"""Every model x data set x precision x jit x cache that makes sense on this machine."""

from __future__ import annotations

import itertools
from typing import Any

from benchmarks.case import BenchmarkCase, Choice
from benchmarks.measure import RATE
from benchmarks.measure.metrics import METRICS, named
from input_pipelines.datasets import DATASETS
from models import MODELS

TITLE = (
    "steps/s of every model, data set, precision, jit and cache; small by default, --full for all"
)
METRIC = METRICS["steps_per_second"]
COLUMNS = named(
    "limit_steps_per_second", "efficiency", "images_per_second", "step_p50_ms", "step_p99_ms",
    "input_images_per_second", "flops_per_second", "peak_share", "peak_memory_bytes",
    "first_step_seconds",
)  # fmt: skip

_AXES = {
    "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
    "jit": ("off", "on"),
    "cache": ("device", "memory", "disk", "none"),
}
# Small: what the rules choose, then one thing changed at a time.
_SMALL_MODELS = (
    {"dataset": "digits", "model": "mlp"},
    {"dataset": "fashion_mnist", "model": "mlp"},
    {"dataset": "mnist", "model": "mlp16"},
    {"dataset": "mnist", "model": "mlp64"},
    {"dataset": "mnist", "model": "cnn"},
    {"dataset": "mnist", "model": "cnn5x5"},
    {"dataset": "flowers", "model": "flowers_cnn"},
)
_SMALL_CHANGES: tuple[dict[str, str], ...] = (
    {},
    {"cache": "memory"},
    {"jit": "off"},
    {"jit": "on"},
    {"precision": "mixed_bfloat16"},
)
_NOT_ALONE = ("image_folder", "table")  # They have no images of their own.


def cases(choice: Choice) -> list[BenchmarkCase]:
    """Returns the cases; flags that cannot work together become rows that say so."""
    flags = _full() if choice.full else _small()
    return choice.select(_case(each, choice) for each in flags)


def _case(flags: dict[str, Any], choice: Choice) -> BenchmarkCase:
    changed = [
        f"jit_{value}" if name == "jit" else value for name, value in flags.items() if name in _AXES
    ]
    name = "-".join([flags["dataset"], flags["model"], *changed])
    return BenchmarkCase(
        suite="throughput", name=name, measure=RATE, flags=choice.data_flags(flags),
        seconds=choice.seconds,
    )  # fmt: skip


def _small() -> list[dict[str, Any]]:
    return [{**work, **change} for work, change in itertools.product(_SMALL_MODELS, _SMALL_CHANGES)]


def _full() -> list[dict[str, Any]]:
    datasets = [name for name in DATASETS.names() if name not in (*DATASETS.families, *_NOT_ALONE)]
    models = [name for name in MODELS.names() if name not in MODELS.families]
    works = itertools.product(datasets, [*models, "keras:MobileNetV3Small"])
    settings = [dict(zip(_AXES, values)) for values in itertools.product(*_AXES.values())]
    return [
        {"dataset": dataset, "model": model, **each}
        for dataset, model in works
        for each in settings
    ]
