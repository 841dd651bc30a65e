"""`python -m benchmarks.measure.workers_rate SECONDS CORES FLAGS`: trainer.main with its rate.

Each of several workers runs this, or one alone. All agree on when the rate is stable and when it
has been measured for long enough.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from benchmarks.machine.pinning import own_index, pin
from flowrate.records import write_json
from trainer import main as trainer_main

if TYPE_CHECKING:
    from benchmarks.measure.recorder import Recorder
    from trainer.engine.engine import StepEngine
    from trainer.run import TrainingRun

ANSWER = "rate.json"
# Far enough for any measurement; the engine is left long before.
ENDLESS = 1_000_000


def main(argv: Sequence[str]) -> int:
    """Trains until the rate is measured; returns the exit status of trainer.main."""
    seconds, num_cores, flags = float(argv[1]), int(argv[2]), argv[3:]
    pin(own_index(), num_cores)
    return trainer_main.main(
        ["trainer.main", f"--steps={ENDLESS}", *flags], train=functools.partial(_train, seconds)
    )


def _train(seconds: float, run: TrainingRun) -> None:
    from benchmarks.measure.recorder import Recorder
    from trainer import loop
    from trainer.plan import Segment

    recorder = Recorder(run.engine, seconds, agree=_agree(run))
    run.engine = cast("StepEngine", recorder)  # It has the same interface.
    try:
        loop.train_segment(
            run, Segment(1, ENDLESS, evaluate=False, checkpoint=False, ends_epoch=False)
        )
    finally:
        run.saver.close()
    if run.is_chief:
        sizes = {"gradient_bytes_per_step": _gradient_bytes(run)}
        answer = {**_rates(recorder), **sizes, "labels": _labels(run)}
        write_json(run.run_dir.path / ANSWER, answer)


def _agree(run: TrainingRun) -> Callable[[bool], bool]:
    """Returns the function: what this worker holds for true -> whether all do."""
    team = run.team
    if team is None:
        return bool

    def all_hold(mine: bool) -> bool:
        return team.sum(np.array([float(mine)]))[0] == team.cluster.num_workers

    return all_hold


def _rates(recorder: Recorder) -> dict[str, Any]:
    return {
        "steps_per_second": recorder.steps_per_second(),
        "warmup": recorder.warmup,
        "segments": recorder.samples,
        "limit_beside": recorder.bare_samples,
        "exchange_share": recorder.exchange_seconds / recorder.seconds,
    }


def _gradient_bytes(run: TrainingRun) -> int:
    """Returns how many bytes of gradients each worker sends in a step."""
    import tensorflow as tf

    shapes = [weight.shape for weight in run.state.model.trainable_variables]
    return tf.as_dtype(run.config.gradient_dtype).size * sum(map(math.prod, shapes))


def _labels(run: TrainingRun) -> dict[str, Any]:
    config = run.config
    return {
        "dataset": config.dataset,
        "model": config.model,
        "global_batch_size": config.global_batch_size,
        "precision": run.choices.precision,
        "jit": "on" if run.choices.jit else "off",
        "cache": run.choices.cache,
        "strategy": config.strategy,
        "num_replicas": run.state.strategy.num_replicas_in_sync,
        "num_workers": run.team.cluster.num_workers if run.team else 1,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv))
