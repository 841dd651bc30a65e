"""From the start of the process to the first trained step, beside TensorFlow's own part of it."""

from __future__ import annotations

from benchmarks.case import OURS, BenchmarkCase, Choice
from benchmarks.measure import STARTUP
from benchmarks.measure.metrics import METRICS, named

TITLE = "seconds from process start to the first step, beside importing TensorFlow and one trace"
METRIC = METRICS["first_step_seconds"]
COLUMNS = named("wall_seconds")

_WORKS = ({"dataset": "digits", "model": "mlp"}, {"dataset": "digits", "model": "cnn"})


def cases(choice: Choice) -> list[BenchmarkCase]:
    """Returns the cases; `import_and_trace` does no more than it says."""
    return choice.select(
        BenchmarkCase(
            suite="startup",
            name=f"{work['dataset']}-{work['model']}",
            contender=contender,
            measure=STARTUP,
            flags={**work, "steps": 1},
        )
        for work in _WORKS
        for contender in (OURS, "import_and_trace")
    )
