"""P7: SIGTERM, SIGINT and SIGUSR1 in every phase of a run, and twice.

A failpoint stops the process where the phase begins (SIGSTOP), so that the signal comes there and
its clock starts there; other signals come at moments drawn from a seed. Each start goes on with the
run of the one before, which at last must be that of an undisturbed run, to the last bit.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from faults.tools import runs, workers
from faults.tools.sizes import SEED, sized

from flowrate.errors import Preempted

pytestmark = pytest.mark.slow
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


@pytest.mark.parametrize("first", range(sized(1, 3)))
def test_in_each_phase(first, tmp_path, record):
    """The three signals take turns."""
    step = 0
    for number, phase in enumerate(_PHASES):
        sent = _SIGNALS[(first + number) % len(_SIGNALS)]
        fault = {"FLOWRATE_FAULT": f"{phase}:stop"}
        training = runs.Training(tmp_path / "run", environment=fault, **_FLAGS)
        with runs.running(training) as process:
            _wait_until_stopped(training, process, phase)
            if phase == "compile":  # Into the native code, not before it.
                process.send_signal(signal.SIGCONT)
                time.sleep(0.3)
            ended = _signal(training, process, sent)
        step = _check_left(ended, sent, phase, step, f"{sent.name} in phase {phase}")
        record(most_exit_seconds=ended.seconds)
    _finish_as_undisturbed(tmp_path, step)
    record(signals=len(_PHASES), steps_lost=0)


@pytest.mark.parametrize("second", sized(_SIGNALS[1:2], _SIGNALS))
def test_a_second_signal_ends_it_at_once(second, tmp_path, record):
    """It comes while a save, asked for by the first one, takes its time."""
    fault = {"FLOWRATE_FAULT": "save:2:sleep=60"}
    training = runs.Training(tmp_path / "run", environment=fault, **_FLAGS)
    with runs.running(training) as process:
        training.wait_until(process, lambda: _is_saving_again(training))
        process.send_signal(signal.SIGTERM)
        # Sooner, all but SIGINT would be taken for the same request sent twice.
        time.sleep(0.5 if second == signal.SIGINT else 6)
        assert process.poll() is None, "a save that takes 60 s was not waited for"
        ended = _signal(training, process, second)
    assert ended.exit_code == Preempted.exit_code, ended.last_line
    assert f"{second.name}: {_SAID['twice']}" in ended.stderr
    assert ended.seconds <= 2
    _finish_as_undisturbed(tmp_path, int(training.checkpoints()[-1].name[5:]))
    record(signals=2, most_second_seconds=ended.seconds)


@pytest.mark.parametrize("sent", sized(_SIGNALS[:1], _SIGNALS))
def test_while_a_worker_waits_for_another(sent, tmp_path, record):
    first, _ = workers.make_workers(
        tmp_path, [workers.LOOPBACK] * 2, dataset="digits", steps=10, bringup_timeout=120
    )
    with runs.running(first) as process:
        status = tmp_path / "run" / "status" / "worker-0.json"
        first.wait_until(process, lambda: status.exists() and '"bring-up"' in status.read_text())
        ended = _signal(first, process, sent)
    _check_left(ended, sent, "import", 0, f"{sent.name} while waiting")
    record(signals=1, most_exit_seconds=ended.seconds)


@pytest.mark.parametrize("sent", sized(_SIGNALS[:1], _SIGNALS))
def test_in_an_evaluation_that_takes_a_minute(sent, tmp_path, record):
    fault = {"FLOWRATE_FAULT": "evaluate:sleep=60"}
    training = runs.Training(tmp_path / "run", environment=fault, **_EVALUATED)
    with runs.running(training) as process:
        training.wait_until(process, lambda: training.step() == _EVALUATED["evaluate_every_steps"])
        ended = _signal(training, process, sent)
    step = _check_left(ended, sent, "evaluate", 0, f"{sent.name} in a long evaluation")
    assert step == _EVALUATED["evaluate_every_steps"]
    _finish_as_undisturbed(tmp_path, step, _EVALUATED)
    record(signals=1, steps_lost=0, most_exit_seconds=ended.seconds)


@pytest.mark.parametrize("sent", sized(_SIGNALS[:1], _SIGNALS))
def test_in_a_compilation_that_takes_long(sent, tmp_path, record):
    """Native code does not return for minutes; there is nothing to save."""
    training = runs.Training(tmp_path / "run", **_LONG_COMPILE)
    with runs.running(training) as process:
        training.wait_until(process, lambda: "still compiling" in training.said())
        ended = _signal(training, process, sent)
    _check_left(ended, sent, "compile", 0, f"{sent.name} in a long compilation")
    assert f"{sent.name}: {_SAID['before']}" in ended.stderr
    record(signals=1, most_compile_seconds=ended.seconds)


def test_at_random_moments(tmp_path, record):
    """From when the process holds its run directory."""
    generator = random.Random(SEED)
    count, num_signals, run, step = sized(1, 17), 0, 0, 0
    while num_signals < count:
        training = runs.Training(tmp_path / str(run) / "run", **_FLAGS)
        training.run_dir.parent.mkdir(exist_ok=True)
        sent, delay = generator.choice(_SIGNALS), generator.uniform(0, 6)
        with runs.running(training) as process:
            training.wait_until(process, (training.run_dir / "starts.jsonl").exists)
            time.sleep(delay)
            is_alive = process.poll() is None
            ended = _signal(training, process, sent)
        if is_alive and ended.exit_code != 0:  # Else it came to its end before the signal came.
            step = _check_left(ended, sent, None, step, f"{sent.name} after {delay:.1f} s")
            num_signals += 1
            record(most_exit_seconds=ended.seconds)
        if ended.exit_code == 0 or step == _FLAGS["steps"] or num_signals == count:
            _finish_as_undisturbed(training.run_dir.parent, step)
            run, step = run + 1, 0
    record(signals=num_signals, steps_lost=0)


def _wait_until_stopped(training: runs.Training, process: subprocess.Popen, phase: str) -> None:
    stopped = training.wait_until(
        process, lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    )
    assert stopped, f"ended before phase {phase}: {training.said()[-200:]!r}"


def _signal(training: runs.Training, process: subprocess.Popen, sent: signal.Signals) -> runs.Ended:
    """Sends a signal; the seconds are from then to the end."""
    for number in (sent, signal.SIGCONT):
        process.send_signal(number)
    return training.end(process, timeout_seconds=120)


def _check_left(
    ended: runs.Ended, sent: signal.Signals, phase: str | None, step: int, where: str
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
    assert ended.exit_code == Preempted.exit_code, (
        f"{where}: status {ended.exit_code}, {ended.stderr!r}"
    )
    assert "Traceback" not in ended.stderr, f"{where}: {ended.stderr!r}"
    assert ended.seconds <= _MOST_SECONDS, f"{where}: left after {ended.seconds:.1f} s"
    _check_resumed(ended, step, where)
    saved = re.search(rf"{sent.name}: preempted at step (\d+), saved\.", ended.stderr)
    if saved:
        is_fitting = phase is None or phase not in (*_BEFORE_STEPS, *_AFTER_STEPS)
        step = int(saved.group(1))
    elif f"{sent.name}: {_SAID['before']}" in ended.stderr:
        is_fitting = phase is None or phase in (*_BEFORE_STEPS, "compile")
    else:
        assert f"{sent.name}: {_SAID['after']}" in ended.stderr, f"{where}: {ended.stderr!r}"
        is_fitting = phase is None or phase in _AFTER_STEPS
        step = _FLAGS["steps"]
    assert is_fitting, f"{where}: {ended.last_line}"
    return step


def _check_resumed(ended: runs.Ended, step: int, where: str) -> None:
    resumed = runs.resumed_step(ended.stdout)
    if resumed is not None and step:
        assert resumed == step, f"{where}: resumed from step {resumed}, saved was {step}"


def _finish_as_undisturbed(folder: Path, step: int, flags: dict[str, Any] = _FLAGS) -> None:
    training = runs.Training(folder / "run", **flags)
    _check_resumed(training.finish(), step, "at last")
    runs.check_same_run(training.run_dir, runs.reference(**flags))
    runs.check_no_litter(training.run_dir)


def _is_saving_again(training: runs.Training) -> bool:
    """Whether the second save is under way; the first is whole."""
    folder = training.run_dir / "checkpoints"
    return len(training.checkpoints()) == 1 and any(folder.glob("*.tmp"))
