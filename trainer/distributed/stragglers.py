"""Names the worker that all others wait for.

Workers train in step, so the slowest sets the pace of all, and wall time does not tell which it is.
What does is the time a step takes a worker without its wait for the others.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

# Less is the noise of a machine that others use too.
_RATIO = 2.0
# In a row, a second apart: not a moment's pause.
_LOOKS = 5
# Said again only when it has become so much worse.
_WORSE = 1.5


class StragglerWatch:
    """Looks at the pace of all workers again and again.

    Args:
        describe: the name of a worker.
        tell: takes a line for the user.
    """

    def __init__(self, describe: Callable[[int], str], tell: Callable[[str], None]):
        self._describe = describe
        self._tell = tell
        self._looks = 0
        self._slowest: int | None = None
        self._told: dict[int, float] = {}

    def look(self, busy_seconds_per_step: Mapping[int, float]) -> None:
        """Takes the seconds that each worker is busy with a step; who is not known is absent."""
        found = find_straggler(busy_seconds_per_step)
        if found is None or found[0] != self._slowest:
            self._slowest, self._looks = found[0] if found else None, 0
        if found is None:
            return
        self._looks += 1
        index, ratio = found
        if self._looks >= _LOOKS and ratio > _WORSE * self._told.get(index, 0.0):
            self._told[index] = ratio
            ms = 1000 * busy_seconds_per_step[index]
            self._tell(
                f"{self._describe(index)} is {ratio:.1f}x slower than the median of the others "
                f"({ms:.3g} ms of its own a step); all wait for it."
            )


def find_straggler(busy_seconds_per_step: Mapping[int, float]) -> tuple[int, float] | None:
    """Returns the slowest worker and its time over the others' median, if that is much.

    Args:
        busy_seconds_per_step: of each worker.
    """
    if len(busy_seconds_per_step) < 2:
        return None
    slowest = max(busy_seconds_per_step, key=lambda index: busy_seconds_per_step[index])
    median = statistics.median(
        seconds for index, seconds in busy_seconds_per_step.items() if index != slowest
    )
    ratio = busy_seconds_per_step[slowest] / median if median > 0 else 0.0
    return (slowest, ratio) if ratio > _RATIO else None
