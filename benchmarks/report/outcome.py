"""The outcome of a suite in a few plain sentences, computed from its entries."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from benchmarks.records import PRIMARY_METRIC, is_lower_better
from benchmarks.report import formats
from benchmarks.report.cells import STATUS_WORDS
from benchmarks.report.columns import PRIMARY_HEADER
from benchmarks.report.entry import OURS, Entry
from benchmarks.report.layouts import layout_outcome
from benchmarks.report.scaling import scaling_series

NAME = OURS.capitalize()
# More than this many cases by name make a list, not a sentence.
MAX_NAMED = 3
# The share of its limit that a case should reach.
GOOD_EFFICIENCY = 0.95


def outcome(suite: str, entries: Sequence[Entry]) -> list[str]:
    """Returns the sentences of a suite, the most important first."""
    own = _of_scaling(entries) if suite == "scaling" else []
    if suite == "equality":
        own = layout_outcome(entries)
    sentences = [
        _against_peers(entries),
        _peer_by_peer(entries),
        *(own or [_range_of_rates(suite, entries)]),
        _targets(entries),
        _efficiency(entries),
        _statuses(entries),
    ]
    return [sentence for sentence in sentences if sentence]


def contests(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    """Returns, for each case that ours and a peer both ended, the peers."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.speed_ratio is not None:
            found.setdefault(entry.case, []).append(entry)
    return found


def _against_peers(entries: Sequence[Entry]) -> str:
    cases = contests(entries)
    if not cases:
        return ""
    won, level, behind = [], [], []
    for peers in cases.values():
        best = min(peers, key=lambda peer: peer.speed_ratio.ratio)
        if all((peer.speed_ratio.low or 0) > 1 for peer in peers):
            won.append(best)
        elif any((peer.speed_ratio.high or math.inf) < 1 for peer in peers):
            behind.append(best)
        else:
            level.append(best)
    of_all = formats.count_of(len(cases), "case")
    parts = [f"{NAME} is clearly the fastest on {len(won)} of {of_all}"]
    if level:
        parts.append(f"on {len(level)} it cannot be told from the fastest ({_rivals(level)})")
    if behind:
        parts.append(f"on {len(behind)} it is behind ({_rivals(behind)})")
    return "; ".join(parts) + "."


def _rivals(peers: Sequence[Entry]) -> str:
    """Names who is best on which case, and how that compares with ours."""
    named = [
        f"{peer.contender} {formats.times(1 / peer.speed_ratio.ratio)} on {peer.case}"
        for peer in peers[:MAX_NAMED]
    ]
    if len(peers) > MAX_NAMED:
        named.append(f"and {len(peers) - MAX_NAMED} more")
    return ", ".join(named)


def _peer_by_peer(entries: Sequence[Entry]) -> str:
    by_peer: dict[str, list[float]] = {}
    for entry in entries:
        if entry.speed_ratio is not None:
            by_peer.setdefault(entry.contender, []).append(entry.speed_ratio.ratio)
    parts = []
    for peer, ratios in by_peer.items():
        low, high = min(ratios), max(ratios)
        span = (
            formats.times(low)
            if len(ratios) == 1
            else f"{formats.number(low)} to {formats.times(high)}"
        )
        parts.append(f"{peer} {span}")
    return f"{NAME}'s speed over that of the others: {', '.join(parts)}." if parts else ""


def _range_of_rates(suite: str, entries: Sequence[Entry]) -> str:
    if contests(entries):
        return ""
    metric = PRIMARY_METRIC[suite]
    rates = [(entry.primary.median, entry.case) for entry in entries if entry.primary]
    if not rates:
        return "No case gave a figure."
    unit = PRIMARY_HEADER[metric][1]
    (low, slowest), (high, fastest) = min(rates), max(rates)
    cases = formats.count_of(len(rates), "case")
    if len(rates) == 1:
        return f"{cases}: {formats.number(low)} {unit} ({slowest})."
    order = "lowest" if is_lower_better(metric) else "slowest"
    return (
        f"{cases} from {formats.number(low)} {unit} ({order}: {slowest}) "
        f"to {formats.number(high)} {unit} ({fastest})."
    )


def _of_scaling(entries: Sequence[Entry]) -> list[str]:
    sentences = []
    for series in scaling_series(entries):
        last = series.points[-1]
        if last.efficiency is None or last.num_replicas == series.points[0].num_replicas:
            continue
        spread = (
            f" ({formats.interval(last.efficiency_low, last.efficiency_high)})"
            if last.efficiency_low is not None
            else ""
        )
        name = ", ".join(filter(None, (series.group, series.name)))
        sentences.append(
            f"{name}: {last.num_replicas} replicas give "
            f"{formats.times(last.efficiency * last.num_replicas)} the images/s of one, "
            f"efficiency {formats.number(last.efficiency)}{spread}."
        )
    return sentences


def _targets(entries: Sequence[Entry]) -> str:
    reached = [value > 0 for entry in entries for value in entry.values("reached_target")]
    if not reached:
        return ""
    runs = formats.count_of(len(reached), "run")
    return f"The target accuracy was reached in {sum(reached)} of {runs}."


def _efficiency(entries: Sequence[Entry]) -> str:
    found = [(entry.median("efficiency").median, entry) for entry in entries
             if entry.median("efficiency")]  # fmt: skip
    if not found:
        return ""
    lowest, entry = min(found, key=lambda pair: pair[0])
    num_good = sum(value >= GOOD_EFFICIENCY for value, _ in found)
    return (
        f"{num_good} of {formats.count_of(len(found), 'case')} run at {GOOD_EFFICIENCY} of the "
        f"limit or more; the lowest is {formats.number(lowest)} ({entry.case})."
    )


def _statuses(entries: Sequence[Entry]) -> str:
    rows = [row for entry in entries for row in entry.rows]
    counts = Counter(row["status"] for row in rows)
    parts = [f"{counts[status]} {word}" for status, word in STATUS_WORDS.items() if counts[status]]
    num_noisy = sum(len(entry.noisy_rows) for entry in entries)
    sentence = f"{formats.count_of(len(rows), 'repeat')}: {counts['ok']} ok"
    if parts:
        sentence += f", {', '.join(parts)}"
    return f"{sentence}; {num_noisy} noisy." if num_noisy else f"{sentence}."
