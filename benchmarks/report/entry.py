"""All repeats of one contender on one case, and what is said of them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.case import OURS
from benchmarks.records import Records, Row, group_repeats, primary_metric
from benchmarks.statistics import Difference, MedianInterval, compare, median_interval
from benchmarks.suites import SUITES


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean and standard deviation over seeds; no deviation for a single seed."""

    mean: float
    deviation: float | None
    n: int


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """All repeats of one contender on one case: `rows`, of every status, in their order."""

    suite: str
    case: str
    contender: str
    rows: tuple[Row, ...]

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
    def noisy_rows(self) -> list[Row]:
        return [row for row in self.good_rows if row["health"].get("noisy")]

    @property
    def _whole_rows(self) -> list[Row]:
        """A peer that ran a part of the work has no time for the whole."""
        return [row for row in self.good_rows if "max_steps_per_epoch" not in row["labels"]]

    @property
    def primary(self) -> MedianInterval | None:
        return self.median(primary_metric(self.suite).name)

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
            return tuple(row["wall_seconds"] for row in self._whole_rows)
        return tuple(row["metrics"][metric] for row in self.good_rows if metric in row["metrics"])

    def median(self, metric: str) -> MedianInterval | None:
        """Returns the median over the repeats with its interval; None if never measured."""
        return _median(self.values(metric))

    def over_seeds(self, metric: str) -> Spread | None:
        """Returns mean and deviation; repeats with one seed are one sample, their mean."""
        by_seed: dict[int, list[float]] = {}
        for row in self.good_rows:
            if metric in row["metrics"]:
                by_seed.setdefault(row["seed"], []).append(row["metrics"][metric])
        if not by_seed:
            return None
        means = [math.fsum(values) / len(values) for values in by_seed.values()]
        deviation = float(np.std(means, ddof=1)) if len(means) > 1 else None
        return Spread(float(np.mean(means)), deviation, len(means))

    def phases(self) -> dict[str, float]:
        """Returns median seconds by phase, with the rest of the wall time as `other`."""
        rows = [row for row in self._whole_rows if row["phases"]]
        names = dict.fromkeys(name for row in rows for name in row["phases"])
        phases = {
            name: float(np.median([row["phases"].get(name) or 0.0 for row in rows]))
            for name in names
        }
        if rows:
            rest = float(np.median([row["wall_seconds"] for row in rows])) - sum(phases.values())
            phases["other"] = max(0.0, rest)
        return phases


Ratios = dict[Entry, Difference]


@dataclasses.dataclass(frozen=True)
class SuiteEntries:
    """What a results folder has of one suite.

    Attributes:
        name: of the suite.
        suite: its module.
        entries: by case, as first met; ours first in each.
        ratios: each entry's ratio to what it is held against, where both have figures.
    """

    name: str
    suite: ModuleType
    entries: list[Entry]
    ratios: Ratios

    @property
    def has_peers(self) -> bool:
        return len({entry.contender for entry in self.entries}) > 1


def suites_of(records: Records) -> list[SuiteEntries]:
    """Returns the suites of a folder in the order in which they were first measured."""
    groups = group_repeats(records.rows)
    found = []
    for name in dict.fromkeys(suite for suite, _, _ in groups):
        keys = [key for key in groups if key[0] == name]
        cases = list(dict.fromkeys(key[1] for key in keys))
        keys.sort(key=lambda key: (cases.index(key[1]), key[2] != OURS))
        entries = [Entry(*key, tuple(groups[key])) for key in keys]
        suite, _ = SUITES.load(name)
        ratios = suite.ratios(entries) if hasattr(suite, "ratios") else ratios_to_ours(entries)
        found.append(SuiteEntries(name, suite, entries, ratios))
    return found


def ratios_to_ours(entries: Sequence[Entry]) -> Ratios:
    """Returns how many times as fast ours is as each peer, by the suite's primary metric."""
    ours = {entry.case: entry for entry in entries if entry.is_ours}
    found = {}
    for entry in entries:
        metric = primary_metric(entry.suite)
        if entry.is_ours or entry.case not in ours:
            continue
        a, b = ours[entry.case].values(metric.name), entry.values(metric.name)
        if usable(a) and usable(b):
            # Of times theirs over ours: the interval, symmetric in logarithms, only swaps.
            found[entry] = compare(a, b) if metric.is_lower_better else compare(b, a)
    return found


def usable(values: Sequence[float]) -> bool:
    """Tells whether ratios of the values can be taken."""
    return bool(values) and all(value > 0 for value in values)


@functools.cache
def _median(values: tuple[float, ...]) -> MedianInterval | None:
    if not values:
        return None
    if usable(values):
        return median_interval(values)
    # A count or a share may be zero; the bootstrap of rates has no place there.
    return MedianInterval(float(np.median(values)), None, None, len(values))
