"""What a call of the step engine gives: figures of each step, and whether they are numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np


@dataclasses.dataclass(frozen=True)
class StepResults:
    """What one call gave.

    Attributes:
        first: the first of its steps, 1-based.
        metrics: float32 [steps, 4]: mean loss, number correct, and, of steps that are logged, the
            norm of the gradient and the learning rate, else 0.
        seconds: wall time of the call.
        input_wait_seconds: time spent waiting for its examples, before the call.
        exchange_seconds: of several workers, the time within the call from this worker's gradients
            being ready to the sum over all: the exchange, and the wait for the slowest.
        is_warmup: tracing and compiling fell into this call.
        has_finite_state: whether weights and optimizer hold finite numbers after the last step.
    """

    first: int
    metrics: np.ndarray
    seconds: float
    input_wait_seconds: float
    is_warmup: bool
    exchange_seconds: float = 0.0
    has_finite_state: bool = True

    @property
    def num_steps(self) -> int:
        return len(self.metrics)

    @property
    def last(self) -> int:
        return self.first + self.num_steps - 1

    @property
    def num_finite(self) -> int:
        """How many steps, from the first on, have a finite loss and gradient."""
        (bad,) = np.nonzero(~np.isfinite(self.metrics).all(axis=1))
        return int(bad[0]) if bad.size else self.num_steps

    @property
    def is_finite(self) -> bool:
        """Whether all that training gave is a finite number; else it must stop here."""
        return self.num_finite == self.num_steps and self.has_finite_state

    def finite_part(self) -> StepResults:
        """Returns the results of the steps that are finite; it may be that of none."""
        return self._part(0, self.num_finite)

    def cut(self, steps: Iterable[int]) -> Iterator[StepResults]:
        """Yields the results in pieces that end with each of these steps, and what is left over.

        The time of the call is shared out evenly: steps of one call are not timed one by one.
        """
        first = 0
        for last in sorted({*steps, self.last}) if self.num_steps else ():
            end = last - self.first + 1
            yield self._part(first, end)
            first = end

    def _part(self, start: int, end: int) -> StepResults:
        share = (end - start) / self.num_steps
        return dataclasses.replace(
            self,
            first=self.first + start,
            metrics=self.metrics[start:end],
            seconds=self.seconds * share,
            input_wait_seconds=self.input_wait_seconds * share,
            exchange_seconds=self.exchange_seconds * share,
        )
