"""Compares two results folders case by case: which of the two is faster, if that can be told.

A is what was, B what is new. Cases are compared only if they are alike: every label the same.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.records import GroupKey, Records, Row, group_repeats, primary_metric, read_records
from benchmarks.statistics import Difference, compare
from flowrate.errors import ConfigError

# What differs between any two runs and says nothing of their speed.
_NOT_COMPARED = {"kind", "schema_version", "environment_id", "command", "started_at",
                 "working_directory"}  # fmt: skip
_ABSENT = "absent"


@dataclass(frozen=True)
class Side:
    """The repeats of one case in one of the two folders.

    Attributes:
        n: how many gave the suite's primary metric.
        median: of that; None where nothing was measured.
        num_noisy: how many of the good repeats ran on a busy machine.
        num_failed: how many gave no result.
        reason: why they cannot be compared; empty where they can.
        values: of the metric.
    """

    n: int
    median: float | None
    num_noisy: int
    num_failed: int
    reason: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class CaseComparison:
    """One case of one contender, by (suite, case, contender).

    Either `difference` says what can be said, or `reason` why the two cannot be compared.
    """

    key: GroupKey
    a: Side
    b: Side
    difference: Difference | None
    reason: str

    @property
    def is_slower(self) -> bool:
        return self.difference is not None and self.difference.answer == "slower"

    @property
    def is_lacking(self) -> bool:
        """Whether A has figures whose like B lacks: absent, unlike, or failed in B alone."""
        failed_in_b_alone = bool(self.b.num_failed) and not self.a.num_failed
        return self.a.n > 0 and (failed_in_b_alone or self.difference is None)


@dataclass(frozen=True)
class Comparison:
    """Two folders, compared.

    Attributes:
        folders: A's and B's.
        same_within: relative difference that counts as none.
        environment: (name, A's value, B's value) where the two environments differ.
        cases: every case of either folder.
        not_ok: one line for each repeat without a result, with its reason.
    """

    folders: tuple[str, str]
    same_within: float
    environment: tuple[tuple[str, str, str], ...]
    cases: tuple[CaseComparison, ...]
    not_ok: tuple[str, ...]

    @property
    def exit_status(self) -> int:
        """1 if something is slower, 2 if something A measured lacks its like in B, else 0.

        What A has not measured, such as a new case, does not count.
        """
        if any(case.is_slower for case in self.cases):
            return 1
        return 2 if any(case.is_lacking for case in self.cases) else 0


def compare_folders(
    folder_a: str | Path, folder_b: str | Path, same_within: float = 0.05
) -> Comparison:
    """Compares the primary metric of every case of two results folders.

    Raises:
        ConfigError: a folder cannot be read, no case can be compared, or `same_within` is not a
            share.
        DataError: a row of a folder is damaged.
    """
    if not 0 <= same_within < 1:
        raise ConfigError(f"same_within is {same_within}; give a share from 0 to below 1: 0.05.")
    records = read_records(folder_a), read_records(folder_b)
    groups_a, groups_b = (group_repeats(each.rows) for each in records)
    cases = tuple(
        _compare_case(key, groups_a.get(key, []), groups_b.get(key, []), same_within)
        for key in {**groups_a, **groups_b}
    )
    if not any(case.difference for case in cases):
        raise ConfigError(_nothing_to_compare(folder_a, folder_b, cases))
    return Comparison(
        (str(folder_a), str(folder_b)),
        same_within,
        tuple(_environment_differences(*map(_facts, records))),
        cases,
        tuple(line for name, each in zip("AB", records) for line in _not_ok(name, each.rows)),
    )


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Prints the environments' differences, then a table for each suite and what is not in it."""
    console = console or _make_console()
    for name, folder in zip("AB", comparison.folders):
        console.print(f"{name}  {folder}")
    if comparison.environment:
        table = Table("", "A", "B", title="\nThe environments differ", title_justify="left")
        for row in comparison.environment:
            table.add_row(*row)
        console.print(table, "")
    else:
        console.print("\nThe two environments are the same.\n")
    for suite in dict.fromkeys(case.key[0] for case in comparison.cases):
        console.print(_suite_table(suite, comparison), "")
    if comparison.not_ok:
        console.print("Repeats without a result:", *comparison.not_ok, "", sep="\n", soft_wrap=True)
    num_compared = sum(case.difference is not None for case in comparison.cases)
    console.print(
        f"{num_compared} compared with 95 % confidence each: where nothing differs, about "
        f"{0.05 * num_compared:.2g} of them may still say so.\n"
        "An interval knows the spread within a folder, not a machine that changed between the two.",
        soft_wrap=True,
    )


def _compare_case(
    key: GroupKey, rows_a: list[Row], rows_b: list[Row], same_within: float
) -> CaseComparison:
    metric = primary_metric(key[0])
    a, b = _side("A", rows_a, metric.name), _side("B", rows_b, metric.name)
    if rows_a and rows_b:
        reason = _unlike_labels(rows_a, rows_b) or a.reason or b.reason
    else:
        reason = f"only in {'A' if rows_a else 'B'}"
    difference = None
    if not reason:
        difference = compare(
            a.values, b.values, same_within, lower_is_better=metric.is_lower_better
        )
    return CaseComparison(key, a, b, difference, reason)


