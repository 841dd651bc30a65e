"""Measures the time until a run's evaluation first reaches a target accuracy."""

from __future__ import annotations

from typing import Any, cast

from benchmarks.measure.training import begin
from flowrate.environment import process_seconds
from trainer import loop
from trainer.config import TrainConfig
from trainer.engine.evaluator import Evaluator


class _Reached(Exception):  # noqa: N818 (an outcome, not an error)
    """The target is reached; there is nothing left to train for."""


class _Watch:
    """Stands in for a run's evaluator; notes when each evaluation was done."""

    def __init__(self, evaluator: Evaluator, target: float):
        self._evaluator = evaluator
        self._target = target
        self.accuracies: list[tuple[float, float]] = []

    def __call__(self, *args, **options):
        found = self._evaluator(*args, **options)
        self.accuracies.append((process_seconds(), found["accuracy"]))
        if found["accuracy"] >= self._target:
            raise _Reached
        return found


def measure_time_to_target(flags: dict[str, Any], seconds: float, target: float) -> dict[str, Any]:
    """Trains until an evaluation reaches the target, or to the end.

    Returns:
        metrics and labels of a row: reached_target (0 or 1), seconds_to_target from the start of
        the process, only where it was reached; and the best test_accuracy.
    """
    config = TrainConfig(**flags)
    run, data = begin(config)
    watch = _Watch(run.evaluator, target)
    run.evaluator = cast(Evaluator, watch)  # It has the same interface.
    metrics: dict[str, float] = {"reached_target": 0}
    try:
        loop.train(run)
    except _Reached:
        metrics = {"reached_target": 1, "seconds_to_target": watch.accuracies[-1][0]}
    run.writer.close()
    metrics["test_accuracy"] = max(accuracy for _, accuracy in watch.accuracies)
    metrics["steps"] = run.state.progress.step
    return {
        "metrics": metrics,
        "labels": {
            "dataset": config.dataset, "model": data.model, "target": target,
            "epochs": config.epochs, "global_batch_size": config.global_batch_size,
            "augmentation": config.augmentation, "precision": run.choices.precision,
        },
        "samples": {"evaluations": watch.accuracies},
        "phases": dict(run.clock.seconds),
    }  # fmt: skip
