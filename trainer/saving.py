"""When a run saves: the saver, the clock, the log and the signals brought together."""

from __future__ import annotations

import contextlib

import numpy as np

from flowrate.errors import FlowrateError, Preempted
from trainer.checkpoints.background import Saved
from trainer.checkpoints.store import check_finite
from trainer.run import TrainingRun


def save(run: TrainingRun) -> None:
    """Begins to save the state, unless that was done already."""
    progress = run.state.progress
    if run.saved_step == progress.step:
        return
    progress.counted_seconds = run.clock.counted_seconds
    with run.clock.phase("checkpoint"):
        arrays = run.state.to_arrays()
        if run.num_workers > 1:
            check_finite(arrays, progress.step)  # Else the chief alone would find it, later.
        saved = run.saver.start(arrays, progress)
    _log(run, saved)
    run.saved_step = progress.step


def save_and_wait(run: TrainingRun) -> None:
    """Saves the state, and returns when it is on the disk."""
    save(run)
    wait(run)


def wait(run: TrainingRun) -> None:
    """Returns when all that was begun, or held in memory, is on the disk."""
    with run.clock.phase("checkpoint"):
        saved = run.saver.finish()
    _log(run, saved)


def wait_if_possible(run: TrainingRun) -> None:
    """Does the same before training that went wrong is given up or taken back."""
    with contextlib.suppress(FlowrateError):  # Worse has come.
        _log(run, run.saver.finish())


def log_finished(run: TrainingRun) -> None:
    """Logs the checkpoints that have come to the disk meanwhile."""
    _log(run, run.saver.finished())


def hold_best(run: TrainingRun) -> None:
    """Keeps the state, the best so far, in memory until the next save."""
    run.state.progress.counted_seconds = run.clock.counted_seconds
    with run.clock.phase("checkpoint"):
        run.saver.hold_best(run.state.to_arrays(), run.state.progress)


def save_if_sound(run: TrainingRun) -> None:
    """Saves what was trained before an error, unless a step or its record was broken off."""
    is_sound = run.engine.trained_step is not None and run.engine.trained_step == run.resumable_step
    if run.num_workers > 1 or not is_sound:  # Of several workers, the others are not here.
        return
    with contextlib.suppress(Exception):  # What has happened before is what is reported.
        save_and_wait(run)
        run.writer.warn(f"an error ends the run; the state of step {run.resumable_step} is saved.")


def saved_meanwhile(run: TrainingRun) -> contextlib.AbstractContextManager:
    """Within the block, the first evaluation, a signal is answered though a compilation keeps
    Python from hearing it: the run is saved as it stood before, and ends.
    """
    is_compiled, run.has_evaluated = run.has_evaluated, True
    if is_compiled or run.num_workers > 1:  # Workers leave together or not at all.
        return contextlib.nullcontext()
    # A copy: the evaluation has averages in the place of weights, and puts them back.
    arrays = {name: np.array(array) for name, array in run.state.to_arrays().items()}
    run.state.progress.counted_seconds = run.clock.counted_seconds

    def save_copy(signal_name: str) -> None:
        saved = run.saver.start(arrays, run.state.progress)
        run.writer.checkpoints(saved + run.saver.finish())
        run.writer.close()
        raise preempted(run, signal_name)

    return run.stop.saved_meanwhile(save_copy)


def preempted(run: TrainingRun, reason: str) -> Preempted:
    """Returns the error that a signal ends a saved run with."""
    return Preempted(f"{reason}: preempted at step {run.state.progress.step}, saved.")


def _log(run: TrainingRun, saved: list[Saved]) -> None:
    if saved:
        with run.clock.phase("checkpoint"):
            run.writer.checkpoints(saved)
