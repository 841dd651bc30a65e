"""Training that went wrong: at which step, on which examples; and back to the last checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
from typing import Any

import numpy as np
import tensorflow as tf

from flowrate.errors import DiskError, DivergedError
from flowrate.records import iterate_json_lines, write_json
from flowrate.text import printable
from input_pipelines.balanced_order import Classes
from input_pipelines.order import example_indices
from input_pipelines.source import FileSource, Source
from trainer import saving
from trainer.config import TrainConfig
from trainer.engine.results import StepResults
from trainer.run import TrainingRun

SCHEMA_VERSION = 1
_NUM_NAMED = 3
# The columns of StepResults.metrics.
_FIGURES = ("loss", "number of correct answers", "gradient", "learning rate")
_ADVICE = "Lower --learning_rate, or set --gradient_clip_norm=1."
# How TensorFlow 2.21 names the check of --debug_nan behind an operation (tf.debugging.
# enable_check_numerics), and what was wrong with its output. The operation's name tells the layer:
# while/mlp/dense_1/MatMul.
_IS_CHECK = "CheckNumerics"
_NODE = re.compile(r"\{\{node ([^}]+?)/CheckNumericsV2(?:_\d+)?\}\}")
_VALUES = re.compile(r"Tensor had ([^\n]*?) values")
_LOOP = re.compile(r"^(while/|body/)+")


def describe(run: TrainingRun, results: StepResults) -> DivergedError:
    """Returns the error that results which are not finite stand for.

    It is also noted in divergence.json (docs/records.md), with all of the batch's examples.
    """
    saving.wait_if_possible(run)
    if results.num_finite == results.num_steps:
        return _of_state(run, results.last)
    figures = results.metrics[results.num_finite]
    what = _FIGURES[int(np.flatnonzero(~np.isfinite(figures))[0])]
    return _of_step(
        run, results.first + results.num_finite, what, f"the {what} is not finite at step"
    )


def roll_back(run: TrainingRun, error: Exception) -> None:
    """Takes the run back to its last checkpoint, with half the learning rate.

    All workers do so together. The examples of each step and their order stay what they were. How
    often it was done is part of the progress, so that a run that is killed and resumed rolls back
    where an undisturbed one does.

    Raises:
        DivergedError: where the flags say to stop, now or after so many times.
        Exception: `error`, where it is no divergence.
        RunDirError: no checkpoint is whole.
    """
    error = _as_diverged(run, error)
    if run.config.on_divergence != "rollback":
        raise error
    diverged = run.state.progress
    times = diverged.num_rollbacks + 1
    if times > run.config.max_rollbacks:
        raise DivergedError(
            f"{error} The learning rate was halved --max_rollbacks={run.config.max_rollbacks} "
            "times already."
        ) from None
    saving.wait_if_possible(run)  # What could not be saved is not gone back to.
    run.saver.forget()
    checkpoint = run.of_chief(run.run_dir.go_back(diverged.num_rollbacks, run.plan.total_steps))
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
        reason=str(error).removesuffix(_ADVICE).rstrip(),
    )


def _of_step(run: TrainingRun, step: int, what: str, said: str) -> DivergedError:
    examples = example_names(run.examples, step, run.config)
    _note(run, {"step": step, "what": what, "examples": examples})
    before = f" (step {step - 1}: {run.last_loss:.4g})" if run.last_loss is not None else ""
    return DivergedError(
        f"{said} {step}{before}. Its batch: {_some(examples)}. {_kept(run)}{_ADVICE}"
    )


def _as_diverged(run: TrainingRun, error: Exception) -> DivergedError:
    """Returns the error as it is, or what one of the checks of --debug_nan stands for.

    Raises:
        Exception: `error`, where it is neither.
    """
    if isinstance(error, DivergedError):
        return error
    operation = bad_operation(error)
    if operation is None:
        raise error
    # Each call is of one step, and this one has not come to its end.
    return _of_step(
        run, run.state.progress.step + 1, operation, f"the operation {operation} at step"
    )


def bad_operation(error: Exception) -> str | None:
    """Returns, in words, the operation that an error is about; None where it is no such error."""
    text = str(error)
    node = _NODE.search(text)
    if not isinstance(error, tf.errors.InvalidArgumentError) or _IS_CHECK not in text or not node:
        return None
    values = _VALUES.search(text)
    return (
        f"{_LOOP.sub('', node[1])} gives {values[1] if values else 'a number that is not finite'}"
    )


def example_names(source: Source, step: int, config: TrainConfig) -> list[str]:
    """Returns the examples of a step (1-based), in their order: paths, or `train[12345]`."""
    last = step * config.global_batch_size
    indices = example_indices(
        last - config.global_batch_size, last, len(source), config.seed,
        Classes.of(source.labels) if config.balance else None,
    )  # fmt: skip
    if isinstance(source, FileSource):
        return [printable(source.paths[index]) for index in indices]
    return [f"train[{index}]" for index in indices]


def _of_state(run: TrainingRun, step: int) -> DivergedError:
    names = [
        name
        for name, array in run.state.to_arrays().items()
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all()
    ]
    _note(run, {"step": step, "what": "state", "variables": names})
    return DivergedError(
        f"a weight or the optimizer's state is not finite after step {step}: {_some(names)}. "
        f"{_kept(run)}{_ADVICE}"
    )


def _note(run: TrainingRun, found: dict[str, Any]) -> None:
    """Writes divergence.json; a full disk is no reason to say less of the divergence."""
    if not run.is_chief:
        return
    learning_rate = float(run.schedule(tf.constant(found["step"] - 1, tf.int64)))
    last_log_line = None
    for row in iterate_json_lines(run.run_dir.metrics_path):
        last_log_line = row if row["kind"] == "train" else last_log_line
    noted = {
        "schema_version": SCHEMA_VERSION,
        **found,
        "last_finite_loss": run.last_loss,
        "learning_rate": learning_rate if math.isfinite(learning_rate) else None,
        "last_log_line": last_log_line,
    }
    run.run_dir.check_still_held()
    with contextlib.suppress(DiskError):
        write_json(run.run_dir.path / "divergence.json", noted)


def _kept(run: TrainingRun) -> str:
    if not run.is_chief:  # Who knows what the chief is about to save.
        return ""
    steps = run.run_dir.checkpoints.steps()
    return f"ckpt-{steps[-1]:08d} is kept. " if steps else "There is no checkpoint yet. "


def _some(names: list[str]) -> str:
    more = len(names) - _NUM_NAMED
    rest = f" and {more} more in divergence.json" if more > 0 else ""
    return ", ".join(names[:_NUM_NAMED]) + rest
