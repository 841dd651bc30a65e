"""Which pictures a suite gets: its rates, limits, accuracies, phases and scaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from benchmarks.records import PRIMARY_METRIC, is_lower_better
from benchmarks.report import charts, formats
from benchmarks.report.cells import STATUS_WORDS
from benchmarks.report.columns import PRIMARY_HEADER
from benchmarks.report.entry import OURS, Entry
from benchmarks.report.panels import Bar, Panel, panels_of
from benchmarks.report.scaling import scaling_series
from benchmarks.report.scaling_chart import scaling_panel
from flowrate.pages.drawing import phase_color


@dataclass(frozen=True)
class Picture:
    """A heading, what is to be seen, and a drawing for each panel with its title.

    Attributes:
        legend: (name, colour) pairs, where the drawings do not name their parts.
    """

    title: str
    note: str
    panels: tuple[tuple[str, Markup], ...]
    legend: tuple[tuple[str, str], ...] = ()


def pictures(suite: str, entries: Sequence[Entry]) -> list[Picture]:
    """Returns the pictures of a suite that have something to show."""
    scaled = scaling(entries) if suite == "scaling" else None
    found = [
        # Lines over the number of replicas say what bars would, and more.
        scaled if scaled and scaled.panels else rates(suite, entries),
        efficiencies(suite, entries),
        accuracies(suite, entries),
        phases(suite, entries),
    ]
    return [picture for picture in found if picture.panels]


def rates(suite: str, entries: Sequence[Entry]) -> Picture:
    """The figure the suite is judged by, with interval and limit."""
    metric = PRIMARY_METRIC[suite]
    unit = PRIMARY_HEADER[metric][1]
    with_limit = metric == "steps_per_second"

    def make(entry: Entry, label: str) -> Bar | None:
        bar = _bar(entry, label, entry.primary)
        limit = entry.median("limit_steps_per_second") if with_limit else None
        return bar and replace(bar, limit=limit and limit.median)

    note = "Median and 95 % interval."
    if is_lower_better(metric):
        note += " Shorter is better."
    if with_limit and any(entry.values("limit_steps_per_second") for entry in entries):
        note += " The thick upright line is the limit: the bare compiled step."
    names = _contenders(entries)
    panels = panels_of(entries, make)
    return Picture(
        PRIMARY_HEADER[metric][0],
        f"{note} Points in place of bars mark a logarithmic axis." if _any_log(panels) else note,
        _drawn(f"{suite}-rate", panels, charts.bar_panel, unit, names),
    )


def efficiencies(suite: str, entries: Sequence[Entry]) -> Picture:
    """How near each case comes to its limit."""

    def make(entry: Entry, label: str) -> Bar | None:
        found = entry.median("efficiency")
        bar = _bar(entry, label, found) if found else None
        return bar and replace(bar, limit=1.0)

    names = _contenders(entries)
    return Picture(
        "Efficiency against the limit",
        "Rate over the lower of the limit and the input-only rate, with its 95 % interval. "
        "At the upright line nothing is lost.",
        _drawn(
            f"{suite}-efficiency", panels_of(entries, make), charts.bar_panel, "of the limit", names
        ),
    )


def accuracies(suite: str, entries: Sequence[Entry]) -> Picture:
    """Test accuracy with its deviation over seeds."""

    def make(entry: Entry, label: str) -> Bar | None:
        found = entry.accuracy
        if found is None:
            return None
        spread = found.deviation
        text = formats.deviation(found.mean, spread)
        low, high = (None, None) if spread is None else (found.mean - spread, found.mean + spread)
        return Bar(label, entry.contender, found.mean, low, high, text)

    names = _contenders(entries)
    return Picture(
        "Test accuracy",
        "Mean and standard deviation over seeds. The axes do not begin at zero.",
        _drawn(f"{suite}-accuracy", panels_of(entries, make), charts.accuracy_panel, names),
    )


def phases(suite: str, entries: Sequence[Entry]) -> Picture:
    """Where the wall time went."""
    names = list(dict.fromkeys(name for entry in entries for name in entry.phases()))
    names = [*(name for name in names if name != "other"), *(["other"] if names else [])]

    def make(entry: Entry, label: str) -> Bar | None:
        found = entry.phases()
        if not found:
            return None
        parts = tuple((name, found.get(name, 0.0)) for name in names)
        total = sum(found.values())
        text = ", ".join(
            f"{name} {formats.number(seconds)} s" for name, seconds in parts if seconds
        )
        return Bar(label, entry.contender, total, text=text, parts=parts)

    return Picture(
        "Where the time goes",
        "Seconds of the whole process by phase, median over the repeats.",
        _drawn(f"{suite}-phases", panels_of(entries, make), charts.phases_panel, names),
        tuple((name.replace("_", " "), phase_color(name, names)) for name in names),
    )


def scaling(entries: Sequence[Entry]) -> Picture:
    """Images per second and efficiency over the number of replicas."""
    series = scaling_series(entries)
    drawn = []
    for number, group in enumerate(dict.fromkeys(one.group for one in series)):
        mine = [one for one in series if one.group == group]
        drawn += [
            (
                f"{group}, {words}",
                scaling_panel(f"scaling-{what}-{number}", group, mine, what),
            )
            for what, words in (("images", "images/s"), ("efficiency", "efficiency"))
            if what == "images" or any(p.efficiency is not None for one in mine for p in one.points)
        ]
    note = (
        "Images/s: median and 95 % interval. Efficiency: ratio of the geometric means and its "
        "95 % interval. Dashed: as many times one replica as there are replicas."
    )
    return Picture("Scaling", note, tuple(drawn))


def _drawn(name: str, panels: Sequence[Panel], draw, *details) -> tuple[tuple[str, Markup], ...]:
    """Returns each panel's title and drawing; `draw` takes a name of its own, panel and details."""
    return tuple(
        (panel.title, draw(f"{name}-{number}", panel, *details))
        for number, panel in enumerate(panels)
    )


def _bar(entry: Entry, label: str, found) -> Bar | None:
    if found is not None:
        return Bar(label, entry.contender, found.median, found.low, found.high,
                   formats.number(found.median))  # fmt: skip
    statuses = [row["status"] for row in entry.rows if row["status"] != "ok"]
    if not statuses or set(statuses) == {"skipped"}:
        return None
    return Bar(label, entry.contender, None, text=STATUS_WORDS[statuses[-1]])


def _any_log(panels) -> bool:
    return any(charts.is_logarithmic(panel) for panel in panels)


def _contenders(entries: Sequence[Entry]) -> list[str]:
    return sorted({entry.contender for entry in entries}, key=lambda name: (name != OURS, name))
