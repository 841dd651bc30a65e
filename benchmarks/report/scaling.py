"""Images per second and efficiency over the number of replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report.entry import Entry, usable
from benchmarks.statistics import MedianInterval, ratio_interval

# These change with the number of replicas; all other labels tell one series from another.
_FOLLOW_REPLICAS = frozenset(
    {
        "num_replicas", "num_devices", "virtual_devices", "strategy",
        "global_batch_size", "per_replica_batch_size", "num_workers",
    }
)  # fmt: skip


@dataclass(frozen=True)
class ScalingPoint:
    """One number of replicas; efficiency is images/s over replicas times those of one."""

    entry: Entry
    num_replicas: int
    images: MedianInterval
    efficiency: float | None
    efficiency_low: float | None
    efficiency_high: float | None


@dataclass(frozen=True)
class ScalingSeries:
    """Points by rising number of replicas; `name` tells those of one `group` (data set, model)."""

    group: str
    name: str
    points: tuple[ScalingPoint, ...]


def scaling_series(entries: Sequence[Entry]) -> list[ScalingSeries]:
    """Returns the series among the entries: equal in every label but those that follow replicas."""
    by_labels: dict[tuple, list[Entry]] = {}
    for entry in entries:
        if isinstance(entry.labels.get("num_replicas"), int) and entry.values("images_per_second"):
            by_labels.setdefault(_series_key(entry), []).append(entry)
    names = _names(list(by_labels))
    return [
        ScalingSeries(group_of(group[0]), names[key], _points(group))
        for key, group in by_labels.items()
    ]


def group_of(entry: Entry) -> str:
    """Returns data set and model, which share one picture; the case where a label is missing."""
    parts = [str(entry.labels[name]) for name in ("dataset", "model") if entry.labels.get(name)]
    return " · ".join(parts) or entry.case


def _series_key(entry: Entry) -> tuple[tuple[str, str], ...]:
    labels = sorted((k, str(v)) for k, v in entry.labels.items() if k not in _FOLLOW_REPLICAS)
    return (("contender", entry.contender), *labels)


def _names(keys: Sequence[tuple]) -> dict[tuple, str]:
    """Names a series by what tells it from others, besides data set and model.

    Rows of one process and of several have different labels: what only some have does not count,
    but for the link between processes.
    """
    every = [dict(key) for key in keys]
    names = set.intersection(*map(set, every)) - {"dataset", "model"} if every else set()
    order = sorted(name for name in names if len({labels[name] for labels in every}) > 1)
    if any("link" in labels for labels in every):
        for labels in every:
            labels.setdefault("link", "one process")
        order.append("link")
    return {key: " · ".join(labels[name] for name in order) for key, labels in zip(keys, every)}


def _points(group: Sequence[Entry]) -> tuple[ScalingPoint, ...]:
    group = sorted(group, key=lambda entry: entry.labels["num_replicas"])
    one = group[0] if group[0].labels["num_replicas"] == 1 else None
    return tuple(_point(entry, one) for entry in group)


def _point(entry: Entry, one: Entry | None) -> ScalingPoint:
    num_replicas = entry.labels["num_replicas"]
    images = entry.median("images_per_second")
    known = entry.median("scaling_efficiency")
    if known is not None:
        return ScalingPoint(entry, num_replicas, images, known.median, known.low, known.high)
    if one is None or not usable(one.values("images_per_second")):
        return ScalingPoint(entry, num_replicas, images, None, None, None)
    if entry is one:
        return ScalingPoint(entry, num_replicas, images, 1.0, None, None)
    ratio = ratio_interval(entry.values("images_per_second"), one.values("images_per_second"))
    low, high = (None if end is None else end / num_replicas for end in (ratio.low, ratio.high))
    return ScalingPoint(entry, num_replicas, images, ratio.ratio / num_replicas, low, high)
