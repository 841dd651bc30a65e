"""P17: a run that goes on with another number of replicas: the same examples, the same figures."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from faults.tools import runs
from faults.tools.sizes import sized

from flowrate.failpoint import VARIABLE

pytestmark = pytest.mark.slow
_TOLERANCE = 1e-5
# Killed within the save of step 30, it goes on from step 20.
_FLAGS = {
    "dataset": "digits", "model": "cnn", "steps": 40, "global_batch_size": 32,
    "log_every_steps": 1, "checkpoint_every_steps": 10, "precision": "float32", "report": False,
}  # fmt: skip
_RESUMED_STEP = 20


_CHANGES = [(1, 4), (4, 2), (1, 2), (2, 1), (2, 4), (4, 1)]


@pytest.mark.parametrize(("before", "after"), sized(_CHANGES[:2], _CHANGES))
def test_it_resumes_on_other_replicas(before, after, tmp_path, record):
    run_dir = tmp_path / "run"
    killed = runs.Training(
        run_dir, environment={VARIABLE: "save:3:kill"}, **_FLAGS, **_layout(before)
    ).run()
    assert killed.exit_code == -signal.SIGKILL, f"not killed: {killed.last_line}"
    training = runs.Training(run_dir, **_FLAGS, **_layout(after))
    said = training.finish().stdout
    assert f"resumed from step {_RESUMED_STEP}" in said, f"not resumed from {_RESUMED_STEP}: {said}"
    expected = _losses(runs.reference(**_FLAGS, **_layout(1)))
    found = _losses(run_dir)
    assert len(found) == len(expected), f"{len(found)} steps, {len(expected)} of one replica"
    differences = [abs(ours - theirs) for ours, theirs in zip(found, expected)]
    first = differences[_RESUMED_STEP]
    assert first <= _TOLERANCE, f"the first loss after the change differs by {first}"
    record(most_difference_of_the_first_step=first, most_difference_of_any_step=max(differences))


def _layout(num_replicas: int) -> dict[str, Any]:
    # The strategy is that of the run; the number of its replicas is that of the devices.
    return {"strategy": "mirrored", "virtual_devices": num_replicas}


def _losses(run_dir: Path) -> list[float]:
    return [row["loss"] for row in runs.curve(run_dir) if "learning_rate" in row]
