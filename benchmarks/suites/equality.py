"""One training in five layouts of processes and replicas, each beside one process with one."""

from __future__ import annotations

from typing import Any

from benchmarks.case import BenchmarkCase
from benchmarks.suites._choice import Choice

TITLE = "one training over processes x replicas, each layout beside one process with one replica"

_SUITE = "equality"
# Without BatchNorm, whose statistics are each replica's own, and without dropout.
_MODELS = ("mlp64", "cnn")
# Processes, and replicas in each; the first is held against another run of itself.
_LAYOUTS = ((1, 1), (1, 4), (2, 1), (2, 2), (4, 1))
# One epoch of the digits and a part of the next; every loss is logged.
_FLAGS = {
    "dataset": "digits", "global_batch_size": 32, "steps": 60, "log_every_steps": 1,
    "evaluate_every_steps": 20, "precision": "float32",
}  # fmt: skip
_TIMEOUT_SECONDS = 900


def cases(choice: Choice) -> list[BenchmarkCase]:
    """Returns a case for each model and layout."""
    return choice.select(_case(model, *layout, choice) for model in _MODELS for layout in _LAYOUTS)


def _case(model: str, num_workers: int, num_replicas: int, choice: Choice) -> BenchmarkCase:
    flags: dict[str, Any] = {**_FLAGS, "model": model}
    return BenchmarkCase(
        suite=_SUITE,
        name=f"{flags['dataset']}-{model}-{num_workers}x{num_replicas}",
        kind="equality",
        flags=choice.data_flags(flags),
        arguments={
            "num_workers": num_workers,
            "num_replicas": num_replicas,
            "labels": {"layout": f"{num_workers} x {num_replicas}"},
        },
        timeout_seconds=_TIMEOUT_SECONDS,
    )
