"""Replicas 1 to N: the same work shared out (strong), and work that grows with them (weak).

In one process, over its GPUs or virtual devices; and in processes of one replica each, joined by
loopback or by virtual cables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.case import BenchmarkCase, Choice
from benchmarks.measure import RATE, WORKERS_RATE
from benchmarks.measure.metrics import METRICS, Metric, named
from flowrate.environment import num_cpus, num_gpus

TITLE = (
    "replicas 1 to N, weak and strong: in one process over GPUs or virtual devices, and in "
    "processes of one replica"
)
METRIC = METRICS["images_per_second"]
COLUMNS = named(
    "steps_per_second", "limit_steps_per_second", "efficiency", "exchange_share", "exchange_ms",
    "gradient_bytes_per_step",
)  # fmt: skip
RATIO = Metric(
    "speed_up", "Speed-up", "times one replica",
    "Images per second over those of one replica: ratio of the geometric means over the repeats, "
    "with Welch's 95 % interval of the logarithms. As many as there are replicas is ideal.",
)  # fmt: skip
MARK = "the rate of one replica times the number of replicas"

_WORKS = (
    {"dataset": "mnist", "model": "mlp"},
    {"dataset": "mnist", "model": "cnn"},
)
_KINDS = ("strong", "weak")
_BATCH_SIZE = 256
_WORKER_COUNTS = (1, 2, 4)
# Which works are measured over which link; over loopback all are.
_LINKS = {"loopback": _WORKS, "namespaces": _WORKS[1:]}


def cases(choice: Choice) -> list[BenchmarkCase]:
    """Returns the cases, by work, kind of scaling and number of replicas; then by link as well."""
    return choice.select([*_replicas(choice), *_workers(choice)])


def group(entry) -> str:
    """Returns what the entries share that differ in the number of replicas alone."""
    labels = entry.labels
    names = [str(labels.get(name, "")) for name in ("dataset", "model", "scaling")]
    return " · ".join([*filter(None, names), labels.get("link", "one process")])


def ratios(entries) -> dict[Any, Any]:
    """Returns the speed-up of each entry over the one with one replica, where that was measured."""
    from benchmarks.statistics import compare  # scipy, which lists of cases do without.

    found = {}
    for entry in entries:
        one = _one_replica(entry, entries)
        if one and one is not entry and entry.values(METRIC.name):
            found[entry] = compare(one.values(METRIC.name), entry.values(METRIC.name))
    return found


def outcome(entries, ratios) -> list[str]:
    """Returns what the largest number of replicas gives, for each group."""
    last = {group(entry): entry for entry in sorted(ratios, key=_num_replicas)}
    return [
        f"{name}: {_num_replicas(entry)} replicas give {ratios[entry].ratio:.3g} times the "
        "images/s of one."
        for name, entry in last.items()
    ]


def mark(entry, entries) -> float | None:
    """Returns the ideal: the rate of one replica times the number of replicas."""
    one = _one_replica(entry, entries)
    return one.median(METRIC.name).median * _num_replicas(entry) if one else None


def _one_replica(entry, entries):
    for other in entries:
        is_alike = other.contender == entry.contender and group(other) == group(entry)
        if is_alike and _num_replicas(other) == 1 and other.values(METRIC.name):
            return other
    return None


def _num_replicas(entry) -> int:
    return entry.labels.get("num_replicas", 0)


def _replicas(choice: Choice) -> Iterator[BenchmarkCase]:
    most = num_gpus() or max(4 if choice.full else 2, num_cpus())
    counts = [count for count in (1, 2, 4, 8, 16, 32, 64) if count <= most]
    for work in _WORKS:
        for scaling in _KINDS:
            for count in counts:
                flags: dict[str, Any] = {"strategy": "mirrored" if count > 1 else "one_device"}
                if not num_gpus() and count > 1:
                    flags["virtual_devices"] = count
                yield _case(work, scaling, count, choice, flags)


def _workers(choice: Choice) -> Iterator[BenchmarkCase]:
    for link, works in _LINKS.items():
        for work in works:
            for scaling in _KINDS:
                for count in (*_WORKER_COUNTS, *((8,) if choice.full else ())):
                    yield _case(work, scaling, count, choice, {}, link)


def _case(
    work: dict[str, Any],
    scaling: str,
    count: int,
    choice: Choice,
    flags: dict[str, Any],
    link: str | None = None,
) -> BenchmarkCase:
    flags = {
        **work,
        "global_batch_size": _BATCH_SIZE * (count if scaling == "weak" else 1),
        **flags,
        # The same step on any number of replicas: XLA takes only one.
        "jit": "off",
    }
    words = [work["dataset"], work["model"], scaling, *([link] if link else []), str(count)]
    return BenchmarkCase(
        suite="scaling",
        name="-".join(words),
        measure=WORKERS_RATE if link else RATE,
        flags=choice.data_flags(flags),
        seconds=choice.seconds,
        arguments={"num_workers": count, "link": link} if link else {},
        labels={"scaling": scaling},
    )
