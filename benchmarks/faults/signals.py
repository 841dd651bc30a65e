"""SIGTERM, SIGINT and SIGUSR1 in every phase of a run, and twice.

A failpoint stops the process where the phase begins (SIGSTOP), so that the signal comes there and
its clock starts there; other signals come at moments drawn from a seed. Each start goes on with the
run of the one before, which at last must be that of an undisturbed run, to the last bit.
"""

from __future__ import annotations

import functools
import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.faults import _runs, _workers
from benchmarks.faults._attempt import Attempt, check
from flowrate.errors import Preempted

ID = "P7"
TITLE = "a signal in any phase saves and ends the run within 10 s, with status 143; no step is lost"

_FLAGS = {
    "dataset": "digits", "model": "cnn", "steps": 2000, "checkpoint_every_steps": 100,
    "evaluate_every_steps": 150, "log_every_steps": 20, "schedule": "cosine", "cache": "none",
    "deterministic": True,
}  # fmt: skip
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
# In the order in which one run comes to them: the last two end it.
_PHASES = (
    "data", "import", "build", "compile", "step", "evaluate", "save", "finish", "report"
)  # fmt: skip
_BEFORE_STEPS, _AFTER_STEPS = _PHASES[:3], _PHASES[-2:]
_SAID = {
    "before": "stopped before the first step; there is nothing to save.",
    "after": "stopped after the last step; its state is saved in ",
    "twice": "stopped by a second signal; what was done since the last checkpoint is lost.",
}
_MOST_SECONDS = 10.0
# An evaluation is with averaged weights here, and with averages of BatchNorm's statistics.
_EVALUATED = {
    "dataset": "digits", "model": "resnet18", "strategy": "mirrored", "virtual_devices": 2,
    "ema_decay": 0.9, "steps": 6, "evaluate_every_steps": 3, "log_every_steps": 1,
    "global_batch_size": 16, "cache": "none", "deterministic": True,
}  # fmt: skip
# XLA takes minutes for its step, in native code that no signal interrupts.
_LONG_COMPILE = {
    "dataset": "digits", "image_size": 32, "model": "keras:ResNet101", "jit": "on", "steps": 5
}  # fmt: skip


def attempts(full: bool, seed: int) -> list[Attempt]:
    """Returns runs with a signal in each phase, and others: 15 signals, or 59."""
    random_signals = 17 if full else 1
    return [
        *(
            Attempt(f"each phase, from {_SIGNALS[first].name}", functools.partial(_each, first))
            for first in (range(3) if full else range(1))
        ),
        *(
            Attempt(f"{sent.name} while workers wait", functools.partial(_alone, sent))
            for sent in (_SIGNALS if full else _SIGNALS[:1])
        ),
        *(
            Attempt(f"{sent.name} after a first signal", functools.partial(_twice, sent))
            for sent in (_SIGNALS if full else _SIGNALS[1:2])
        ),
        *(
            Attempt(f"{sent.name} in a long evaluation", functools.partial(_evaluating, sent))
            for sent in (_SIGNALS if full else _SIGNALS[:1])
        ),
        *(
            Attempt(f"{sent.name} in a long compilation", functools.partial(_compiling, sent))
            for sent in (_SIGNALS if full else _SIGNALS[:1])
        ),
        Attempt(
            f"{random_signals} at random moments",
            functools.partial(_at_random, random_signals, seed),
        ),
    ]  # fmt: skip


def _each(first: int, folder: Path) -> dict[str, float]:
    """Sends a signal in each phase in turn; the three take turns too."""
    found = {"signals": 0.0, "steps_lost": 0.0, "most_exit_seconds": 0.0}
    step = 0
    for number, phase in enumerate(_PHASES):
        sent = _SIGNALS[(first + number) % len(_SIGNALS)]
        training = _runs.Training(
            folder / "run", environment={"FLOWRATE_FAULT": f"{phase}:stop"}, **_FLAGS
        )
        with _runs.running(training) as process:
            _wait_until_stopped(training, process, phase)
            if phase == "compile":  # Into the native code, not before it.
                process.send_signal(signal.SIGCONT)
                time.sleep(0.3)
            ended = _signal(training, process, sent)
        where = f"{sent.name} in phase {phase}"
        step = _check_left(ended, sent, phase, step, where)
        found["most_exit_seconds"] = max(found["most_exit_seconds"], ended.seconds)
        found["signals"] += 1
    _finish_as_undisturbed(folder, step)
    return found


