"""Training that went wrong: at which step, on which examples, and how it had gone until then."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from flowrate.errors import DiskError, DivergedError
from flowrate.records import iterate_json_lines, write_json
from flowrate.text import printable
from input_pipelines.balanced_order import Classes
from input_pipelines.order import example_indices
from input_pipelines.source import FileSource, Source
from trainer.config import TrainConfig
from trainer.engine.number_checks import bad_operation
from trainer.engine.results import StepResults

if TYPE_CHECKING:
    from trainer.loop import TrainingRun

SCHEMA_VERSION = 1
_NUM_NAMED = 3
# The columns of StepResults.metrics.
_FIGURES = ("loss", "number of correct answers", "gradient", "learning rate")
ADVICE = "Lower --learning_rate, or set --gradient_clip_norm=1."


def describe(run: TrainingRun, results: StepResults) -> DivergedError:
    """Returns the error that results which are not finite stand for.

    It is also noted in divergence.json (docs/records.md), with all of the batch's examples.
    """
    if results.num_finite == results.num_steps:
        return _of_state(run, results.last)
    figures = results.metrics[results.num_finite]
    what = _FIGURES[int(np.flatnonzero(~np.isfinite(figures))[0])]
    return _of_step(
        run, results.first + results.num_finite, what, f"the {what} is not finite at step"
    )


def _of_step(run: TrainingRun, step: int, what: str, said: str) -> DivergedError:
    examples = example_names(run.examples, step, run.config)
    _note(run, {"step": step, "what": what, "examples": examples})
    before = f" (step {step - 1}: {run.last_loss:.4g})" if run.last_loss is not None else ""
    return DivergedError(
        f"{said} {step}{before}. Its batch: {_some(examples)}. {_kept(run)}{ADVICE}"
    )


def as_diverged(run: TrainingRun, error: Exception) -> DivergedError:
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
        f"{_kept(run)}{ADVICE}"
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
