"""Compares two results folders case by case: which of the two is faster, if that can be told.

A is what was, B what is new. Cases are compared only if they are alike: every label the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.records import (
    GroupKey,
    Records,
    Row,
    group_repeats,
    primary_metric,
    read_records,
)
from benchmarks.statistics import Difference, compare
from flowrate.errors import ConfigError

# What differs between any two runs and says nothing of their speed.
_NOT_COMPARED = {"kind", "schema_version", "environment_id", "command", "started_at",
                 "working_directory"}  # fmt: skip
_ABSENT = "absent"


@dataclass(frozen=True)
class CaseComparison:
    """One case of one contender.

    Attributes:
        key: (suite, case, contender).
        median_a: of the suite's primary metric; None where nothing was measured.
        median_b: the same of B.
        n_a: number of repeats that were measured.
        n_b: the same of B.
        noisy_a: number of those that ran on a busy machine.
        noisy_b: the same of B.
        failed_b: whether repeats of B failed that did not fail in A.
        difference: what can be said; None where there is a `reason`.
        reason: why the two cannot be compared.
    """

    key: GroupKey
    median_a: float | None
    median_b: float | None
    n_a: int
    n_b: int
    noisy_a: int
    noisy_b: int
    failed_b: bool
    difference: Difference | None
    reason: str | None


@dataclass(frozen=True)
class Comparison:
    """Two folders, compared.

    Attributes:
        folder_a: the earlier one.
        folder_b: the later one.
        same_within: relative difference that counts as none.
        environment: (name, A's value, B's value) where the two environments differ.
        cases: every case of either folder.
        not_ok: one line for each repeat without a result, with its reason.
    """

    folder_a: str
    folder_b: str
    same_within: float
    environment: tuple[tuple[str, str, str], ...]
    cases: tuple[CaseComparison, ...]
    not_ok: tuple[str, ...]

    @property
    def exit_status(self) -> int:
        """1 if something is slower, 2 if something A measured lacks its like in B, else 0.

        Its like is lacking where the case is not in B, is unlike, or has repeats that failed in B
        only. What A has not measured, such as a new case, does not count.
        """
        if any(case.difference and case.difference.answer == "slower" for case in self.cases):
            return 1
        lacking = (case.n_a and (case.failed_b or not case.difference) for case in self.cases)
        return 2 if any(lacking) else 0


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
    records_a, records_b = read_records(folder_a), read_records(folder_b)
    groups_a, groups_b = group_repeats(records_a.rows), group_repeats(records_b.rows)
    cases = tuple(
        _compare_case(key, groups_a.get(key, []), groups_b.get(key, []), same_within)
        for key in {**groups_a, **groups_b}
    )
    if not any(case.difference for case in cases):
        raise ConfigError(_nothing_to_compare(folder_a, folder_b, cases))
    return Comparison(
        str(folder_a),
        str(folder_b),
        same_within,
        tuple(_environment_differences(_facts(records_a), _facts(records_b))),
        cases,
        (*_not_ok("A", records_a.rows), *_not_ok("B", records_b.rows)),
    )


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Prints the environments' differences, then a table for each suite and what is not in it."""
    console = console or make_console()
    console.print(f"A  {comparison.folder_a}\nB  {comparison.folder_b}\n")
    _print_environment(comparison.environment, console)
    for suite in dict.fromkeys(case.key[0] for case in comparison.cases):
        _print_suite(suite, comparison, console)
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
    judged_by = primary_metric(key[0])
    metric = judged_by.name
    ok_a, ok_b = _ok(rows_a), _ok(rows_b)
    values_a, values_b = _values(ok_a, metric), _values(ok_b, metric)
    reason = (
        _only_in_one(rows_a, rows_b)
        or _unlike_labels(rows_a, rows_b)
        or _not_measured("A", rows_a, metric)
        or _not_measured("B", rows_b, metric)
    )
    difference = None
    if not reason:
        difference = compare(
            values_a, values_b, same_within, lower_is_better=judged_by.is_lower_better
        )
    return CaseComparison(
        key,
        float(np.median(values_a)) if values_a else None,
        float(np.median(values_b)) if values_b else None,
        len(values_a),
        len(values_b),
        sum(bool(row["health"].get("noisy")) for row in ok_a),
        sum(bool(row["health"].get("noisy")) for row in ok_b),
        len(ok_b) < len(rows_b) and len(ok_a) == len(rows_a),
        difference,
        reason,
    )


