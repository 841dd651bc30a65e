"""Images that stand out by their brightness: the darkest, the brightest, those of one colour."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from input_pipelines.inspect.example import Example, Naming
from input_pipelines.inspect.pixels import UNSEEN, PixelStatistics

_NUM_EXTREMES = 6


@dataclasses.dataclass(frozen=True)
class Extremes:
    """Examples to look at, each with its mean level; JSON names them.

    Attributes:
        darkest, brightest: the most extreme first.
        blank: all whose pixels are one colour.
    """

    darkest: list[tuple[Example, float]]
    brightest: list[tuple[Example, float]]
    blank: list[tuple[Example, float]]

    def to_json(self, naming: Naming) -> dict[str, Any]:
        """Returns it JSON-able."""
        return {
            name: [
                {**naming.to_json(example), "brightness": level}
                for example, level in getattr(self, name)
            ]
            for name in ("darkest", "brightest", "blank")
        }


def find_extremes(statistics: PixelStatistics) -> Extremes:
    """Finds them; of equally bright images, the first."""
    levels, examples = [], []
    for split, values in statistics.brightness.items():
        seen = np.flatnonzero(values != UNSEEN)
        levels.append(values[seen])
        examples += [(split, int(index)) for index in seen]
    all_levels = np.concatenate(levels)
    upward = np.argsort(all_levels, kind="stable")[:_NUM_EXTREMES]
    downward = np.argsort(-all_levels, kind="stable")[:_NUM_EXTREMES]

    def named(places: np.ndarray) -> list[tuple[Example, float]]:
        return [(Example(*examples[place]), float(all_levels[place])) for place in places]

    blank = [
        (Example(split, int(index)), float(statistics.brightness[split][index]))
        for split, flags in statistics.constant.items()
        for index in np.flatnonzero(flags)
    ]
    return Extremes(named(upward), named(downward), blank)
