"""Bars of one picture: grouped, named and measured, before anything is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.report.entry import Entry
from benchmarks.report.scaling import group_of

# A word that says nothing alone is shown with the name of its label.
_BARE_WORDS = frozenset({"on", "off", "auto", "none", "True", "False", "None", "yes", "no"})
# Names a reader takes for granted, and what follows from others.
_SILENT = frozenset({"dataset", "model"})


@dataclass(frozen=True)
class Bar:
    """One figure of a panel; `value` None with a `text` is a bar that is missing, and why."""

    label: str
    contender: str
    value: float | None
    low: float | None = None
    high: float | None = None
    text: str = ""
    limit: float | None = None
    parts: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Panel:
    """Bars that are held against each other."""

    title: str
    bars: tuple[Bar, ...]


def panels_of(entries: Sequence[Entry], make: Callable[[Entry, str], Bar | None]) -> list[Panel]:
    """Returns a panel for each case that has peers, else for each data set and model.

    One picture of all would show the fastest only: rates differ by a factor of 1000.
    Panels of a single bar each would compare nothing: they become one panel of all.

    Args:
        entries: of one suite.
        make: gives the bar of an entry, with its label; None leaves it out.
    """
    has_peers = len({entry.contender for entry in entries}) > 1
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.case if has_peers else group_of(entry), []).append(entry)
    panels = []
    for title, group in groups.items():
        labels = bar_labels(group)
        made = [make(entry, label) for entry, label in zip(group, labels)]
        bars = tuple(bar for bar in made if bar is not None)
        # A picture of failures alone says nothing that the table does not.
        if any(bar.value is not None for bar in bars):
            panels.append(Panel(title, bars))
    if len(panels) > 1 and all(len(panel.bars) == 1 for panel in panels):
        shown = [entry for entry in entries if make(entry, "") is not None]
        bars = (make(entry, label) for entry, label in zip(shown, bar_labels(shown)))
        return [Panel("All cases", tuple(bars))]
    return panels


def bar_labels(entries: Sequence[Entry]) -> list[str]:
    """Names each entry by what tells it from the others: labels that differ, and the contender."""
    names = list(dict.fromkeys(name for entry in entries for name in entry.labels))
    differing = [
        name
        for name in names
        if name not in _SILENT and len({str(entry.labels.get(name)) for entry in entries}) > 1
    ]
    if len({group_of(entry) for entry in entries}) > 1:
        titles = [group_of(entry) for entry in entries]
        if len(set(titles)) == len(entries):
            return titles
        return [_with_contender(entry, entries, entry.case) for entry in entries]
    if len({entry.case for entry in entries}) == 1:
        return [entry.contender for entry in entries]
    if any(entry.labels.keys() != entries[0].labels.keys() for entry in entries):
        # Of one process and of several, say: what they are is in their names.
        return [_with_contender(entry, entries, _short_case(entry)) for entry in entries]
    labels = [_with_contender(e, entries, _configuration(e, differing)) for e in entries]
    if len(set(labels)) < len(labels):
        return [_with_contender(entry, entries, entry.case) for entry in entries]
    return labels


def _configuration(entry: Entry, differing: Sequence[str]) -> str:
    words = []
    for name in differing:
        if name not in entry.labels:
            continue
        word = str(entry.labels[name])
        bare = word in _BARE_WORDS or not any(letter.isalpha() for letter in word)
        words.append(f"{name.replace('_', ' ')} {word}" if bare else word)
    return " · ".join(words) or entry.case


def _short_case(entry: Entry) -> str:
    """Returns the case without data set and model, which stand above it."""
    prefix = "-".join(str(entry.labels.get(name, "")) for name in ("dataset", "model"))
    return entry.case.removeprefix(f"{prefix}-")


def _with_contender(entry: Entry, entries: Sequence[Entry], text: str) -> str:
    if len({other.contender for other in entries}) == 1:
        return text
    return f"{entry.contender} · {text}"
