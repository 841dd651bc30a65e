"""The tables of a suite, built from the metrics that its module names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from benchmarks.case import OURS
from benchmarks.measure.metrics import METRICS, Metric
from benchmarks.report import formats
from benchmarks.report.entry import Entry, SuiteEntries
from benchmarks.report.formats import NOTHING
from flowrate.pages.tables import Cell, Column, Table

STATUS_WORDS = {"failed": "failed", "out_of_memory": "out of memory", "skipped": "skipped"}
# So many of a suite's columns stand beside the figure it is judged by; the others in a table below.
_NUM_BESIDE = 4
# A second table of fewer columns than this goes into the first.
_FEWEST_COLUMNS = 3

RATIO_TO_OURS = Metric(
    "ratio", f"{OURS.capitalize()} ÷ this", "times as fast",
    f"How many times as fast {OURS} is: above 1 it is ahead. Ratio of the geometric means over the "
    "repeats, with Welch's 95 % interval of the logarithms. An interval that holds 1 shows no "
    "difference.",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Making:
    """A column and how its cells are made; `always` keeps it where no row has a value."""

    column: Column
    cell: Callable[[Entry], Cell]
    always: bool = False


def suite_tables(of: SuiteEntries) -> tuple[list[Table], list[str]]:
    """Returns a suite's tables, and the titles of its columns that no row has a value for."""
    beside = [_of_metric(metric) for metric in of.suite.COLUMNS]
    named = [_CASE, _CONTENDER] if of.has_peers else [_CASE]
    ratio = [_ratio(of)] if of.ratios else []
    first = [*named, _primary(of.suite.METRIC), *ratio, _NUM_REPEATS, _MARKS]
    shown, more = _measured([*first, *beside[:_NUM_BESIDE]], of.entries), []
    below = _measured([*beside[_NUM_BESIDE:], _VERDICT], of.entries)
    if len(below) < _FEWEST_COLUMNS:
        shown += below
    else:
        more = [*named, *below]
    tables = [_table("Outcome", shown, of, of.entries)]
    if more:
        # Peers tell little of their steps.
        entries = [e for e in of.entries if any(each.cell(e).text != NOTHING for each in below)]
        tables.append(_table("What a step costs, and what bounds it", more, of, entries))
    missing = [each.column.title for each in beside if each not in (*shown, *more)]
    return tables, missing


def metric_cell(entry: Entry, metric: Metric) -> Cell:
    """Returns a metric over the repeats, as the metric says it is shown."""
    values = entry.values(metric.name)
    if not values:
        return Cell(NOTHING)
    if metric.shown_as == "count":
        count = sum(value != 0 for value in values)
        return Cell(f"{count} of {len(values)}", sort=count / len(values))
    if metric.shown_as == "mean":
        found = entry.over_seeds(metric.name)
        assert found is not None  # There are values.
        text = formats.deviation(found.mean, found.deviation)
        return Cell(text, formats.count_of(found.n, "seed"), sort=found.mean)
    interval = entry.median(metric.name)
    assert interval is not None
    median = metric.scale * interval.median
    return Cell(formats.number(median), sort=median)


def primary_cell(entry: Entry, metric: Metric) -> Cell:
    """Returns the metric with its interval."""
    found = entry.median(metric.name)
    if found is None:
        return Cell(NOTHING)
    low, high = (end and metric.scale * end for end in (found.low, found.high))
    cell = metric_cell(entry, metric)
    return dataclasses.replace(cell, detail=formats.interval(low, high))


def marks(entry: Entry) -> tuple[str, ...]:
    """Returns how many repeats failed, were skipped or ran on a busy machine."""
    counts = {
        word: sum(row["status"] == status for row in entry.rows)
        for status, word in STATUS_WORDS.items()
    }
    counts["noisy"] = len(entry.noisy_rows)
    return tuple(
        word if count == len(entry.rows) == 1 else f"{count} {word}"
        for word, count in counts.items()
        if count
    )