def _twice(second: signal.Signals, folder: Path) -> dict[str, float]:
    """Sends a second signal while a save, asked for by a first one, takes its time."""
    training = _runs.Training(
        folder / "run", environment={"FLOWRATE_FAULT": "save:2:sleep=60"}, **_FLAGS
    )
    with _runs.running(training) as process:
        training.wait_until(process, lambda: _is_saving_again(training))
        process.send_signal(signal.SIGTERM)
        # Sooner, all but SIGINT would be taken for the same request sent twice.
        time.sleep(0.5 if second == signal.SIGINT else 6)
        check(process.poll() is None, "left by itself, a save that takes 60 s was not waited for")
        ended = _signal(training, process, second)
    check(ended.exit_code == Preempted.exit_code, f"status {ended.exit_code}: {ended.last_line}")
    check(f"{second.name}: {_SAID['twice']}" in ended.stderr, f"said: {ended.stderr!r}")
    check(ended.seconds <= 2, f"left {ended.seconds:.1f} s after a second signal")
    saved = training.checkpoints()[-1]
    _finish_as_undisturbed(folder, int(saved.name[5:]))
    return {"signals": 2, "most_second_seconds": ended.seconds}


def _alone(sent: signal.Signals, folder: Path) -> dict[str, float]:
    """Sends a signal to a worker that waits for another, who never comes."""
    workers = _workers.make_workers(
        folder, [_workers.LOOPBACK] * 2, dataset="digits", steps=10, bringup_timeout=120
    )
    with _runs.running(workers[0]) as process:
        status = folder / "run" / "status" / "worker-0.json"
        workers[0].wait_until(
            process, lambda: status.exists() and '"bring-up"' in status.read_text()
        )
        ended = _signal(workers[0], process, sent)
    _check_left(ended, sent, "import", 0, f"{sent.name} while waiting")
    return {"signals": 1, "most_exit_seconds": ended.seconds}


def _evaluating(sent: signal.Signals, folder: Path) -> dict[str, float]:
    """Sends a signal into an evaluation that does not come to look for one for a minute."""
    training = _runs.Training(
        folder / "run", environment={"FLOWRATE_FAULT": "evaluate:sleep=60"}, **_EVALUATED
    )
    with _runs.running(training) as process:
        training.wait_until(process, lambda: training.step() == _EVALUATED["evaluate_every_steps"])
        ended = _signal(training, process, sent)
    step = _check_left(ended, sent, "evaluate", 0, f"{sent.name} in a long evaluation")
    check(step == _EVALUATED["evaluate_every_steps"], f"saved at step {step}")
    _finish_as_undisturbed(folder, step, _EVALUATED)
    return {"signals": 1, "steps_lost": 0, "most_exit_seconds": ended.seconds}


def _compiling(sent: signal.Signals, folder: Path) -> dict[str, float]:
    """Sends a signal into native code that does not return for long; there is nothing to save."""
    training = _runs.Training(folder / "run", **_LONG_COMPILE)
    with _runs.running(training) as process:
        training.wait_until(process, lambda: "still compiling" in training.said())
        ended = _signal(training, process, sent)
    _check_left(ended, sent, "compile", 0, f"{sent.name} in a long compilation")
    check(f"{sent.name}: {_SAID['before']}" in ended.stderr, f"said: {ended.stderr!r}")
    return {"signals": 1, "most_compile_seconds": ended.seconds}


