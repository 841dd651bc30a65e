"""The training loop: a whole run, on one page.

EVALUATE, where a signal broke that off when the run was last stopped
for each segment of the plan, which ends where something is due:
    for each compiled call of the segment:
        LOG the steps that are due
        DIVERGENCE: a figure is not a number; raise
        SIGNAL: leave the segment
        SAVE, if due by the clock
    EVALUATE, if due; a signal breaks it off
    SAVE, if due
    SIGNAL: save, wait for the disk, raise
    EARLY STOPPING: patience has run out; no further segment
SAVE, wait for the disk
EARLY STOPPING: take the best weights back
DIVERGENCE above: stop, or ROLLBACK to the last checkpoint and begin again from there
"""

from __future__ import annotations

import tensorflow as tf

from flowrate.errors import DiskError, DivergedError, Preempted
from flowrate.failpoint import reach
from trainer import divergence, saving
from trainer.engine.results import StepResults
from trainer.plan import Segment
from trainer.run import TrainingRun


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
            saving.save(run)  # The beginning, to have something to go back to.
        while True:
            try:
                _train_to_end(run)
                return
            except (DivergedError, tf.errors.InvalidArgumentError) as error:
                divergence.roll_back(run, error)  # Or raises it.
    except (Preempted, DivergedError, DiskError):
        raise
    except Exception:
        saving.save_if_sound(run)
        raise
    finally:
        run.saver.close()


def _train_to_end(run: TrainingRun) -> None:
    progress = run.state.progress
    if progress.evaluation_pending:
        _evaluate(run)
    for segment in run.plan.segments(start=progress.step):
        if run.is_out_of_patience or progress.step == run.end_step:
            break
        train_segment(run, segment)
        if progress.step == segment.last:
            _finish_segment(run, segment)
        if run.agreement:
            saving.save_and_wait(run)
            run.wait_for_all()  # None leaves before the checkpoint is whole.
            raise saving.preempted(run, run.agreement.reason)
    saving.save_and_wait(run)
    if run.is_out_of_patience:
        run.take_back_best()


def train_segment(run: TrainingRun, segment: Segment) -> None:
    """Trains the steps of a segment, unless a signal comes; counts, times and logs them.

    Saves that are due by the clock fall between its calls; what is due after the last one is for
    _finish_segment.

    Raises:
        DivergedError: a step went wrong; those before it are logged.
    """
    for results in run.engine.run(segment):
        run.count(results)
        with run.clock.phase("log"):
            _log(run, results.finite_part())
        if not results.is_finite:
            raise divergence.describe(run, results)
        saving.log_finished(run)
        if results.last < segment.last:  # Else something is due; see _finish_segment.
            run.resumable_step = results.last
        if run.agreement:
            return
        if results.last < segment.last and run.agreement.take_save():
            saving.save(run)


def _log(run: TrainingRun, results: StepResults) -> None:
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
    progress.evaluation_pending, progress.before_end = segment.evaluate, None
    if segment.only_at_end:
        saving.wait(run)  # A longer run needs the best so far, be it held in memory.
        progress.begin_end()
    run.resumable_step = progress.step
    is_best = segment.evaluate and _evaluate(run)
    if run.agreement:
        return
    by_step = run.plan.checkpoint_every_steps > 0
    if run.agreement.take_save() or segment.checkpoint or (by_step and is_best):
        saving.save(run)
    elif is_best:
        saving.hold_best(run)


def _evaluate(run: TrainingRun) -> bool:
    """Evaluates, records, and returns whether it is the best so far; a signal breaks it off."""
    progress, split = run.state.progress, run.evaluation_split
    with run.clock.phase("evaluate"), saving.saved_meanwhile(run):
        reach("evaluate")
        found = run.evaluator(run.sources[split], run.agreement)
    if found is None:
        return False
    evaluation = {"step": progress.step, "split": split, **found}
    run.writer.evaluation(evaluation)
    return progress.add_evaluation(evaluation)
