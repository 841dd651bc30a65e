"""A run that goes on with another number of replicas: the same examples, the same figures."""

from __future__ import annotations

import functools
import signal
from pathlib import Path
from typing import Any

from benchmarks.faults import _runs
from benchmarks.faults._attempt import Attempt, check
from flowrate.failpoint import VARIABLE

ID = "P17"
TITLE = "killed, and gone on with on another number of replicas, a run computes the same"

_TOLERANCE = 1e-5
# Killed within the save of step 30, it goes on from step 20.
_FLAGS = {
    "dataset": "digits", "model": "cnn", "steps": 40, "global_batch_size": 32,
    "log_every_steps": 1, "checkpoint_every_steps": 10, "precision": "float32", "report": False,
}  # fmt: skip
_RESUMED_STEP = 20


def attempts(full: bool, seed: int) -> list[Attempt]:
    """Returns changes of the number of replicas: two, or all six."""
    changes = [(1, 4), (4, 2), (1, 2), (2, 1), (2, 4), (4, 1)]
    return [
        Attempt(f"{before} to {after}", functools.partial(_go_on, before=before, after=after))
        for before, after in (changes if full else changes[:2])
    ]


def _go_on(folder: Path, before: int, after: int) -> dict[str, float]:
    run_dir = folder / "run"
    killed = _runs.Training(
        run_dir, environment={VARIABLE: "save:3:kill"}, **_FLAGS, **_layout(before)
    ).run()
    check(killed.exit_code == -signal.SIGKILL, f"not killed: {killed.last_line}")
    training = _runs.Training(run_dir, **_FLAGS, **_layout(after))
    said = training.finish().stdout
    check(f"resumed from step {_RESUMED_STEP}" in said, f"not resumed from {_RESUMED_STEP}: {said}")
    expected = _losses(_runs.reference(**_FLAGS, **_layout(1)))
    found = _losses(run_dir)
    check(len(found) == len(expected), f"{len(found)} steps, {len(expected)} of one replica")
    differences = [abs(ours - theirs) for ours, theirs in zip(found, expected)]
    first = differences[_RESUMED_STEP]
    check(first <= _TOLERANCE, f"the first loss after the change differs by {first}")
    return {
        "most_difference_of_the_first_step": first, "most_difference_of_any_step": max(differences),
    }  # fmt: skip


def _layout(num_replicas: int) -> dict[str, Any]:
    # The strategy is that of the run; the number of its replicas is that of the devices.
    return {"strategy": "mirrored", "virtual_devices": num_replicas}


def _losses(run_dir: Path) -> list[float]:
    return [row["loss"] for row in _runs.curve(run_dir) if "learning_rate" in row]
