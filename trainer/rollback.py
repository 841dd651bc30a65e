"""`--on_divergence=rollback`: back to the last checkpoint, and on with half the learning rate.

The examples of each step and their order stay what they were. How often it was done is part of the
progress, so a run that is killed and goes on rolls back where an undisturbed one does.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from flowrate.errors import DivergedError, FlowrateError
from trainer.divergence import ADVICE

if TYPE_CHECKING:
    from trainer.loop import TrainingRun


def roll_back(run: TrainingRun, error: DivergedError) -> None:
    """Takes the run back to its last checkpoint; all workers do so together.

    Raises:
        DivergedError: `error`, where the flags say to stop, now or after so many times.
        RunDirError: no checkpoint is whole.
    """
    if run.config.on_divergence != "rollback":
        raise error
    diverged = run.state.progress
    times = diverged.num_rollbacks + 1
    if times > run.config.max_rollbacks:
        raise DivergedError(
            f"{error} The learning rate was halved --max_rollbacks={run.config.max_rollbacks} "
            "times already."
        ) from None
    with contextlib.suppress(FlowrateError):  # What could not be saved is not gone back to.
        run.saver.finish()
    run.saver.forget()
    checkpoint = run.run_dir.go_back(diverged.num_rollbacks, run.plan.total_steps)
    if run.team:
        checkpoint = run.team.checkpoint_of_chief(checkpoint)
    if checkpoint is None:
        raise error
    progress = dataclasses.replace(checkpoint.progress, num_rollbacks=times)
    run.state.restore(dataclasses.replace(checkpoint, progress=progress))
    run.schedule.halve(times)
    run.engine.start_from(progress.step)
    run.saved_step, run.last_loss = progress.step, None
    run.writer.rollback(
        {
            "step": progress.step,
            "number": times,
            "diverged_after_step": diverged.step,
            "learning_rate_factor": run.schedule.factor,
        },
        reason=str(error).removesuffix(ADVICE).rstrip(),
    )