def _at_random(count: int, seed: int, folder: Path) -> dict[str, float]:
    """Sends signals at random moments, from when the process holds its run directory."""
    generator = random.Random(seed)
    found = {"signals": 0.0, "steps_lost": 0.0, "most_exit_seconds": 0.0}
    run, step = 0, 0
    while found["signals"] < count:
        training = _runs.Training(folder / str(run) / "run", **_FLAGS)
        training.run_dir.parent.mkdir(exist_ok=True)
        sent, delay = generator.choice(_SIGNALS), generator.uniform(0, 6)
        with _runs.running(training) as process:
            training.wait_until(process, (training.run_dir / "starts.jsonl").exists)
            time.sleep(delay)
            is_alive = process.poll() is None
            ended = _signal(training, process, sent)
        if is_alive and ended.exit_code != 0:  # Else it came to its end before the signal came.
            step = _check_left(ended, sent, None, step, f"{sent.name} after {delay:.1f} s")
            found["signals"] += 1
            found["most_exit_seconds"] = max(found["most_exit_seconds"], ended.seconds)
        if ended.exit_code == 0 or step == _FLAGS["steps"] or found["signals"] == count:
            _finish_as_undisturbed(training.run_dir.parent, step)
            run, step = run + 1, 0
    return found


def _wait_until_stopped(training: _runs.Training, process: subprocess.Popen, phase: str) -> None:
    stopped = training.wait_until(
        process, lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    )
    check(stopped, f"ended before phase {phase}: {training.said()[-200:]!r}")


def _signal(
    training: _runs.Training, process: subprocess.Popen, sent: signal.Signals
) -> _runs.Ended:
    """Sends a signal; the seconds are from then to the end."""
    for number in (sent, signal.SIGCONT):
        process.send_signal(number)
    return training.end(process, timeout_seconds=120)


def _check_left(
    ended: _runs.Ended, sent: signal.Signals, phase: str | None, step: int, where: str
) -> int:
    """Checks how a process left, and that it had gone on from `step`.

    Args:
        ended: the process.
        sent: what ended it.
        phase: in which; None where any may have been.
        step: that the start before saved last.
        where: for the message.

    Returns:
        The step that is saved now.
    """
    check(
        ended.exit_code == Preempted.exit_code,
        f"{where}: status {ended.exit_code}, {ended.stderr!r}",
    )
    check("Traceback" not in ended.stderr, f"{where}: {ended.stderr!r}")
    check(ended.seconds <= _MOST_SECONDS, f"{where}: left after {ended.seconds:.1f} s")
    _check_resumed(ended, step, where)
    saved = re.search(rf"{sent.name}: preempted at step (\d+), saved\.", ended.stderr)
    if saved:
        is_fitting = phase is None or phase not in (*_BEFORE_STEPS, *_AFTER_STEPS)
        step = int(saved.group(1))
    elif f"{sent.name}: {_SAID['before']}" in ended.stderr:
        is_fitting = phase is None or phase in (*_BEFORE_STEPS, "compile")
    else:
        check(f"{sent.name}: {_SAID['after']}" in ended.stderr, f"{where}: {ended.stderr!r}")
        is_fitting = phase is None or phase in _AFTER_STEPS
        step = _FLAGS["steps"]
    check(is_fitting, f"{where}: {ended.last_line}")
    return step


def _check_resumed(ended: _runs.Ended, step: int, where: str) -> None:
    said = re.search(r"resumed from step ([0-9,]+)", ended.stdout)
    if said and step:
        resumed = int(said.group(1).replace(",", ""))
        check(resumed == step, f"{where}: resumed from step {resumed}, saved was {step}")


def _finish_as_undisturbed(folder: Path, step: int, flags: dict[str, Any] = _FLAGS) -> None:
    training = _runs.Training(folder / "run", **flags)
    _check_resumed(training.finish(), step, "at last")
    _runs.check_same_run(training.run_dir, _runs.reference(**flags))
    _runs.check_no_litter(training.run_dir)


def _is_saving_again(training: _runs.Training) -> bool:
    """Whether the second save is under way; the first is whole."""
    folder = training.run_dir / "checkpoints"
    return len(training.checkpoints()) == 1 and any(folder.glob("*.tmp"))
