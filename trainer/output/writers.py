"""Everything a run says, in one place: metrics.jsonl, TensorBoard and the console.

None of it is worth a run: where the disk takes no more, rows of metrics.jsonl wait in memory,
TensorBoard is given up, and training goes on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from flowrate.errors import DiskError
from trainer.checkpoints.background import Saved
from trainer.config import TrainConfig
from trainer.engine.results import StepResults
from trainer.output.console import Console, describe_evaluation, describe_logged_steps
from trainer.output.tensorboard import TensorBoardWriter
from trainer.plan import TrainPlan
from trainer.run_dir.folder import RunDir


class RunWriter:
    """Writes rows to all three; the records of a run go through here alone.

    Args:
        run_dir: where metrics.jsonl and the TensorBoard folder lie.
        plan: of the run.
        console: for the user.
        step: where this process starts.
    """

    def __init__(self, run_dir: RunDir, plan: TrainPlan, console: Console, step: int):
        self._metrics = _MetricsFile(run_dir, console.say)
        self._plan = plan
        self._console = console
        self._tensorboard: TensorBoardWriter | None = TensorBoardWriter(
            run_dir.path / "tensorboard", step
        )
        self._speed = _Speed(plan.global_batch_size)
        self._logged: list[dict[str, Any]] = []

    def describe(
        self, config: TrainConfig, model: keras.Model, image_shape: tuple[int, int, int]
    ) -> None:
        """Writes what TensorBoard shows beside the curves."""
        self._show(lambda tensorboard: tensorboard.describe(config, model, image_shape))

    def images(self, images: np.ndarray, step: int) -> None:
        """Writes sample images, uint8 [N, height, width, channels]."""
        self._show(lambda tensorboard: tensorboard.images(images, step))

    def called(self, results: StepResults, means: dict[str, float]) -> None:
        """Takes note of one compiled call: for the bar, and for the speed of the next row."""
        self._speed.add(results)
        self._console.move_bar(
            results.last, means["loss"], means["accuracy"], self._speed.examples_per_second() or 0
        )

    def log(self, step: int, means: dict[str, float], learning_rate: float) -> None:
        """Makes a `train` row: means since the last one, and the speed without warm-up."""
        row = {
            "step": step,
            "epoch": self._plan.epochs_at(step),
            **means,
            "learning_rate": learning_rate,
            "steps_per_second": self._speed.steps_per_second(),
            "examples_per_second": self._speed.examples_per_second(),
            "warmup": self._speed.holds_warmup,
        }
        self._logged.append(row)
        self._speed = _Speed(self._plan.global_batch_size)

    def write_logged(self) -> None:
        """Writes the `train` rows made since the last time: all at once, of which the user sees
        the last. A fast run makes hundreds a second.
        """
        if not self._logged:
            return
        rows, self._logged = self._logged, []
        self._metrics.append("train", *rows)
        self._show(lambda tensorboard: tensorboard.scalars("train", *rows))
        self._console.say(describe_logged_steps(rows[-1], self._plan.total_steps))

    def evaluation(self, evaluation: dict[str, Any]) -> None:
        """Writes an `evaluation` row."""
        row = {**evaluation, "epoch": self._plan.epochs_at(evaluation["step"])}
        self._metrics.append("evaluation", row)
        self._show(lambda tensorboard: tensorboard.scalars(row["split"], row))
        self._console.say(describe_evaluation(row, self._plan.total_steps))

    def checkpoints(self, saved: list[Saved]) -> None:
        """Writes a `checkpoint` row for each."""
        self._metrics.append("checkpoint", *(dataclasses.asdict(each) for each in saved))
        self._show(TensorBoardWriter.flush)

    def rollback(self, row: dict[str, Any], reason: str) -> None:
        """Writes a `rollback` row, and takes back what was shown of later steps."""
        self._metrics.append("rollback", row)
        self._show(lambda tensorboard: tensorboard.go_back(row["step"]))
        self._speed = _Speed(self._plan.global_batch_size)
        self._console.say(
            f"{reason} Back to step {row['step']:,}, with {row['learning_rate_factor']:g} of the "
            f"learning rate (rollback {row['number']})."
        )

    def pictures(self, pictures: Mapping[str, bytes], step: int) -> None:
        """Writes pictures of the report, PNGs by name."""
        self._show(lambda tensorboard: tensorboard.pictures(pictures, step))

    def warn(self, line: str) -> None:
        """Tells the user of what went wrong, and is not worth the run."""
        self._console.say(f"warning: {line}")

    def close(self) -> None:
        """Brings everything to the files."""
        self._console.stop_bar()
        self._metrics.close()
        self._show(TensorBoardWriter.flush)

    def _show(self, write: Callable[[TensorBoardWriter], None]) -> None:
        if self._tensorboard is None:
            return
        try:
            write(self._tensorboard)
        except (OSError, tf.errors.OpError) as error:
            self._tensorboard = None
            reason = (str(error).splitlines() or ["no reason given"])[0][:200]
            self._console.say(
                f"warning: TensorBoard's files cannot be written ({reason}); they end here, and "
                "training goes on."
            )


class _MetricsFile:
    """Appends rows to metrics.jsonl; those that it cannot write wait in memory."""

    def __init__(self, run_dir: RunDir, say: Callable[[str], None]):
        self._run_dir = run_dir
        self._say = say
        self._waiting: list[tuple[str, tuple[dict[str, Any], ...]]] = []
        self._has_failed = False

    def append(self, kind: str, *rows: dict[str, Any]) -> None:
        """Appends rows of one kind, after those that wait."""
        self._waiting.append((kind, rows))
        try:
            self._write()
        except DiskError as error:
            if not self._has_failed:
                self._say(
                    f"warning: {error} Its rows wait in memory until there is room; training goes "
                    "on."
                )
            self._has_failed = True

    def close(self) -> None:
        """Tries once more to write what waits, and says so where that is lost."""
        try:
            self._write()
        except DiskError as error:
            count = sum(len(rows) for _, rows in self._waiting)
            self._say(f"warning: {error} Its last {count} rows are lost.")

    def _write(self) -> None:
        while self._waiting:
            kind, rows = self._waiting[0]
            self._run_dir.append_metrics(kind, *rows)
            del self._waiting[0]


class _Speed:
    """Steps and seconds since the last row, without the calls in which something was compiled."""

    def __init__(self, global_batch_size: int):
        self._global_batch_size = global_batch_size
        self._num_steps = 0
        self._seconds = 0.0
        self.holds_warmup = False

    def add(self, results: StepResults) -> None:
        if results.is_warmup:
            self.holds_warmup = True
            return
        self._num_steps += results.num_steps
        self._seconds += results.seconds + results.input_wait_seconds

    def steps_per_second(self) -> float | None:
        return self._num_steps / self._seconds if self._seconds else None

    def examples_per_second(self) -> float | None:
        speed = self.steps_per_second()
        return speed and speed * self._global_batch_size
