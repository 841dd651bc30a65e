"""P1, P2: SIGKILL at random moments: between start and first step, in a step, in a save.

Each test kills one run several times, at moments drawn from a seed, starts the same command
again each time, and at last lets it end. Its logged figures and its final weights, statistics and
optimizer state must be those of an undisturbed run, to the last bit.
"""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from faults.tools import runs
from faults.tools.sizes import SEED, sized

pytestmark = pytest.mark.slow
_KILLS_PER_RUN = 5
# Dropout, augmentation, averaged weights, batches that straddle epochs, saves between log lines.
_FLAGS = {
    "dataset": "digits", "model": "flowers_cnn", "augmentation": "translation,contrast,cutout",
    "steps": 800, "global_batch_size": 40, "log_every_steps": 7, "schedule": "cosine",
    "ema_decay": 0.9, "checkpoint_every_steps": 10, "deterministic": True, "report": False,
}  # fmt: skip
# Where a kill falls; those between the start and the first steps may come before the run's files.
_SAVE, _TRAINING, _START = "in a save", "in training", "between start and first steps"
# Of each run's kills these are in saves, of all 200 thus 80 or more; the others fall anywhere.
_LEAST_IN_SAVES = 2
_WEIGHTS = {_SAVE: 35, _TRAINING: 40, _START: 25}


@pytest.mark.parametrize("number", range(sized(5, 40)))
def test_killed_at_random_it_ends_with_the_same_bits(number, tmp_path, record):
    generator = random.Random(1000 * SEED + number)
    others = _KILLS_PER_RUN - _LEAST_IN_SAVES
    drawn = generator.choices([*_WEIGHTS], [*_WEIGHTS.values()], k=others)
    moments = [_SAVE] * _LEAST_IN_SAVES + drawn
    generator.shuffle(moments)
    found = dict.fromkeys(("kills", "kills_in_a_save", "steps_lost", "most_resume_seconds"), 0.0)
    number = 0
    while moments:  # A run that comes to its end too soon is followed by another.
        training = runs.Training(tmp_path / f"run-{number}", **_FLAGS)
        before = found["kills"]
        _kill_often(training, moments, generator, found)
        assert found["kills"] > before, "the run was never killed: it ended too soon"
        saved_step = _saved_step(training)
        training.finish()
        found["steps_lost"] += _steps_lost(training, saved_step)
        assert not found["steps_lost"], f"{found['steps_lost']:.0f} saved steps were trained again"
        runs.check_same_run(training.run_dir, runs.reference(**_FLAGS))
        runs.check_no_litter(training.run_dir)
        number += 1
    assert found["kills_in_a_save"] >= _LEAST_IN_SAVES, "too few kills fell into a save"
    record(**found)


def _kill_often(
    training: runs.Training, moments: list[str], generator: random.Random, found: dict[str, float]
) -> None:
    """Kills a run at each of the moments, which are taken from the list, or until it has ended."""
    while moments:
        saved_step, began = _saved_step(training), time.time()
        with runs.running(training) as process:
            resume_seconds = _wait_for(moments[-1], training, process, generator)
            if process.poll() is not None:
                return  # It has come to its end: there is nothing left to kill.
        moments.pop()
        found["kills"] += 1
        found["kills_in_a_save"] += _is_saving(training, began)
        found["most_resume_seconds"] = max(found["most_resume_seconds"], resume_seconds)
        found["steps_lost"] += _steps_lost(training, saved_step)


def _wait_for(
    moment: str, training: runs.Training, process: subprocess.Popen, generator: random.Random
) -> float:
    """Waits until a moment of a kind; returns the seconds until training began."""
    began, wall, step = time.perf_counter(), time.time(), training.step()
    if moment == _START:
        time.sleep(generator.uniform(0.3, 4))
        return 0.0
    training.wait_until(process, lambda: training.step() > step)
    resume_seconds = time.perf_counter() - began
    if moment == _SAVE:
        _stop_in_a_save(training, process, generator, wall)
    else:
        time.sleep(generator.uniform(0, 0.4))
    return resume_seconds


def _stop_in_a_save(
    training: runs.Training, process: subprocess.Popen, generator: random.Random, since: float
) -> None:
    """Stops the process somewhere in a save: there it is to be killed."""
    while training.wait_until(process, lambda: _is_saving(training, since), poll_seconds=0.0002):
        time.sleep(generator.uniform(0, 0.004))
        process.send_signal(signal.SIGSTOP)
        training.wait_until(process, lambda: _has_stopped(process.pid))
        if _is_saving(training, since):
            return
        process.send_signal(signal.SIGCONT)  # The save was over sooner.


def _has_stopped(pid: int) -> bool:
    """Whether each of its threads has; one that syncs does so first (proc(5), stat)."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


def _is_saving(training: runs.Training, since: float) -> bool:
    """Whether a checkpoint is half-written or half-deleted, by what has begun since a time."""
    for path in (training.run_dir / "checkpoints").glob("*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ctime >= since:
                return True
    return False


def _saved_step(training: runs.Training) -> int:
    return max((int(path.name[5:]) for path in training.checkpoints()), default=0)


def _steps_lost(training: runs.Training, saved_step: int) -> int:
    """Returns how many saved steps the last start did not take over; 0 where it had not begun."""
    resumed = runs.resumed_step(training.said())
    return 0 if resumed is None else max(0, saved_step - resumed)
