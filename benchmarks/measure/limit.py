"""The limit a run is held against: its own compiled step, on data that is on the device already.

No input, no log, no evaluation. It is measured in the process of the run, right before and right
after, on the run's own state, which is put back.
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np

from trainer.checkpoints.store import Checkpoint
from trainer.run import TrainingRun

_SECONDS = 1.5
_SECONDS_PER_CALL = 0.3


@dataclasses.dataclass(frozen=True)
class Limit:
    """What was measured.

    Attributes:
        samples: (steps, seconds) of each call.
        compile_seconds: of the first call, where the step was not compiled yet; else of one step.
        seconds: the time this took, without the first call: a run would not have spent it.
    """

    samples: list[tuple[int, float]]
    compile_seconds: float
    seconds: float

    @property
    def steps_per_second(self) -> float:
        """The median over the calls."""
        return float(np.median([steps / seconds for steps, seconds in self.samples]))


def measure_limit(run: TrainingRun) -> Limit:
    """Measures the bare step of a run; leaves the run as it was."""
    engine, state = run.engine, run.state
    if not engine.batches.holds_block:
        engine.batches.wait()
    before = Checkpoint(
        {name: np.array(array) for name, array in state.to_arrays().items()}, state.progress
    )
    compile_seconds = engine.bare_call(1)
    started = time.perf_counter()
    steps = 1
    for _ in range(3):  # To a call long enough to be timed, from a look at shorter ones.
        per_step = engine.bare_call(steps) / steps
        steps = max(1, min(round(_SECONDS_PER_CALL / per_step), engine.batches.steps_per_block))
    samples: list[tuple[int, float]] = []
    while not samples or sum(seconds for _, seconds in samples) < _SECONDS or len(samples) < 3:
        samples.append((steps, engine.bare_call(steps)))
    state.restore(before)
    return Limit(samples, compile_seconds, time.perf_counter() - started)
