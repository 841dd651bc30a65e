"""What the user asked of a suite."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.case import BenchmarkCase


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """Which cases of a suite to take.

    Attributes:
        models: names, or empty for all.
        datasets: names, or empty for all.
        contenders: names, or empty for all.
        names: of cases, or empty for all.
        full: every combination, and every peer over the whole work.
        seconds: how long to measure a rate.
        data_dir: where data sets lie, in a folder of each's name or all together; or None.
    """

    models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    contenders: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    full: bool = False
    seconds: float = 3.0
    data_dir: str | None = None

    def data_flags(self, flags: dict[str, Any]) -> dict[str, Any]:
        """Returns the flags with the place of their data set, where one was given."""
        if self.data_dir is None:
            return dict(flags)
        own = Path(self.data_dir) / flags["dataset"]
        return {**flags, "data_dir": str(own if own.is_dir() else self.data_dir)}

    def select(self, cases: Iterable[BenchmarkCase]) -> list[BenchmarkCase]:
        """Returns the cases whose model, data set, contender and name are among the chosen."""
        return [
            case
            for case in cases
            if (not self.models or case.flags.get("model", "auto") in self.models)
            and (not self.datasets or case.flags.get("dataset") in self.datasets)
            and (not self.contenders or case.contender in self.contenders)
            and (not self.names or case.name in self.names)
        ]
