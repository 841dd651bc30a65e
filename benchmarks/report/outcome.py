"""The outcome of a suite in a few plain sentences, computed from its entries."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from benchmarks.case import OURS
from benchmarks.report import formats
from benchmarks.report.entry import Entry, Ratios, SuiteEntries
from benchmarks.report.tables import STATUS_WORDS

_NAME = OURS.capitalize()
# More than this many cases by name make a list, not a sentence.
_MAX_NAMED = 3
# The share of its limit that a case should reach.
_GOOD_EFFICIENCY = 0.95


def outcome(of: SuiteEntries) -> list[str]:
    """Returns the sentences of a suite, the most important first."""
    own = of.suite.outcome(of.entries, of.ratios) if hasattr(of.suite, "outcome") else []
    against = [] if hasattr(of.suite, "RATIO") else _against_peers(of.ratios)
    sentences = [
        *own,
        *(against or [_range_of_figures(of)]),
        _efficiency(of.entries),
        _statuses(of.entries),
    ]
    return [sentence for sentence in sentences if sentence]


def _against_peers(ratios: Ratios) -> list[str]:
    cases: dict[str, list[Entry]] = {}
    by_peer: dict[str, list[float]] = {}
    for peer, ratio in ratios.items():
        cases.setdefault(peer.case, []).append(peer)
        by_peer.setdefault(peer.contender, []).append(ratio.ratio)
    if not cases:
        return []
    won, level, behind = [], [], []
    for peers in cases.values():
        best = min(peers, key=lambda peer: ratios[peer].ratio)
        if all((ratios[peer].low or 0) > 1 for peer in peers):
            won.append(best)
        elif any((ratios[peer].high or math.inf) < 1 for peer in peers):
            behind.append(best)
        else:
            level.append(best)
    of_all = formats.count_of(len(cases), "case")
    parts = [f"{_NAME} is clearly the fastest on {len(won)} of {of_all}"]
    if level:
        rivals = _rivals(level, ratios)
        parts.append(f"on {len(level)} it cannot be told from the fastest ({rivals})")
    if behind:
        parts.append(f"on {len(behind)} it is behind ({_rivals(behind, ratios)})")
    spans = [f"{peer} {_span(found)}" for peer, found in by_peer.items()]
    return [
        "; ".join(parts) + ".",
        f"{_NAME}'s speed over that of the others: {', '.join(spans)}.",
    ]


def _span(ratios: Sequence[float]) -> str:
    low, high = min(ratios), max(ratios)
    if len(ratios) == 1:
        return formats.times(low)
    return f"{formats.number(low)} to {formats.times(high)}"


def _rivals(peers: Sequence[Entry], ratios: Ratios) -> str:
    """Names who is best on which case, and how that compares with ours."""
    named = [
        f"{peer.contender} {formats.times(1 / ratios[peer].ratio)} on {peer.case}"
        for peer in peers[:_MAX_NAMED]
    ]
    if len(peers) > _MAX_NAMED:
        named.append(f"and {len(peers) - _MAX_NAMED} more")
    return ", ".join(named)


def _range_of_figures(of: SuiteEntries) -> str:
    metric = of.suite.METRIC
    found = [(metric.scale * e.primary.median, e.case) for e in of.entries if e.primary]
    if not found:
        return "No case gave a figure."
    (low, lowest), (high, highest) = min(found), max(found)
    cases = formats.count_of(len(found), "case")
    if len(found) == 1:
        return f"{cases}: {formats.number(low)} {metric.unit} ({lowest})."
    return (
        f"{cases} from {formats.number(low)} {metric.unit} ({lowest}) "
        f"to {formats.number(high)} {metric.unit} ({highest})."
    )


def _efficiency(entries: Sequence[Entry]) -> str:
    medians = [(entry.median("efficiency"), entry) for entry in entries]
    found = [(median.median, entry.case) for median, entry in medians if median]
    if not found:
        return ""
    lowest, case = min(found)
    num_good = sum(value >= _GOOD_EFFICIENCY for value, _ in found)
    return (
        f"{num_good} of {formats.count_of(len(found), 'case')} run at {_GOOD_EFFICIENCY} of the "
        f"limit or more; the lowest is {formats.number(lowest)} ({case})."
    )


def _statuses(entries: Sequence[Entry]) -> str:
    rows = [row for entry in entries for row in entry.rows]
    counts = Counter(row["status"] for row in rows)
    parts = [f"{counts[status]} {word}" for status, word in STATUS_WORDS.items() if counts[status]]
    num_noisy = sum(len(entry.noisy_rows) for entry in entries)
    sentence = ", ".join([f"{formats.count_of(len(rows), 'repeat')}: {counts['ok']} ok", *parts])
    return f"{sentence}; {num_noisy} noisy." if num_noisy else f"{sentence}."
