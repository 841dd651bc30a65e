"""What the suite faults says: which promise, how often it was tried, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report import formats
from benchmarks.report.cells import Cell, metric_cell
from benchmarks.report.columns import CASE, Column
from benchmarks.report.entry import Entry, Row
from benchmarks.report.formats import NOTHING

# Of every promise, and in columns of their own.
_COUNTS = ("attempts", "attempts_kept", "attempts_not_here")
_UNITS = {"seconds": "s", "mebibytes": "MiB"}
# A number is never parted from what it counts, nor from its unit.
_SPACE = "\N{NO-BREAK SPACE}"


def promise_columns() -> list[Column]:
    """Returns the columns of the table of promises."""
    return [
        Column(
            "Promise", "", "By its number and in words, as docs/reliability.md explains it.",
            _promise_cell, is_text=True, is_sentence=True, always=True,
        ),
        Column(
            "Kept", "attempts",
            "After how many of the attempts the promise was seen to hold; faults that cannot be "
            "caused on this machine are not counted.",
            _kept_cell, always=True,
        ),
        Column(
            "What came of it", "",
            "Counts over all attempts; of times and sizes the largest.", _figures_cell,
            is_text=True, is_sentence=True, always=True,
        ),
        Column("Time", "s", "Of all attempts together.", metric_cell("wall_seconds"), always=True),
        CASE,
    ]  # fmt: skip


def promises_outcome(entries: Sequence[Entry]) -> list[str]:
    """Returns, in a sentence or two, how many promises were kept, and which were not."""
    rows = [entry.rows[-1] for entry in entries]
    broken = [row["case"] for row in rows if row["status"] == "failed"]
    tried = [row for row in rows if row["status"] in ("ok", "failed")]
    kept, attempts = (
        int(sum(row["metrics"].get(name, 0) for row in tried))
        for name in ("attempts_kept", "attempts")
    )
    sentences = [f"Broken: {', '.join(broken)}."] if broken else []
    if tried:
        sentences.append(
            f"{len(tried) - len(broken)} of {formats.count_of(len(tried), 'promise')} kept, "
            f"in {kept:,} of {attempts:,} attempts."
        )
    return sentences


def _promise_cell(entry: Entry) -> Cell:
    labels = entry.labels
    number = str(labels.get("promise", ""))
    return Cell(str(labels.get("title", entry.case)), number, sort=_number(number))


def _number(identifiers: str) -> float:
    digits = identifiers.split(",")[0].lstrip("P")
    return float(digits) if digits.isdecimal() else float("inf")


def _kept_cell(entry: Entry) -> Cell:
    row = entry.rows[-1]
    if row["status"] not in ("ok", "failed") or "attempts" not in row["metrics"]:
        return Cell(NOTHING, marks=(row["status"],))
    kept, attempts = (int(row["metrics"][name]) for name in ("attempts_kept", "attempts"))
    elsewhere = int(row["metrics"].get("attempts_not_here", 0))
    detail = f"{elsewhere} not possible here" if elsewhere else ""
    marks = ("broken",) if row["status"] == "failed" else ()
    return Cell(f"{kept:,} of {attempts:,}", detail, sort=kept / max(attempts, 1), marks=marks)


def _figures_cell(entry: Entry) -> Cell:
    words = figures_in_words(entry.rows[-1])
    return Cell(", ".join(words) or NOTHING, sort=len(words))


def figures_in_words(row: Row) -> list[str]:
    """Returns a row's own figures as a person reads them: `kills 25`, `most resume 8.1 s`."""
    return [_in_words(name, value) for name, value in row["metrics"].items() if name not in _COUNTS]


def _in_words(name: str, value: float) -> str:
    *words, last = name.split("_")
    if last == "share":
        return f"{' '.join(words)}{_SPACE}{100 * value:.1f}{_SPACE}%"
    if last in _UNITS:
        return f"{' '.join(words)}{_SPACE}{formats.number(value)}{_SPACE}{_UNITS[last]}"
    # A count is a whole number; it is said as one.
    said = f"{value:,.0f}" if float(value).is_integer() else formats.number(value)
    return f"{' '.join([*words, last])}{_SPACE}{said}"
