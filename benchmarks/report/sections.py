"""What the page says, suite by suite, and where and when it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report import formats
from benchmarks.report.cells import STATUS_WORDS, Cell
from benchmarks.report.columns import CASE, Column, inside_columns, measured, outcome_columns
from benchmarks.report.entry import Entry, Row
from benchmarks.report.formats import NOTHING
from benchmarks.report.further_columns import further_columns, only_columns
from benchmarks.report.outcome import outcome
from benchmarks.report.pictures import Picture, pictures
from benchmarks.report.scaling import scaling_series
from benchmarks.report.tables import Report

TITLES = {
    "tutorials": "Tutorials",
    "throughput": "Throughput",
    "scaling": "Scaling",
    "exchange": "Exchange",
    "input": "Input",
    "accuracy": "Accuracy",
    "startup": "Start-up",
    "equality": "Equality",
    "collectives": "Collectives",
}
PURPOSES = {
    "tutorials": "The tutorials' own workloads, next to what one would use instead: same model, "
    "batch, optimizer, epochs and data.",
    "throughput": "Training rate by model, data set, precision, XLA and cache.",
    "scaling": "The same training on more replicas.",
    "exchange": "What two workers send each other, and what it costs: float32 or bfloat16, in one "
    "message or in several, over loopback, virtual cables and virtual cables of 1 Gbit/s.",
    "input": "How fast the input alone delivers batches.",
    "accuracy": "Time until a target test accuracy is reached, misses counted.",
    "startup": "From the start of the process to the first step of training.",
    "equality": "One training over processes and replicas, each layout beside one process with one "
    "replica.",
    "collectives": "How long the sum over workers takes by itself, by the size of the message.",
}

# A second table of fewer columns than this goes into the first.
FEWEST_COLUMNS = 3


@dataclass(frozen=True)
class Table:
    """Columns, and a row of cells for each entry."""

    title: str
    columns: list[Column]
    rows: list[tuple[Entry, list[Cell]]]

    @property
    def has_peers(self) -> bool:
        return len({entry.contender for entry, _ in self.rows}) > 1


@dataclass(frozen=True)
class Problem:
    """Repeats that gave no figures, or gave them on a busy machine, for one reason."""

    case: str
    contender: str
    repeats: list[int]
    what: str
    reason: str


@dataclass(frozen=True)
class Section:
    """One suite of the report."""

    suite: str
    title: str
    purpose: str
    outcome: list[str]
    tables: list[Table]
    not_measured: list[str]
    problems: list[Problem]
    pictures: list[Picture]
    commands: list[tuple[Entry, str]]


def make_section(report: Report, suite: str, with_pictures: bool = True) -> Section:
    """Returns what the report says of a suite."""
    entries = report.of_suite(suite)
    shown, inside, dropped = _columns(suite, entries)
    tables = [
        _table(title, columns, entries)
        for title, columns in (
            ("Outcome", shown),
            ("What a step costs, and what bounds it", inside),
        )
        if columns
    ]
    return Section(
        suite,
        TITLES[suite],
        PURPOSES[suite],
        outcome(suite, entries),
        [*tables, *_exchange_table(suite, entries)],
        list(dict.fromkeys(column.header for column in dropped)),
        problems(entries),
        pictures(suite, entries) if with_pictures else [],
        [(entry, entry.rows[-1]["command"]) for entry in entries],
    )


def _columns(
    suite: str, entries: Sequence[Entry]
) -> tuple[list[Column], list[Column], list[Column]]:
    """Returns the columns of the first and the second table, and those that have no value."""
    if only := only_columns(suite, entries):
        shown, dropped = measured(only, entries)
        return shown, [], dropped
    columns = outcome_columns(suite)
    if suite == "scaling":
        columns.append(scaling_column(entries))
    shown, dropped = measured(columns, entries)
    inside, dropped_inside = measured(inside_columns(suite), entries)
    figures = [column for column in inside if not column.always]
    if len(figures) < FEWEST_COLUMNS:
        shown, inside = [*shown, *figures], []
    return shown, inside, [*dropped, *dropped_inside]


def _exchange_table(suite: str, entries: Sequence[Entry]) -> list[Table]:
    """Returns the table of what workers send each other, of the entries with several workers."""
    entries = [entry for entry in entries if any(entry.values("exchange_ms"))]
    if not entries:
        return []
    columns, _ = measured([CASE, *further_columns(suite, entries)], entries)
    return [_table("What workers send each other", columns, entries)]


def scaling_column(entries: Sequence[Entry]) -> Column:
    """Returns the column of the efficiency over replicas, which takes all entries to compute."""
    points = {id(point.entry): point for one in scaling_series(entries) for point in one.points}

    def make(entry: Entry) -> Cell:
        point = points.get(id(entry))
        if point is None or point.efficiency is None:
            return Cell(NOTHING)
        low, high = point.efficiency_low, point.efficiency_high
        detail = "" if low is None else formats.interval(low, high)
        return Cell(formats.number(point.efficiency), detail, sort=point.efficiency)

    return Column(
        "Scaling efficiency", "of one replica's",
        "Images per second over those of one replica times the number of replicas.",
        make,
    )  # fmt: skip


def problems(entries: Sequence[Entry]) -> list[Problem]:
    """Returns every repeat that needs a look, those with the same reason together."""
    found: dict[tuple[str, str, str, str], list[int]] = {}
    for entry in entries:
        for row in entry.rows:
            if row["status"] != "ok":
                what, reason = STATUS_WORDS[row["status"]], row["error"]
            elif row["health"].get("noisy"):
                what = "noisy"
                reason = "; ".join(map(str, row["health"].get("reasons") or [])) or NOTHING
            else:
                continue
            found.setdefault((entry.case, entry.contender, what, reason), []).append(row["repeat"])
    return [
        Problem(case, contender, repeats, what, reason)
        for (case, contender, what, reason), repeats in found.items()
    ]


def explanations(sections: Sequence[Section]) -> list[tuple[str, str]]:
    """Returns (header, meaning) of every column that the sections show."""
    found: dict[str, dict[str, None]] = {}
    for section in sections:
        for table in section.tables:
            for column in table.columns:
                # A header may stand for the judged figure in one suite and beside it in another.
                found.setdefault(column.header, {})[column.explanation] = None
    return [(header, " ".join(meanings)) for header, meanings in found.items()]


def measured_between(rows: Sequence[Row]) -> str:
    """Returns the dates of the first and the last repeat, as recorded (UTC)."""
    dates = sorted(row["started_at"][:10] for row in rows)
    return dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"


def _table(title: str, columns: list[Column], entries: Sequence[Entry]) -> Table:
    return Table(
        title, columns, [(entry, [column.make(entry) for column in columns]) for entry in entries]
    )
