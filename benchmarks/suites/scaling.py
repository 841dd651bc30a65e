"""Replicas 1 to N: the same work shared out (strong), and work that grows with them (weak).

In one process, over its GPUs or virtual devices; and in processes of one replica each, joined by
loopback or by virtual cables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.case import BenchmarkCase
from benchmarks.suites._choice import Choice
from flowrate.environment import num_cpus, num_gpus

TITLE = (
    "replicas 1 to N, weak and strong: in one process over GPUs or virtual devices, and in "
    "processes of one replica"
)

_SUITE = "scaling"
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


def _replicas(choice: Choice) -> Iterator[BenchmarkCase]:
    most = num_gpus() or max(4 if choice.full else 2, num_cpus())
    counts = [count for count in (1, 2, 4, 8, 16, 32, 64) if count <= most]
    for work in _WORKS:
        for scaling in _KINDS:
            for count in counts:
                flags = {"strategy": "mirrored" if count > 1 else "one_device"}
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
        suite=_SUITE,
        name="-".join(words),
        kind="workers_rate" if link else "rate",
        flags=choice.data_flags(flags),
        seconds=choice.seconds,
        arguments={
            "labels": {"scaling": scaling},
            **({"num_workers": count, "link": link} if link else {}),
        },
    )
