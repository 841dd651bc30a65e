"""One measurement in a fresh process: `python -m benchmarks.measure.worker REQUEST ANSWER`.

The request is a case and a seed, the answer what goes into its row. The runner starts this; peers
are started directly.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from flowrate.errors import FlowrateError, OutOfMemoryError
from flowrate.records import read_json, write_json
from trainer import session
from trainer.config import TrainConfig
from trainer.main import as_out_of_resources


def main(argv: list[str]) -> int:
    """Measures what the request asks for; writes the answer, also of a failure."""
    request = read_json(Path(argv[1]))
    try:
        answer = {"status": "ok", "error": None, **_measure(request)}
    except Exception as error:
        answer = _failure(error)
    write_json(Path(argv[2]), answer)
    return 0


def _measure(request: dict[str, Any]) -> dict[str, Any]:
    case = request["case"]
    with tempfile.TemporaryDirectory(prefix="flowrate-benchmark-") as folder:
        flags = {
            # What no peer makes is not counted.
            "report": False,
            **case["flags"], "seed": request["seed"], "run_dir": str(Path(folder) / "run"),
        }  # fmt: skip
        kind = case["kind"]
        if kind in _GROUP_KINDS:
            return _GROUP_KINDS[kind](flags, case)
        session.import_tensorflow()
        return _KINDS[kind](flags, case)


def _run(flags: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
    from benchmarks.measure.training import measure_run

    return measure_run(TrainConfig(**flags))


def _rate(flags: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
    from benchmarks.measure.training import measure_rate

    return measure_rate(TrainConfig(**flags), case["seconds"])


def _input(flags: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
    from benchmarks.measure.input import measure_input

    return measure_input(TrainConfig(**flags), case["seconds"], **case["arguments"])


def _time_to_target(flags: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
    from benchmarks.measure.accuracy import measure_time_to_target

    return measure_time_to_target(TrainConfig(**flags), **case["arguments"])


def _equality(flags: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
    from benchmarks.measure_equality import measure_equality

    return measure_equality(flags, **_arguments(case))


def _workers_rate(flags: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
    from benchmarks.measure.workers import measure_workers_rate

    return measure_workers_rate(flags, case["seconds"], **_arguments(case))


def _collectives(flags: dict[str, Any], case: dict[str, Any]) -> dict[str, Any]:
    from benchmarks.measure.workers import measure_collectives

    return measure_collectives(flags, **_arguments(case))


def _arguments(case: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a case without its labels, which go into the row as they are."""
    return {name: value for name, value in case["arguments"].items() if name != "labels"}


_KINDS = {"run": _run, "rate": _rate, "input": _input, "time_to_target": _time_to_target}
# These start processes of their own, which import TensorFlow.
_GROUP_KINDS = {
    "equality": _equality,
    "workers_rate": _workers_rate,
    "collectives": _collectives,
}


def _failure(error: Exception) -> dict[str, Any]:
    """Returns the answer for what went wrong: out of memory is a result, not an accident."""
    error = as_out_of_resources(error) or error
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, FlowrateError):
        text = f"{type(error).__name__}: {text}"
    is_memory = isinstance(error, OutOfMemoryError)
    return {"status": "out_of_memory" if is_memory else "failed", "error": text[:500]}


if __name__ == "__main__":
    sys.exit(main(sys.argv))