def _ok(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["status"] == "ok"]


def _values(rows: list[Row], metric: str) -> list[float]:
    return [row["metrics"][metric] for row in rows if metric in row["metrics"]]


def _only_in_one(rows_a: list[Row], rows_b: list[Row]) -> str | None:
    if rows_a and rows_b:
        return None
    return f"only in {'A' if rows_a else 'B'}"


def _unlike_labels(rows_a: list[Row], rows_b: list[Row]) -> str | None:
    names = dict.fromkeys(name for row in (*rows_a, *rows_b) for name in row["labels"])
    unlike = []
    for name in names:
        labels_a, labels_b = _labels(rows_a, name), _labels(rows_b, name)
        # More than one value within a folder is as bad: its repeats are not repeats.
        if labels_a != labels_b or len(labels_a) > 1:
            unlike.append(f"{name} {', '.join(labels_a)} / {', '.join(labels_b)}")
    return f"unlike: {'; '.join(unlike)}" if unlike else None


def _labels(rows: list[Row], name: str) -> list[str]:
    return sorted({str(row["labels"].get(name, _ABSENT)) for row in rows})


def _not_measured(folder: str, rows: list[Row], metric: str) -> str | None:
    ok = _ok(rows)
    if not ok:
        return f"no result in {folder}: {rows[-1]['status']}"
    num_missed = len(ok) - len(_values(ok, metric))
    # Leaving the misses out would compare the lucky repeats only.
    return f"{num_missed} of {len(ok)} in {folder} without {metric}" if num_missed else None


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
            yield f"{prefix}{name}", ", ".join(map(_describe_item, value)) or "none"
        else:
            yield f"{prefix}{name}", _ABSENT if value is None else str(value)


def _describe_item(item: Any) -> str:
    return " ".join(map(str, item.values())) if isinstance(item, dict) else str(item)


def _environment_differences(
    facts_a: dict[str, list[str]], facts_b: dict[str, list[str]]
) -> Iterable[tuple[str, str, str]]:
    for name in {**facts_a, **facts_b}:
        values_a, values_b = facts_a.get(name, [_ABSENT]), facts_b.get(name, [_ABSENT])
        if values_a != values_b or len(values_a) > 1:
            yield name, " and ".join(values_a), " and ".join(values_b)


def make_console() -> Console:
    """Returns the console for tables: as wide as the terminal, or as a log may be."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        # A log has no width of its own; at the usual 80 columns the table would be in shreds.
        console = Console(highlight=False, markup=False, emoji=False, width=160)
    return console


def _print_environment(environment: tuple[tuple[str, str, str], ...], console: Console) -> None:
    if not environment:
        console.print("The two environments are the same.\n")
        return
    table = Table("", "A", "B", title="The environments differ", title_justify="left")
    for row in environment:
        table.add_row(*row)
    console.print(table, "")


def _print_suite(suite: str, comparison: Comparison, console: Console) -> None:
    title = f"{suite}: {primary_metric(suite).name}"
    table = Table(title=title, title_justify="left")
    # In a narrow window a name goes on in the next line: cut off, it could be another's.
    table.add_column("case", overflow="fold")
    table.add_column("contender", overflow="fold")
    for name in ("n A / B", "median A", "median B", "B / A"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("B is")
    for case in comparison.cases:
        if case.key[0] == suite:
            table.add_row(*case.key[1:], *_describe_case(case, comparison.same_within))
    console.print(table, "")


def _describe_case(case: CaseComparison, same_within: float) -> tuple[str, ...]:
    noisy = f"; noisy {case.noisy_a} / {case.noisy_b}" if case.noisy_a or case.noisy_b else ""
    return (
        f"{case.n_a} / {case.n_b}",
        _describe_number(case.median_a),
        _describe_number(case.median_b),
        _describe_ratio(case.difference),
        (case.reason or _describe_answer(case.difference, same_within)) + noisy,
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
