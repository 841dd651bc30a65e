"""Makes all attempts at breaking a promise, and counts what was kept."""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Sequence
from typing import Any

from benchmarks.faults import PROMISES, _runs
from benchmarks.faults._attempt import Outcome, make_all, together


def measure_faults(flags: dict[str, Any], promise: str, full: bool) -> dict[str, Any]:
    """Returns a row's part; its status is failed where the promise was broken once.

    A line is printed after each attempt: all of them may take an hour.

    Args:
        flags: `seed`, and `data_dir` where one was given.
        promise: its name in benchmarks/faults.
        full: all attempts, not only those of every change.
    """
    if flags.get("data_dir"):
        os.environ[_runs.DATA_VARIABLE] = os.path.abspath(flags["data_dir"])
    module, _ = PROMISES.load(promise)
    tell = functools.partial(print, flush=True)
    outcomes = make_all(module.attempts(full, flags["seed"]), tell)
    words = ["python", "-m", "benchmarks.faults", promise, *["--full"] * full]
    if flags["seed"]:
        words.append(f"--seed={flags['seed']}")
    return {
        **_status(outcomes),
        "labels": {},  # Where data lies on this machine says nothing.
        "metrics": _metrics(outcomes),
        "command": shlex.join(words),
    }


def _status(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    broken = _reasons(outcomes, "broken")
    if broken:
        return {"status": "failed", "error": f"broken: {broken}"}
    if all(outcome.status == "not here" for outcome in outcomes):
        return {"status": "skipped", "error": _reasons(outcomes, "not here")}
    return {"status": "ok", "error": None}


def _reasons(outcomes: Sequence[Outcome], status: str) -> str:
    reasons = [f"{each.name}: {each.reason}" for each in outcomes if each.status == status]
    return "; ".join(reasons)[:2000]


def _metrics(outcomes: Sequence[Outcome]) -> dict[str, float]:
    tried = [outcome for outcome in outcomes if outcome.status != "not here"]
    return {
        "attempts": len(tried),
        "attempts_kept": sum(outcome.status == "kept" for outcome in tried),
        "attempts_not_here": len(outcomes) - len(tried),
        **together(outcomes),
    }
