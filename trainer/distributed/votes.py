"""Agreement on what one worker alone knows and all must act on after the same step.

Each compiled call carries three figures of every worker into the sums of its steps: whether a
signal has come to it, how long its steps take, and whether it finds that a save is due. So all
learn of a signal at the end of the same call, cut the next call alike, and save after the same
step. With one worker there is nothing to agree on.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flowrate.signals import StopRequest


class Agreement:
    """What the workers of a run have agreed on; true once they have agreed to stop.

    Args:
        stop: knows the signals that came to this process.
        num_workers: that take part.
        is_save_due: tells whether this process, which saves, finds that a save is due.
    """

    def __init__(
        self,
        stop: StopRequest,
        num_workers: int = 1,
        is_save_due: Callable[[], bool] = lambda: False,
    ):
        self.num_workers = num_workers
        self.is_save_due = is_save_due
        self._stop = stop
        self._is_agreed = False
        self._save_agreed = False

    def __bool__(self) -> bool:
        return self._is_agreed if self.num_workers > 1 else bool(self._stop)

    @property
    def reason(self) -> str:
        """Why to stop, for the user."""
        return self._stop.signal_name or "a signal to another worker"

    def take_save(self) -> bool:
        """Returns whether to save now, since the last call; true once for each agreement."""
        if self.num_workers == 1:
            return self.is_save_due()
        is_agreed, self._save_agreed = self._save_agreed, False
        return is_agreed

    def ballot(self, seconds_per_step: float = 0.0) -> np.ndarray:
        """Returns this worker's figures for the others, float32 [3]; [0] where there are none."""
        if self.num_workers == 1:
            return np.zeros(0, np.float32)
        told = [float(bool(self._stop)), seconds_per_step, float(self.is_save_due())]
        return np.array(told, np.float32)

    def count(self, sums: np.ndarray) -> float | None:
        """Takes in the sums of all ballots; returns the mean of their seconds per step, if any."""
        if not sums.size:
            return None
        self._is_agreed = self._is_agreed or bool(sums[0] > 0)
        self._save_agreed = self._save_agreed or bool(sums[2] > 0)
        return float(sums[1]) / self.num_workers
