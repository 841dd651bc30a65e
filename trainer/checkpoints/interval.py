"""How long to wait between saves: so long that they cost little, and no longer."""

from __future__ import annotations

import time
from collections.abc import Callable

SHORTEST_SECONDS = 10.0
# The most of a run's time that saves may cost it.
_SHARE = 0.03
# A disk that is slow is left alone for as long as a save keeps it busy.
_TIMES_AS_LONG = 2.0
# Said again only when it has become so much longer.
_LONGER = 1.5


class SaveInterval:
    """Tells when a save is due, by the clock; it adapts to what the last one took.

    Args:
        now: the time in seconds, from any start.

    Attributes:
        seconds: from the beginning of a save to that of the next.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic):
        self.seconds = SHORTEST_SECONDS
        self._now = now
        self._began_at: float | None = None
        self._told_seconds = SHORTEST_SECONDS

    def begin(self) -> None:
        """Takes note that a save begins."""
        self._began_at = self._now()

    def is_due(self) -> bool:
        """Returns whether the interval is over; the first one begins where this is first asked."""
        if self._began_at is None:
            self._began_at = self._now()
        return self._now() - self._began_at >= self.seconds

    def adapt(self, cost_seconds: float, save_seconds: float) -> str | None:
        """Takes what a save took, and returns a line for the user where they should know.

        Args:
            cost_seconds: that training lost to it.
            save_seconds: from its beginning to its end, beside training.
        """
        before = self.seconds
        self.seconds = max(SHORTEST_SECONDS, cost_seconds / _SHARE, save_seconds * _TIMES_AS_LONG)
        if self.seconds < _LONGER * self._told_seconds:
            return None
        self._told_seconds = self.seconds
        if save_seconds > before:
            reason = f"a save took {save_seconds:.1f} s, longer than the interval of {before:.0f} s"
        else:
            reason = f"a save took {save_seconds:.1f} s and cost training {cost_seconds:.2f} s"
        return f"{reason}; interval raised to {self.seconds:.0f} s."