def problem_table(entries: Sequence[Entry]) -> Table:
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
    columns = [
        Column("Case", is_text=True), Column("Contender", is_text=True), Column("Repeats"),
        Column("What", is_text=True), Column("Reason", is_sentence=True, is_text=True),
    ]  # fmt: skip
    rows = [
        [
            Cell(case, sort=case), Cell(contender, sort=contender),
            Cell(", ".join(map(str, repeats)), sort=repeats[0]),
            Cell(sort=what, marks=(what,)), Cell(reason, sort=reason),
        ]
        for (case, contender, what, reason), repeats in found.items()
    ]  # fmt: skip
    return Table("Failed, skipped and noisy repeats", columns, rows)


def _measured(makings: Sequence[_Making], entries: Sequence[Entry]) -> list[_Making]:
    def has_value(making: _Making) -> bool:
        return any(making.cell(entry).text != NOTHING for entry in entries)

    return [making for making in makings if making.always or has_value(making)]


def _table(
    title: str, makings: Sequence[_Making], of: SuiteEntries, entries: Sequence[Entry]
) -> Table:
    return Table(
        title,
        [making.column for making in makings],
        [[making.cell(entry) for making in makings] for entry in entries],
        frozenset(n for n, entry in enumerate(entries) if of.has_peers and entry.is_ours),
    )


def _of_metric(metric: Metric) -> _Making:
    column = Column(metric.title, metric.unit, metric.meaning)
    return _Making(column, lambda entry: metric_cell(entry, metric))


def _primary(metric: Metric) -> _Making:
    column = Column(metric.title, metric.unit, metric.meaning)
    return _Making(column, lambda entry: primary_cell(entry, metric), always=True)


def _ratio(of: SuiteEntries) -> _Making:
    described = getattr(of.suite, "RATIO", RATIO_TO_OURS)

    def cell(entry: Entry) -> Cell:
        ratio = of.ratios.get(entry)
        if ratio is None:
            return Cell(NOTHING)
        interval = formats.interval(ratio.low, ratio.high)
        return Cell(formats.times(ratio.ratio), interval, sort=ratio.ratio)

    return _Making(Column(described.title, described.unit, described.meaning), cell)


def _num_repeats(entry: Entry) -> Cell:
    num_good, num_all = len(entry.good_rows), len(entry.rows)
    text = str(num_good) if num_good == num_all else f"{num_good} of {num_all}"
    return Cell(text, sort=num_good)


def _verdict(entry: Entry) -> Cell:
    verdict = entry.verdict
    if verdict is None:
        return Cell(NOTHING)
    bound = str(verdict.get("bound") or NOTHING)
    text, flag = (str(verdict.get(name) or "") for name in ("text", "flag"))
    return Cell(bound, text, flag, sort=bound)


def _marks(entry: Entry) -> Cell:
    found = marks(entry)
    return Cell("" if found else "ok", sort=" ".join(found), marks=found)


_CASE = _Making(
    Column("Case", "", "What was run: data set, model and what else tells it from other cases.",
           is_text=True),
    lambda entry: Cell(entry.case, sort=entry.case), always=True,
)  # fmt: skip
_CONTENDER = _Making(
    Column("Contender", "",
           f"Who ran it: {OURS} is this project, the others what one would use instead.",
           is_text=True),
    lambda entry: Cell(entry.contender, sort=entry.contender), always=True,
)  # fmt: skip
_NUM_REPEATS = _Making(
    Column("n", "", "Repeats that gave figures, each a fresh process; where some did not, of how "
           "many."),
    _num_repeats, always=True,
)  # fmt: skip
_MARKS = _Making(
    Column("Marks", "", "Repeats that failed, ran out of memory, were skipped or ran on a noisy "
           "machine; the reasons are below the table. Noisy repeats are counted in.",
           is_text=True),
    _marks, always=True,
)  # fmt: skip
_VERDICT = _Making(
    Column("Verdict", "bound by, flag that helps",
           "What holds it back (compute, input, host or collective), the flag to try, and why.",
           is_text=True, is_sentence=True),
    _verdict,
)  # fmt: skip
LIMIT = METRICS["limit_steps_per_second"]