def _side(name: str, rows: list[Row], metric: str) -> Side:
    ok = [row for row in rows if row["status"] == "ok"]
    values = tuple(row["metrics"][metric] for row in ok if metric in row["metrics"])
    reason = ""
    if rows and not ok:
        reason = f"no result in {name}: {rows[-1]['status']}"
    elif len(values) < len(ok):
        # Leaving the misses out would compare the lucky repeats only.
        reason = f"{len(ok) - len(values)} of {len(ok)} in {name} without {metric}"
    return Side(
        n=len(values),
        median=float(np.median(values)) if values else None,
        num_noisy=sum(bool(row["health"].get("noisy")) for row in ok),
        num_failed=len(rows) - len(ok),
        reason=reason,
        values=values,
    )


def _unlike_labels(rows_a: list[Row], rows_b: list[Row]) -> str:
    def values(rows: list[Row], name: str) -> list[str]:
        return sorted({str(row["labels"].get(name, _ABSENT)) for row in rows})

    unlike = []
    for name in dict.fromkeys(name for row in (*rows_a, *rows_b) for name in row["labels"]):
        a, b = values(rows_a, name), values(rows_b, name)
        # More than one value within a folder is as bad: its repeats are not repeats.
        if a != b or len(a) > 1:
            unlike.append(f"{name} {', '.join(a)} / {', '.join(b)}")
    return f"unlike: {'; '.join(unlike)}" if unlike else ""


def _not_ok(folder: str, rows: list[Row]) -> Iterable[str]:
    for row in rows:
        if row["status"] != "ok":
            place = f"{row['suite']} {row['case']} {row['contender']} repeat {row['repeat']}"
            yield f"{folder}  {place}  {row['status']}: {row['error']}"


def _nothing_to_compare(folder_a: Any, folder_b: Any, cases: tuple[CaseComparison, ...]) -> str:
    if not cases:
        return f"neither {folder_a} nor {folder_b} holds a result; run a suite into each first."
    first, *others = cases
    more = f" (and {len(others)} more)" if others else ""
    return (
        f"no case of {folder_a} can be compared with one of {folder_b}: {' '.join(first.key)}: "
        f"{first.reason}{more}; run the same suite with the same flags into both."
    )


def _facts(records: Records) -> dict[str, list[str]]:
    """Returns every fact of the environments that the rows were measured in, by its dotted name."""
    facts: dict[str, list[str]] = {}
    for name in dict.fromkeys(row["environment_id"] for row in records.rows):
        for fact, value in _flatten(records.environments.get(name, {})):
            if value not in facts.setdefault(fact, []):
                facts[fact].append(value)
    return facts


def _flatten(environment: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in environment.items():
        if not prefix and name in _NOT_COMPARED:
            continue
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        elif name.endswith("_bytes"):
            # In GiB: the same machine reports a few pages more or less after each start.
            yield f"{prefix}{name.removesuffix('_bytes')}", f"{value / 2**30:.1f} GiB"
        elif isinstance(value, list):
            items = (" ".join(map(str, x.values())) if isinstance(x, dict) else x for x in value)
            yield f"{prefix}{name}", ", ".join(map(str, items)) or "none"
        else:
            yield f"{prefix}{name}", _ABSENT if value is None else str(value)


def _environment_differences(
    facts_a: dict[str, list[str]], facts_b: dict[str, list[str]]
) -> Iterable[tuple[str, str, str]]:
    for name in {**facts_a, **facts_b}:
        values_a, values_b = facts_a.get(name, [_ABSENT]), facts_b.get(name, [_ABSENT])
        if values_a != values_b or len(values_a) > 1:
            yield name, " and ".join(values_a), " and ".join(values_b)


def _make_console() -> Console:
    # A log has no width of its own; at the usual 80 columns the table would be in shreds.
    plain = functools.partial(Console, highlight=False, markup=False, emoji=False)
    console = plain()
    return console if console.is_terminal else plain(width=160)


def _suite_table(suite: str, comparison: Comparison) -> Table:
    table = Table(title=f"{suite}: {primary_metric(suite).name}", title_justify="left")
    # In a narrow window a name continues in the next line: cut off, it could be another's.
    table.add_column("case", overflow="fold")
    table.add_column("contender", overflow="fold")
    for name in ("n A / B", "median A", "median B", "B / A"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("B is")
    for case in comparison.cases:
        if case.key[0] == suite:
            table.add_row(*case.key[1:], *_describe_case(case, comparison.same_within))
    return table


def _describe_case(case: CaseComparison, same_within: float) -> tuple[str, ...]:
    noisy = (case.a.num_noisy, case.b.num_noisy)
    return (
        f"{case.a.n} / {case.b.n}",
        *(_describe_number(side.median) for side in (case.a, case.b)),
        _describe_ratio(case.difference),
        (_describe_answer(case.difference, same_within) if case.difference else case.reason)
        + (f"; noisy {noisy[0]} / {noisy[1]}" if any(noisy) else ""),
    )


def _describe_answer(difference: Difference, same_within: float) -> str:
    if difference.answer == "same":
        return f"same within {_describe_share(same_within)}"
    if difference.answer != "cannot tell":
        return difference.answer
    if difference.smallest_detectable is None:
        return "cannot tell (n of 1 has no spread)"
    return f"cannot tell (could have seen {_describe_share(difference.smallest_detectable)})"


def _describe_ratio(difference: Difference | None) -> str:
    if difference is None:
        return ""
    if difference.low is None:
        return f"{difference.ratio:.3f}"
    return f"{difference.ratio:.3f} ({difference.low:.3f} to {difference.high:.3f})"


def _describe_number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _describe_share(share: float) -> str:
    percent = 100 * share
    digits = max(0, 1 - math.floor(math.log10(percent))) if percent else 0
    return f"{percent:.{digits}f}".rstrip("0").rstrip(".") + " %" if digits else f"{percent:.0f} %"
