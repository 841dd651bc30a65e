"""Bars that are held against each other: `bars_of` of pictures.html.jinja shows them.

Plain HTML and SVG of a page: no matplotlib, and as wide as there is room.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

# Beyond this ratio the small bars would vanish: points on a logarithmic axis take their place,
# where a bar's length would mean nothing.
LOG_FROM = 30
# In per cent of the width: no end lies on the edge.
_ROOM = 1.5


@dataclasses.dataclass(frozen=True)
class Bar:
    """One figure, or what it is made of.

    Attributes:
        label: its name.
        text: the figure as it is read; in place of one, why there is none.
        parts: (value, colour) side by side from 0 on; a plain bar has one, a missing one none.
        interval: the ends of a line through the bar's end.
        mark: where a line goes across, such as a limit.
    """

    label: str
    text: str
    parts: tuple[tuple[float, str], ...] = ()
    interval: tuple[float, float] | None = None
    mark: float | None = None

    @property
    def value(self) -> float:
        return sum(value for value, _ in self.parts)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A bar as the page draws it: places and widths in per cent of the row."""

    bar: Bar
    parts: tuple[tuple[float, float, str], ...]
    interval: tuple[float, float] | None
    mark: float | None


@dataclasses.dataclass(frozen=True)
class Bars:
    """Bars over one axis."""

    title: str
    bars: tuple[Bar, ...]

    @property
    def is_log(self) -> bool:
        ends = self._ends()
        is_plain = all(len(bar.parts) < 2 for bar in self.bars)
        return is_plain and bool(ends) and 0 < LOG_FROM * min(ends) < max(ends)

    def drawn(self) -> Iterator[Drawn]:
        """Yields the bars with their places."""
        for bar in self.bars:
            parts, left = [], 0.0
            for value, color in bar.parts:
                start = self._place(value if self.is_log else left)
                parts.append((start, self._place(left + value) - start, color))
                left += value
            interval = None
            if bar.interval:
                low, high = bar.interval
                interval = self._place(low), self._place(high)
            yield Drawn(
                bar,
                tuple(parts),
                interval,
                None if bar.mark is None else self._place(bar.mark),
            )

    def _place(self, value: float) -> float:
        ends = self._ends()
        if not self.is_log:
            return round((100 - _ROOM) * value / (max(ends, default=0) or 1), 2)
        share = math.log(value / min(ends)) / math.log(max(ends) / min(ends))
        return round(_ROOM + (100 - 2 * _ROOM) * share, 2)

    def _ends(self) -> list[float]:
        found = []
        for bar in self.bars:
            found += [bar.value] if bar.parts else []
            found += bar.interval or ()
            found += [] if bar.mark is None else [bar.mark]
        return found
