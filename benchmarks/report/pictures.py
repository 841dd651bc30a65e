"""The pictures of a suite: the figure it is judged by, and where the time goes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from benchmarks.case import OURS
from benchmarks.report import formats
from benchmarks.report.entry import Entry, SuiteEntries
from benchmarks.report.tables import LIMIT, STATUS_WORDS
from flowrate.pages.bars import Bar, Bars
from flowrate.pages.colors import phase_color, series_color


@dataclasses.dataclass(frozen=True)
class Picture:
    """A heading, what is to be seen, the bars, and (name, colour) of their parts."""

    title: str
    note: str
    panels: list[Bars]
    legend: list[tuple[str, str]]


def pictures(of: SuiteEntries) -> list[Picture]:
    """Returns the pictures of a suite that have something to show."""
    return [picture for picture in (_figures(of), _phases(of)) if picture.panels]


def _figures(of: SuiteEntries) -> Picture:
    metric = of.suite.METRIC
    mark = getattr(of.suite, "mark", _limit)
    contenders = sorted({e.contender for e in of.entries}, key=lambda name: (name != OURS, name))

    def make(entry: Entry, label: str) -> Bar | None:
        found = entry.primary
        if found is None:
            # A skipped case is missed by nobody who looks at a picture.
            words = [STATUS_WORDS[row["status"]] for row in entry.rows if row["status"] != "ok"]
            return Bar(label, words[-1]) if words and set(words) != {"skipped"} else None
        color = series_color(entry.contender, contenders)
        ends = None
        if found.low is not None and found.high is not None and found.low < found.high:
            ends = metric.scale * found.low, metric.scale * found.high
        limit = mark(entry, of.entries)
        return Bar(
            label,
            formats.number(metric.scale * found.median),
            ((metric.scale * found.median, color),),
            ends,
            limit and metric.scale * limit,
        )

    panels = _panels(of, make)
    note = f"{metric.unit}: median and 95 % interval."
    if metric.is_lower_better:
        note += " Shorter is better."
    if any(bar.mark is not None for panel in panels for bar in panel.bars):
        across = getattr(of.suite, "MARK", "the limit: the bare compiled step")
        note += f" The thick line across is {across}."
    return Picture(metric.title, note, panels, [])


def _limit(entry: Entry, entries: list[Entry]) -> float | None:
    limit = entry.median(LIMIT.name) if entry.rows and entry.primary else None
    return limit.median if limit else None


def _phases(of: SuiteEntries) -> Picture:
    names = list(dict.fromkeys(name for entry in of.entries for name in entry.phases()))
    names.sort(key=lambda name: name == "other")

    def make(entry: Entry, label: str) -> Bar | None:
        found = entry.phases()
        if not found:
            return None
        parts = tuple((found[name], phase_color(name, names)) for name in names if name in found)
        return Bar(label, f"{formats.number(sum(found.values()))} s", parts)

    return Picture(
        "Where the time goes",
        "Seconds of the whole process by phase, median over the repeats.",
        _panels(of, make),
        [(name.replace("_", " "), phase_color(name, names)) for name in names],
    )


def _panels(of: SuiteEntries, make: Callable[[Entry, str], Bar | None]) -> list[Bars]:
    """Returns bars for each case that has peers, else for each group: rates differ a thousandfold.

    Panels of a single bar each would compare nothing: they become one panel of all.
    """
    cases = [entry.case for entry in of.entries]
    groups: dict[str, list[Bar | None]] = {}
    for entry in of.entries:
        if cases.count(entry.case) > 1:
            title, label = entry.case, entry.contender
        else:
            title, label = getattr(of.suite, "group", _work)(entry), _short_case(entry)
        groups.setdefault(title, []).append(make(entry, label))
    panels = []
    for title, made in groups.items():
        bars = tuple(bar for bar in made if bar is not None)
        # A picture of failures alone says nothing that the table does not.
        if any(bar.parts for bar in bars):
            panels.append(Bars(title, bars))
    if len(panels) > 1 and all(len(panel.bars) == 1 for panel in panels):
        bars = tuple(dataclasses.replace(panel.bars[0], label=panel.title) for panel in panels)
        return [Bars("All cases", bars)]
    return panels


def _work(entry: Entry) -> str:
    parts = [str(entry.labels[name]) for name in ("dataset", "model") if entry.labels.get(name)]
    return " · ".join(parts) or entry.case


def _short_case(entry: Entry) -> str:
    """Returns the case without data set and model, which stand above it."""
    prefix = "-".join(str(entry.labels.get(name, "")) for name in ("dataset", "model"))
    return entry.case.removeprefix(prefix).removeprefix("-") or entry.case
