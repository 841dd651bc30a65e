"""From the start of the process to the first trained step, beside TensorFlow's own part of it."""

from __future__ import annotations

from benchmarks.case import OURS, BenchmarkCase
from benchmarks.suites._choice import Choice

TITLE = "seconds from process start to the first step, beside importing TensorFlow and one trace"

_SUITE = "startup"
_WORKS = ({"dataset": "digits", "model": "mlp"}, {"dataset": "digits", "model": "cnn"})


def cases(choice: Choice) -> list[BenchmarkCase]:
    """Returns the cases; `import_and_trace` does no more than it says."""
    return choice.select(
        BenchmarkCase(
            suite=_SUITE,
            name=f"{work['dataset']}-{work['model']}",
            contender=contender,
            kind=kind,
            flags={**work, "steps": 1},
        )
        for work in _WORKS
        for contender, kind in ((OURS, "startup"), ("import_and_trace", "import_and_trace"))
    )
