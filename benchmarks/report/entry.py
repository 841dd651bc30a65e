"""All repeats of one contender on one case, and what is said of them."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.records import PRIMARY_METRIC
from benchmarks.statistics import MedianInterval, RatioInterval, median_interval

# The contender every other is held against.
OURS = "flowrate"

Row = dict[str, Any]


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds; no deviation for a single seed."""

    mean: float
    deviation: float | None
    n: int


@dataclass(frozen=True)
class Entry:
    """All repeats of one contender on one case.

    Attributes:
        rows: the repeats, in their order, of every status.
        speed_ratio: how many times as fast ours is; above 1 ours is ahead, also where the suite
            measures a time. None for ours itself and where a side has no figure.
    """

    suite: str
    case: str
    contender: str
    rows: tuple[Row, ...]
    speed_ratio: RatioInterval | None = None

    @property
    def is_ours(self) -> bool:
        return self.contender == OURS

    @property
    def labels(self) -> dict[str, Any]:
        return self.rows[-1]["labels"]

    @property
    def good_rows(self) -> list[Row]:
        return [row for row in self.rows if row["status"] == "ok"]

    @property
    def other_rows(self) -> list[Row]:
        """The repeats that gave no figures: failed, out of memory, skipped."""
        return [row for row in self.rows if row["status"] != "ok"]

    @property
    def noisy_rows(self) -> list[Row]:
        return [row for row in self.good_rows if row["health"].get("noisy")]

    @property
    def primary(self) -> MedianInterval | None:
        return self.median(PRIMARY_METRIC[self.suite])

    @property
    def accuracy(self) -> Spread | None:
        return _over_seeds(self.good_rows, "test_accuracy")

    @property
    def verdict(self) -> dict[str, Any] | None:
        """What most repeats found, in the words of the last of them."""
        found = [row["verdict"] for row in self.good_rows if row["verdict"]]
        if not found:
            return None
        bound, _ = Counter(verdict.get("bound") for verdict in found).most_common(1)[0]
        return [verdict for verdict in found if verdict.get("bound") == bound][-1]

    def values(self, metric: str) -> tuple[float, ...]:
        """Returns what the good repeats measured; a repeat that did not measure it is left out."""
        if metric == "wall_seconds":
            # A peer that ran a part of the work (peer_runs.py) has no time for the whole.
            return tuple(
                row["wall_seconds"]
                for row in self.good_rows
                if "max_steps_per_epoch" not in row["labels"]
            )
        return tuple(row["metrics"][metric] for row in self.good_rows if metric in row["metrics"])

    def median(self, metric: str) -> MedianInterval | None:
        """Returns the median over the repeats with its interval; None if never measured."""
        return _median(self.values(metric))

    def phases(self) -> dict[str, float]:
        """Returns median seconds by phase, with the rest of the wall time as `other`."""
        rows = [row for row in self.good_rows if row["phases"]]
        names = dict.fromkeys(name for row in rows for name in row["phases"])
        phases = {
            name: float(np.median([row["phases"].get(name) or 0.0 for row in rows]))
            for name in names
        }
        if rows:
            rest = float(np.median([row["wall_seconds"] for row in rows])) - sum(phases.values())
            phases["other"] = max(0.0, rest)
        return phases


def usable(values: Sequence[float]) -> bool:
    return bool(values) and all(value > 0 for value in values)


@functools.cache
def _median(values: tuple[float, ...]) -> MedianInterval | None:
    if not values:
        return None
    if usable(values):
        return median_interval(values)
    # A count or a share may be zero; the bootstrap of rates has no place there.
    return MedianInterval(float(np.median(values)), None, None, len(values))


def _over_seeds(rows: Sequence[Row], metric: str) -> Spread | None:
    """Repeats with one seed are one sample: their mean counts."""
    by_seed: dict[int, list[float]] = {}
    for row in rows:
        if metric in row["metrics"]:
            by_seed.setdefault(row["seed"], []).append(row["metrics"][metric])
    if not by_seed:
        return None
    means = [math.fsum(values) / len(values) for values in by_seed.values()]
    deviation = float(np.std(means, ddof=1)) if len(means) > 1 else None
    return Spread(float(np.mean(means)), deviation, len(means))
