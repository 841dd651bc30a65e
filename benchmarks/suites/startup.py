"""From the start of the process to the first trained step, beside TensorFlow's own part of it."""

from __future__ import annotations

from benchmarks.case import BenchmarkCase
from benchmarks.suites._choice import Choice

TITLE = "seconds from process start to the first step, beside importing TensorFlow and one trace"

_SUITE = "startup"
_WORKS = ({"dataset": "digits", "model": "mlp"}, {"dataset": "digits", "model": "cnn"})


def cases(choice: Choice) -> list[BenchmarkCase]:
    """Returns the cases; `import_and_trace` does no more than it says."""
    found = []
    for flags in _WORKS:
        if choice.takes(flags):
            name = f"{flags['dataset']}-{flags['model']}"
            flags = {**flags, "steps": 1}
            found += [
                BenchmarkCase(suite=_SUITE, name=name, kind="startup", flags=flags),
                BenchmarkCase(
                    suite=_SUITE, name=name, contender="import_and_trace", kind="import_and_trace",
                    flags=flags,
                ),
            ]  # fmt: skip
    return found
