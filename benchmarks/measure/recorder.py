"""Times an engine from outside: what a step costs with everything around it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from benchmarks.statistics import warmup_is_over
from flowrate.environment import process_seconds
from trainer.engine.engine import StepEngine
from trainer.engine.results import StepResults
from trainer.plan import Segment


class Recorder:
    """Stands in for a run's engine and times its calls.

    A sample reaches from one call's return to the next one's: with the wait for examples and the
    loop's own work (sums, log lines), without evaluation and saving.

    Args:
        engine: what is timed.
        rate_seconds: for a measurement of the rate: count as warm-up all calls until the rate is
            stable (statistics.py), measure for so many seconds, then end the segment. Each call is
            followed by one of the bare step, as long: on a machine whose speed changes by the
            second, only neighbours can be compared. 0: for a run taken as a whole; the first call
            alone is warm-up, in which TensorFlow compiles or sets up its threads.
        agree: whether all workers hold for true what this one does; each asks at the same calls.

    Attributes:
        warmup: (steps, seconds) of the calls that are not counted.
        samples: the same of those after.
        bare_samples: the same of the bare step, one for each of the samples; see `rate_seconds`.
        seconds: of the samples, in all.
        exchange_seconds: of them, spent in the exchange with other workers.
        first_call_seconds: from the start of the process to the end of the first call.
    """

    def __init__(
        self,
        engine: StepEngine,
        rate_seconds: float = 0.0,
        agree: Callable[[bool], bool] = bool,
    ):
        self._engine = engine
        self._agree = agree
        self._rate_seconds = rate_seconds
        self.warmup: list[tuple[int, float]] = []
        self.samples: list[tuple[int, float]] = []
        self.bare_samples: list[tuple[int, float]] = []
        self.seconds = 0.0
        self.exchange_seconds = 0.0
        self.first_call_seconds: float | None = None
        self._is_warm = False

    def run(self, segment: Segment) -> Iterator[StepResults]:
        """Does what StepEngine.run does."""
        started = time.perf_counter()
        for results in self._engine.run(segment):
            self.first_call_seconds = self.first_call_seconds or process_seconds()
            yield results
            now = time.perf_counter()
            self._add(results, now - started)
            if self._rate_seconds and self.samples:
                bare_seconds = self._engine.bare_call(results.num_steps)
                self.bare_samples.append((results.num_steps, bare_seconds))
                if self._agree(self.seconds > self._rate_seconds):
                    return
            started = time.perf_counter() if self._rate_seconds else now

    def steps_per_second(self) -> float | None:
        """Returns all steps over all seconds since the warm-up; None where it never ended."""
        steps = sum(sample[0] for sample in self.samples)
        return steps / self.seconds if self.samples else None

    def __getattr__(self, name: str):
        return getattr(self._engine, name)

    def _add(self, results: StepResults, seconds: float) -> None:
        if self._is_warm:
            self.samples.append((results.num_steps, seconds))
            self.seconds += seconds
            self.exchange_seconds += results.exchange_seconds
            return
        self.warmup.append((results.num_steps, seconds))
        self._is_warm = not self._rate_seconds or self._agree(warmup_is_over(self.warmup))
