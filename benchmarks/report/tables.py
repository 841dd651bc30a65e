"""From the rows of the records to what the report says: one entry per contender of a case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.records import (
    PRIMARY_METRIC,
    RECORDS_NAME,
    group_repeats,
    is_lower_better,
    read_environments,
    read_results,
)
from benchmarks.report.entry import OURS, Entry, Row, usable
from benchmarks.statistics import RatioInterval, ratio_interval
from flowrate.errors import ConfigError
from flowrate.records import read_json_lines


@dataclass(frozen=True)
class Report:
    """Everything the three files are made of.

    Attributes:
        entries: in the order suite, case (as first met), contender (ours first).
        environments: by environment_id, those that a result names first.
        commands: by environment_id, what was typed there, each once.
        rows: the result rows that count.
        num_replaced: result rows that a later one of the same repeat replaced.
        files: names of the files read.
    """

    entries: tuple[Entry, ...]
    environments: dict[str, Row]
    commands: dict[str, list[str]]
    rows: tuple[Row, ...]
    num_replaced: int
    files: tuple[str, ...]

    @property
    def suites(self) -> list[str]:
        return list(dict.fromkeys(entry.suite for entry in self.entries))

    def of_suite(self, suite: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.suite == suite]


def read_report(folders: Sequence[Path]) -> Report:
    """Reads the records of one or more results folders; of a repeat met twice the later counts.

    Raises:
        ConfigError: a folder is missing, or there are no results.
        DataError: a row is not as it should be.
    """
    rows: list[Row] = []
    environments: dict[str, Row] = {}
    commands: dict[str, list[str]] = {}
    num_read = 0
    for folder in folders:
        rows += read_results(folder)
        environments |= read_environments(folder)
        lines = read_json_lines(folder / RECORDS_NAME)
        num_read += sum(line["kind"] == "result" for line in lines)
        for line in lines:
            known = commands.setdefault(line["environment_id"], [])
            # A run that was taken up again stands there twice, with the same or another command.
            if line["kind"] == "environment" and line["command"] not in known:
                known.append(line["command"])
    if not rows:
        names = ", ".join(str(folder) for folder in folders)
        raise ConfigError(
            f"{names}: no results in {RECORDS_NAME} yet. "
            "Let `python -m benchmarks.main run --output=DIR` end a case first."
        )
    entries = build_entries(rows)
    counted = tuple(row for entry in entries for row in entry.rows)
    return Report(
        entries,
        _used_first(environments, counted),
        commands,
        counted,
        num_read - len(counted),
        _file_names(folders),
    )


def build_entries(rows: Iterable[Row]) -> tuple[Entry, ...]:
    """Returns an entry for every (suite, case, contender), with its ratio to ours."""
    groups = group_repeats(rows)
    suites = list(PRIMARY_METRIC)
    cases = list(dict.fromkeys((suite, case) for suite, case, _ in groups))
    order = sorted(
        groups,
        key=lambda key: (suites.index(key[0]), cases.index(key[:2]), key[2] != OURS),
    )
    plain = {key: Entry(*key, tuple(groups[key])) for key in order}
    return tuple(
        Entry(*key, entry.rows, speed_ratio(plain.get((*key[:2], OURS)), entry))
        for key, entry in plain.items()
    )


def speed_ratio(ours: Entry | None, theirs: Entry) -> RatioInterval | None:
    """Returns how many times as fast `ours` is as `theirs`, by the suite's primary metric."""
    if ours is None or theirs.is_ours:
        return None
    metric = PRIMARY_METRIC[theirs.suite]
    a, b = ours.values(metric), theirs.values(metric)
    if not usable(a) or not usable(b):
        return None
    if is_lower_better(metric):
        # Times: theirs over ours. The interval is symmetric in logarithms, so this only swaps.
        a, b = b, a
    return ratio_interval(a, b)


def _used_first(environments: dict[str, Row], rows: Sequence[Row]) -> dict[str, Row]:
    used = dict.fromkeys(row["environment_id"] for row in rows)
    names = [name for name in used if name in environments]
    return {name: environments[name] for name in [*names, *environments]}


def _file_names(folders: Sequence[Path]) -> tuple[str, ...]:
    """Folders by their own name only: the report must not tell where the checkout lies."""
    if len(folders) == 1:
        return (RECORDS_NAME,)
    return tuple(f"{folder.resolve().name}/{RECORDS_NAME}" for folder in folders)
