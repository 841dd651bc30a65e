"""Starts the trainer itself for one step, and the least that TensorFlow can do, side by side."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

from benchmarks.case import OURS, BenchmarkCase

_BASELINE = "benchmarks.peers.import_and_trace"


def command(case: BenchmarkCase, seed: int, answer_path: Path) -> list[str]:
    """Returns the command; each writes its seconds to the first step where the answer lies."""
    if case.contender == OURS:
        # The answer is the run's own result.json.
        flags = {**case.flags, "seed": seed, "run_dir": str(answer_path.parent)}
        words = [f"--{name}={value}" for name, value in flags.items()]
        return [sys.executable, "-m", "trainer.main", *words]
    return [
        sys.executable, "-m", _BASELINE,
        f"--model={case.flags['model']}", f"--output={answer_path}",
    ]  # fmt: skip


def as_row(case: BenchmarkCase, answer: dict[str, Any], wall_seconds: float) -> dict[str, Any]:
    """Returns a row's part."""
    words = ["python", "-m", _BASELINE, f"--model={case.flags['model']}"]
    own = {} if case.contender == OURS else {"command": shlex.join(words)}
    return {
        **own,
        "status": "ok",
        "error": None,
        "wall_seconds": wall_seconds,
        "labels": dict(case.flags),
        "metrics": {"first_step_seconds": answer["first_step_seconds"]},
        "phases": answer.get("seconds", {}),
    }
