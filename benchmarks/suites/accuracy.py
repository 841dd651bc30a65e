"""Time to a target accuracy over several seeds; a run that misses it counts as a miss."""

from __future__ import annotations

from benchmarks.case import BenchmarkCase
from benchmarks.suites._choice import Choice

TITLE = "seconds to a target test accuracy, with the share of seeds that reach it"

_SUITE = "accuracy"
# Targets that most seeds reach: what a tutorial ends with, or a little less.
_TARGETS = (
    ({"dataset": "digits", "model": "cnn", "epochs": 20}, 0.97),
    ({"dataset": "fashion_mnist", "model": "mlp", "epochs": 20}, 0.88),
    ({"dataset": "mnist", "model": "mlp", "epochs": 10}, 0.975),
    ({"dataset": "mnist", "model": "cnn", "epochs": 10}, 0.99),
    (
        {"dataset": "flowers", "model": "flowers_cnn", "augmentation": "preset", "epochs": 20},
        0.68,
    ),
)  # fmt: skip


def cases(choice: Choice) -> list[BenchmarkCase]:
    """Returns a case for each target."""
    return choice.select(
        BenchmarkCase(
            suite=_SUITE, name=f"{flags['dataset']}-{flags['model']}-{target:g}",
            kind="time_to_target", flags=choice.data_flags(flags), arguments={"target": target},
        )
        for flags, target in _TARGETS
    )  # fmt: skip
