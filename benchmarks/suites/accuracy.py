"""Time to a target accuracy over several seeds; a run that misses it counts as a miss."""

from __future__ import annotations

from benchmarks.case import BenchmarkCase, Choice
from benchmarks.measure import TIME_TO_TARGET
from benchmarks.measure.metrics import METRICS, named

TITLE = "seconds to a target test accuracy, with the share of seeds that reach it"
METRIC = METRICS["seconds_to_target"]
COLUMNS = named("reached_target", "test_accuracy", "wall_seconds")

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
            suite="accuracy", name=f"{flags['dataset']}-{flags['model']}-{target:g}",
            measure=TIME_TO_TARGET, flags=choice.data_flags(flags), arguments={"target": target},
        )
        for flags, target in _TARGETS
    )  # fmt: skip


def outcome(entries, ratios) -> list[str]:
    """Returns how many runs reached their target."""
    reached = [value > 0 for entry in entries for value in entry.values("reached_target")]
    return [f"The target accuracy was reached in {sum(reached)} of {len(reached)} runs."]
