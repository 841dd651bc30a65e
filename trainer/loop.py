"""The training loop: the whole run, on one page.

The plan cuts the run into segments wherever something is due, so nothing here asks for the step
number; the engine trains a segment in compiled calls of many steps.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from flowrate.environment import process_seconds
from flowrate.errors import DiskError, DivergedError, FlowrateError, Preempted
from flowrate.failpoint import reach
from flowrate.signals import StopRequest
from input_pipelines.source import Source
from trainer import divergence
from trainer.checkpoints.background import BackgroundSaver, Saved
from trainer.checkpoints.store import check_finite
from trainer.clock import PhaseClock
from trainer.config import TrainConfig
from trainer.distributed.team import Team
from trainer.distributed.votes import Agreement
from trainer.engine.engine import StepEngine
from trainer.engine.evaluator import Evaluator
from trainer.engine.optimizers import Halved
from trainer.engine.results import StepResults
from trainer.engine.state import TrainState
from trainer.output.writers import RunWriter
from trainer.plan import Segment, TrainPlan
from trainer.rollback import roll_back
from trainer.run_dir.folder import RunDir


@dataclasses.dataclass(frozen=True)
class Choices:
    """What the `auto` flags came to: the cache tier, whether XLA compiles, the dtype policy."""

    cache: str
    jit: bool
    precision: str


@dataclasses.dataclass
class TrainingRun:
    """All that the loop works with, put together by trainer/build.py.

    `sources` are the splits as the cache keeps them, `examples` the training split as it was
    loaded: its files have names. `resumable_step` is the last step trained
    here after which all was in order to go on from: counted, logged, and what is due noted.
    `end_step` is where this part of the run ends: the last step, or that of --unfreeze_at, after
    which `build_next` builds the rest.
    """

    config: TrainConfig
    plan: TrainPlan
    choices: Choices
    state: TrainState
    engine: StepEngine
    evaluator: Evaluator
    evaluation_split: str
    sources: dict[str, Source]
    examples: Source
    schedule: Halved
    run_dir: RunDir
    saver: BackgroundSaver
    writer: RunWriter
    clock: PhaseClock
    stop: StopRequest
    agreement: Agreement
    team: Team | None
    num_workers: int
    num_replicas: int
    end_step: int
    saved_step: int | None
    resumable_step: int | None = None
    has_evaluated: bool = False
    steps_measured: int = 0
    exchange_seconds: float = 0.0
    last_loss: float | None = None
    first_step_seconds: float | None = None
    build_next: Callable[[], TrainingRun] | None = None

    @property
    def is_chief(self) -> bool:
        """Whether this process writes: it is the only one, or the first of several."""
        return self.team is None or self.team.cluster.is_chief


def follow(run: TrainingRun) -> TrainingRun | None:
    """Returns the part of the run that follows one that was trained; None where there is none."""
    if run.end_step == run.plan.total_steps or _out_of_patience(run):
        return None
    following = run.build_next()
    following.steps_measured = run.steps_measured
    following.exchange_seconds = run.exchange_seconds
    following.first_step_seconds = run.first_step_seconds
    return following


def train(run: TrainingRun) -> None:
    """Trains from where the state stands to the end of the plan, or until patience runs out.

    Raises:
        Preempted: a signal came; the state is saved.
        DivergedError: the loss or a weight is not finite; the last checkpoint is. With
            --on_divergence=rollback, after having gone back so many times.
        DataError: an image cannot be decoded.
        DiskError: a record or a checkpoint cannot be written.
    """
    run.stop.arm(has_trained=lambda: run.resumable_step is not None)
    try:
        if run.config.on_divergence == "rollback":
            _save(run)  # The beginning, to have something to go back to.
        while not _train(run):
            pass
    except (Preempted, DivergedError, DiskError):
        raise
    except Exception:
        _save_if_sound(run)
        raise
    finally:
        run.saver.close()


def _train(run: TrainingRun) -> bool:
    """Trains to the end; returns whether it is there, and not rolled back."""
    try:
        _train_on(run)
        return True
    except (DivergedError, tf.errors.InvalidArgumentError) as error:
        roll_back(run, divergence.as_diverged(run, error))
        return False


def _train_on(run: TrainingRun) -> None:
    progress = run.state.progress
    if progress.evaluation_pending:  # A signal came during this evaluation.
        _evaluate(run)
    for segment in run.plan.segments(start=progress.step):
        if _out_of_patience(run) or progress.step == run.end_step:
            break
        train_segment(run, segment)
        if progress.step == segment.last:
            _finish_segment(run, segment)
        if run.agreement:
            _save_at_the_end(run)
            if run.team:
                run.team.wait_for_all()  # None leaves before the chief has saved.
            raise _preempted(run, run.agreement.reason)
    _save_at_the_end(run)
    if _out_of_patience(run):
        _return_to_best(run)


def train_segment(run: TrainingRun, segment: Segment) -> None:
    """Trains the steps of a segment, unless a signal comes; counts, times and logs them.

    Saves that are due by the clock fall between its calls; what is due after the last one is for
    _finish_segment.

    Raises:
        DivergedError: a step went wrong; those before it are logged.
    """
    for results in run.engine.run(segment):
        # The first wait is for the input to start up.
        run.clock.add("data" if results.is_warmup else "input_wait", results.input_wait_seconds)
        run.clock.add("compile" if results.is_warmup else "train", results.seconds)
        if not results.is_warmup:
            run.steps_measured += results.num_steps
            run.exchange_seconds += results.exchange_seconds
        if run.first_step_seconds is None:
            run.first_step_seconds = process_seconds()
        with run.clock.phase("log"):
            _record(run, results.finite_part())
        if not results.is_finite:
            with contextlib.suppress(FlowrateError):  # Worse has come.
                _report_saved(run, run.saver.finish())
            raise divergence.describe(run, results)
        _report_saved(run, run.saver.finished())
        if results.last < segment.last:  # Else something is due; see _finish_segment.
            run.resumable_step = results.last
        if run.agreement:
            return
        if results.last < segment.last and run.agreement.take_save():
            _save(run)


def _record(run: TrainingRun, results: StepResults) -> None:
    """Adds the steps of a call to the sums, and writes the log lines that fall into it."""
    progress = run.state.progress
    due = run.plan.logged_steps(results.first, results.last)
    for part in results.cut(due):
        progress.add_steps(part.metrics, run.plan.global_batch_size)
        run.last_loss = float(part.metrics[-1, 0])
        run.writer.called(part, progress.since_log.means())
        if part.last in due:
            learning_rate = float(part.metrics[-1, 3])
            run.writer.log(progress.step, progress.since_log.means(), learning_rate)
            if part.last % run.plan.log_every_steps == 0:  # Not where only the end asks for it.
                progress.start_log()
    run.writer.write_logged()


def _finish_segment(run: TrainingRun, segment: Segment) -> None:
    """Does what is due after a segment: evaluate, save; in this order."""
    progress = run.state.progress
    if segment.ends_epoch:
        progress.end_epoch()
    is_best = False
    progress.evaluation_pending, progress.before_end = segment.evaluate, None
    if segment.only_at_end:
        _finish_saving(run)  # A run that goes on needs the best so far, be it held in memory.
        progress.begin_end()
    run.resumable_step = progress.step
    if segment.evaluate:
        is_best = _evaluate(run)
    if run.agreement:
        return
    by_step = run.plan.checkpoint_every_steps > 0
    if run.agreement.take_save() or segment.checkpoint or (by_step and is_best):
        _save(run)
    elif is_best:
        progress.counted_seconds = run.clock.counted_seconds
        with run.clock.phase("checkpoint"):
            run.saver.hold_best(run.state.to_arrays(), progress)


def _evaluate(run: TrainingRun) -> bool:
    """Evaluates, records, and returns whether it is the best so far; a signal breaks it off."""
    progress, split = run.state.progress, run.evaluation_split
    with run.clock.phase("evaluate"), _saved_meanwhile(run):
        reach("evaluate")
        found = run.evaluator(run.sources[split], run.agreement)
    if found is None:
        return False
    evaluation = {"step": progress.step, "split": split, **found}
    run.writer.evaluation(evaluation)
    return progress.add_evaluation(evaluation)


def _saved_meanwhile(run: TrainingRun) -> contextlib.AbstractContextManager:
    """Within the block, a signal that the compilation of the evaluation keeps from being heard
    ends the run all the same, saved as it stood before.
    """
    is_compiled, run.has_evaluated = run.has_evaluated, True
    if is_compiled or run.num_workers > 1:  # Workers leave together or not at all.
        return contextlib.nullcontext()
    # A copy: the evaluation has averages in the place of weights, and puts them back.
    arrays = {name: np.array(array) for name, array in run.state.to_arrays().items()}
    run.state.progress.counted_seconds = run.clock.counted_seconds

    def save(signal_name: str) -> None:
        saved = run.saver.start(arrays, run.state.progress)
        run.writer.checkpoints(saved + run.saver.finish())
        run.writer.close()
        raise _preempted(run, signal_name)

    return run.stop.saved_meanwhile(save)


def _preempted(run: TrainingRun, reason: str) -> Preempted:
    return Preempted(f"{reason}: preempted at step {run.state.progress.step}, saved.")


def _save(run: TrainingRun) -> None:
    """Begins to save the state, unless that was done already."""
    progress = run.state.progress
    if run.saved_step == progress.step:
        return
    progress.counted_seconds = run.clock.counted_seconds
    with run.clock.phase("checkpoint"):
        arrays = run.state.to_arrays()
        if run.team:
            check_finite(arrays, progress.step)  # Else the chief alone would find it, later.
        saved = run.saver.start(arrays, progress)
    _report_saved(run, saved)
    run.saved_step = progress.step


def _save_at_the_end(run: TrainingRun) -> None:
    """Saves the state, and returns when it is on the disk."""
    _save(run)
    _finish_saving(run)


def _finish_saving(run: TrainingRun) -> None:
    with run.clock.phase("checkpoint"):
        saved = run.saver.finish()
    _report_saved(run, saved)


def _save_if_sound(run: TrainingRun) -> None:
    """Saves what was trained before an error, unless a step or its record was broken off."""
    is_sound = run.engine.trained_step is not None and run.engine.trained_step == run.resumable_step
    if run.team or not is_sound:  # Of several workers, the others are not here.
        return
    with contextlib.suppress(Exception):  # What has happened before is what is told.
        _save_at_the_end(run)
        run.writer.warn(f"an error ends the run; the state of step {run.resumable_step} is saved.")


def _report_saved(run: TrainingRun, saved: list[Saved]) -> None:
    if saved:
        with run.clock.phase("checkpoint"):
            run.writer.checkpoints(saved)


def _out_of_patience(run: TrainingRun) -> bool:
    patience = run.config.early_stopping_patience
    return 0 < patience <= run.state.progress.evaluations_since_best


def _return_to_best(run: TrainingRun) -> None:
    """Takes back the weights of the best evaluation; the progress stays where it is."""
    best = run.run_dir.read_checkpoint(run.state.progress.best["step"])
    if run.team:
        best = run.team.checkpoint_of_chief(best)
    run.state.restore(dataclasses.replace(best, progress=run.state.progress))
