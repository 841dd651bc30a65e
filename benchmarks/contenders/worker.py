"""Starts benchmarks/measure/worker.py, which measures ours and what runs in its process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.case import BenchmarkCase
from benchmarks.machine import namespaces
from flowrate.environment import num_gpus
from flowrate.records import write_json


def command(case: BenchmarkCase, seed: int, answer_path: Path) -> list[str] | str:
    """Returns the command that measures the case, or, in words, why there is none."""
    if "link" in case.arguments and (reason := _why_no_workers(case)):
        return reason
    request_path = answer_path.with_name("request.json")
    write_json(request_path, {"case": case.to_json(), "seed": seed})
    return [sys.executable, "-m", "benchmarks.measure.worker", str(request_path), str(answer_path)]


def as_row(
    case: BenchmarkCase, seed: int, answer: dict[str, Any], wall_seconds: float
) -> dict[str, Any]:
    """Returns a row's part for what the worker wrote."""
    labels = {**answer.get("labels", case.flags), **case.arguments.get("labels", {})}
    return {**answer, "labels": labels}


def _why_no_workers(case: BenchmarkCase) -> str | None:
    """Returns, in words, why the case's workers cannot be had here; None where they can."""
    num_workers, count = case.arguments["num_workers"], num_gpus()
    if 0 < count < num_workers:
        return f"{num_workers} workers need a GPU each; here: {count}"
    if case.arguments["link"] == "loopback":
        return None
    return "virtual hosts do not share out GPUs" if count else namespaces.why_none()
