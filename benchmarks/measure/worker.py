"""One measurement in a fresh process: `python -m benchmarks.measure.worker REQUEST ANSWER`.

The request is a case and a seed, the answer what goes into its row. The runner starts it.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.case import BenchmarkCase
from benchmarks.machine import namespaces
from flowrate.environment import num_gpus
from flowrate.errors import FlowrateError, OutOfMemoryError, as_out_of_resources
from flowrate.records import read_json, write_json
from input_pipelines import start_tensorflow


def command(case: BenchmarkCase, seed: int, answer_path: Path) -> list[str] | str:
    """Returns the command that measures the case, or a message that says why not."""
    if "link" in case.arguments and (reason := _why_no_workers(case)):
        return reason
    request_path = answer_path.with_name("request.json")
    write_json(request_path, {"case": dataclasses.asdict(case), "seed": seed})
    return [sys.executable, "-m", "benchmarks.measure.worker", str(request_path), str(answer_path)]


def as_row(case: BenchmarkCase, answer: dict[str, Any], wall_seconds: float) -> dict[str, Any]:
    """Returns a row's part for what the worker wrote."""
    return {"labels": case.flags, **answer}


def main(argv: list[str]) -> int:
    """Measures what the request asks for; writes the answer, also of a failure."""
    request = read_json(Path(argv[1]))
    try:
        answer = {"status": "ok", "error": None, **_measure(request["case"], request["seed"])}
    except Exception as error:
        answer = _failure(error)
    write_json(Path(argv[2]), answer)
    return 0


def _measure(case: dict[str, Any], seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="flowrate-benchmark-") as folder:
        # No peer makes a report, so that ours is not counted.
        own = {"report": False, "seed": seed, "run_dir": str(Path(folder) / "run")}
        if "num_workers" not in case["arguments"]:  # Else other processes train.
            start_tensorflow.import_tensorflow()
        module, _, function = case["measure"].partition(":")
        measure = getattr(importlib.import_module(module), function)
        return measure({**case["flags"], **own}, case["seconds"], **case["arguments"])


def _failure(error: Exception) -> dict[str, Any]:
    """Returns the answer for what went wrong: out of memory is a result, not an accident."""
    error = as_out_of_resources(error) or error
    text = " ".join(str(error).split()) or type(error).__name__
    if not isinstance(error, FlowrateError):
        text = f"{type(error).__name__}: {text}"
    is_memory = isinstance(error, OutOfMemoryError)
    return {"status": "out_of_memory" if is_memory else "failed", "error": text[:500]}


def _why_no_workers(case: BenchmarkCase) -> str | None:
    """Returns, in words, why the case's workers cannot be had here; None where they can."""
    num_workers, count = case.arguments["num_workers"], num_gpus()
    if 0 < count < num_workers:
        return f"{num_workers} workers need a GPU each; here: {count}"
    if case.arguments["link"] == "loopback":
        return None
    return "virtual hosts do not share out GPUs" if count else namespaces.why_none()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
