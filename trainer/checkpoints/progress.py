"""Sums over steps that survive a restart: what the next log line and the epoch's figures need."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

# What an evaluation changes.
_JUDGED = ("evaluation", "best", "evaluations_since_best")


@dataclasses.dataclass
class Totals:
    """Sums of per-step values, added step by step; of the gradient's norm, the last.

    The order of the additions is that of the steps, however they were cut into calls, so the sums
    after a resume are the same to the last bit.
    """

    num_steps: int = 0
    num_examples: int = 0
    loss: float = 0.0
    num_correct: int = 0
    gradient_norm: float = 0.0

    def add(self, metrics: np.ndarray, global_batch_size: int) -> None:
        """Adds steps.

        Args:
            metrics: float32 [steps, 3 or more]: mean loss, number correct, norm of the gradient.
            global_batch_size: examples per step.
        """
        self.num_steps += len(metrics)
        self.num_examples += global_batch_size * len(metrics)
        self.loss = _add_in_order(self.loss, metrics[:, 0])
        self.num_correct += int(metrics[:, 1].astype(np.int64).sum())
        self.gradient_norm = float(metrics[-1, 2]) if len(metrics) else self.gradient_norm

    def means(self) -> dict[str, float]:
        """Returns mean loss, accuracy and the last step's norm; empty where no step was added."""
        if not self.num_steps:
            return {}
        return {
            "loss": self.loss / self.num_steps,
            "accuracy": self.num_correct / self.num_examples,
            "gradient_norm": self.gradient_norm,
        }


@dataclasses.dataclass
class Progress:
    """Where a run stands, beside its weights. Written into every checkpoint.

    Attributes:
        step: steps done.
        since_log: of the steps since the last log line, not counting one that was due only because
            the run ended.
        this_epoch: of the steps since the last end of an epoch.
        last_epoch: of the last whole epoch, or empty.
        evaluation: the last evaluation: {"step", "split", "accuracy", "loss"}, or None.
        evaluation_pending: an evaluation is due at `step` and not done yet.
        best: the best evaluation so far, or None.
        evaluations_since_best: evaluations since then.
        before_end: `evaluation`, `best` and `evaluations_since_best` before an evaluation that is
            due only because the run ends; None where there is no such evaluation.
        num_rollbacks: how often the run went back to a checkpoint with half the learning rate.
        weights: what the run started from (initial_weights.take_over), or None: random weights.
        counted_seconds: wall time of the training that led here; see PhaseClock.
    """

    step: int = 0
    since_log: Totals = dataclasses.field(default_factory=Totals)
    this_epoch: Totals = dataclasses.field(default_factory=Totals)
    last_epoch: Totals = dataclasses.field(default_factory=Totals)
    evaluation: dict[str, Any] | None = None
    evaluation_pending: bool = False
    best: dict[str, Any] | None = None
    evaluations_since_best: int = 0
    before_end: dict[str, Any] | None = None
    num_rollbacks: int = 0
    weights: dict[str, Any] | None = None
    counted_seconds: float = 0.0

    def add_steps(self, metrics: np.ndarray, global_batch_size: int) -> None:
        """Adds steps; see Totals.add."""
        self.step += len(metrics)
        self.since_log.add(metrics, global_batch_size)
        self.this_epoch.add(metrics, global_batch_size)

    def start_log(self) -> None:
        """Starts the sums of a log line anew."""
        self.since_log = Totals()

    def end_epoch(self) -> None:
        """Starts the sums of an epoch anew."""
        self.last_epoch, self.this_epoch = self.this_epoch, Totals()

    def add_evaluation(self, evaluation: dict[str, Any]) -> bool:
        """Records an evaluation; returns whether it is the best so far (ties: lower loss)."""
        self.evaluation = evaluation
        self.evaluation_pending = False
        is_best = self.best is None or _quality(evaluation) > _quality(self.best)
        if is_best:
            self.best = evaluation
        self.evaluations_since_best = 0 if is_best else self.evaluations_since_best + 1
        return is_best

    def best_steps(self) -> set[int]:
        """Returns the steps of the best evaluations: so far, and before the end."""
        found = (self.best, self.before_end and self.before_end["best"])
        return {best["step"] for best in found if best}

    def begin_end(self) -> None:
        """Keeps what an evaluation changes that is due only because the run ends."""
        self.before_end = {name: getattr(self, name) for name in _JUDGED}

    def take_back_end(self) -> set[str]:
        """Takes back what was done only because the run ended here: it goes on.

        Returns:
            The kinds of rows of metrics.jsonl that were written at this step for the end.
        """
        kinds = {"train"} if self.since_log.num_steps else set()
        if self.before_end:
            kinds.add("evaluation")
            for name, value in self.before_end.items():
                setattr(self, name, value)
            self.evaluation_pending, self.before_end = False, None
        return kinds

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON-able dictionary; floats keep every bit."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Progress:
        """Reads what `to_json` gave."""
        totals = {name: Totals(**value[name]) for name in ("since_log", "this_epoch", "last_epoch")}
        return cls(**value | totals)


def _add_in_order(total: float, values: np.ndarray) -> float:
    """Returns total + values[0] + values[1] + ..., in float64, one after the other."""
    # np.sum would add in pairs, which depends on where the calls were cut.
    return float(np.add.accumulate(np.concatenate([[total], values.astype(np.float64)]))[-1])


def _quality(evaluation: dict[str, Any]) -> tuple[float, float]:
    return evaluation["accuracy"], -evaluation["loss"]
