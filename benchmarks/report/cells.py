"""What stands in one place of a table, made from an entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.report import formats
from benchmarks.report.entry import Entry
from benchmarks.report.formats import NOTHING

STATUS_WORDS = {"failed": "failed", "out_of_memory": "out of memory", "skipped": "skipped"}


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table.

    Attributes:
        text: the figure, or an en dash.
        detail: what goes with it, in small print: an interval, a count.
        code: a flag to type.
        sort: what the column sorts by; None goes last in either direction.
        marks: words that need attention, such as "noisy".
    """

    text: str
    detail: str = ""
    code: str = ""
    sort: float | str | None = None
    marks: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return self.text == NOTHING and not self.marks


def metric_cell(metric: str, scale: float = 1.0, with_interval: bool = True) -> Callable:
    """Returns a maker of cells: the median of a metric over the repeats, times `scale`."""

    def make(entry: Entry) -> Cell:
        found = entry.median(metric)
        if found is None:
            return Cell(NOTHING)
        median = scale * found.median
        if not with_interval or found.low is None:
            return Cell(formats.number(median), sort=median)
        detail = formats.interval(scale * found.low, scale * found.high)
        return Cell(formats.number(median), detail, sort=median)

    return make


def n_cell(entry: Entry) -> Cell:
    """How many repeats gave a figure, of how many."""
    num_good, num_all = len(entry.good_rows), len(entry.rows)
    text = str(num_good) if num_good == num_all else f"{num_good} of {num_all}"
    return Cell(text, sort=num_good)


def ratio_cell(entry: Entry) -> Cell:
    """How many times as fast ours is."""
    ratio = entry.speed_ratio
    if ratio is None:
        return Cell(NOTHING)
    return Cell(
        formats.times(ratio.ratio),
        "" if ratio.low is None else formats.interval(ratio.low, ratio.high),
        sort=ratio.ratio,
    )


def accuracy_cell(entry: Entry) -> Cell:
    """Mean and standard deviation over the seeds."""
    accuracy = entry.accuracy
    if accuracy is None:
        return Cell(NOTHING)
    detail = formats.count_of(accuracy.n, "seed")
    return Cell(formats.deviation(accuracy.mean, accuracy.deviation), detail, sort=accuracy.mean)


def target_cell(entry: Entry) -> Cell:
    """In how many runs the target was reached; a miss counts."""
    reached = entry.values("reached_target")
    if not reached:
        return Cell(NOTHING)
    num_reached = sum(value > 0 for value in reached)
    return Cell(f"{num_reached} of {len(reached)}", sort=num_reached / len(reached))


def verdict_cell(entry: Entry) -> Cell:
    """What holds it back, the flag that would help, and why, in a sentence."""
    verdict = entry.verdict
    if verdict is None:
        return Cell(NOTHING)
    bound = str(verdict.get("bound") or NOTHING)
    words = {name: str(verdict.get(name) or "") for name in ("text", "flag")}
    return Cell(bound, words["text"], words["flag"], sort=bound)


def marks_cell(entry: Entry) -> Cell:
    """Repeats that need a look: how many failed, were skipped or ran on a busy machine."""
    counts = {
        word: sum(row["status"] == status for row in entry.rows)
        for status, word in STATUS_WORDS.items()
    }
    counts["noisy"] = len(entry.noisy_rows)
    marks = tuple(
        word if count == len(entry.rows) == 1 else f"{count} {word}"
        for word, count in counts.items()
        if count
    )
    return Cell(NOTHING if marks else "ok", sort=sum(counts.values()), marks=marks)
