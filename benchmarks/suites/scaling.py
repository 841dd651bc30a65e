"""Replicas 1 to N: the same work shared out (strong), and work that grows with them (weak)."""

from __future__ import annotations

from typing import Any

from benchmarks.case import BenchmarkCase
from benchmarks.suites._choice import Choice
from flowrate.environment import num_cpus, num_gpus

TITLE = "replicas 1 to N, weak and strong: GPUs where present, else virtual devices on the CPU"

_SUITE = "scaling"
_WORKS = (
    {"dataset": "mnist", "model": "mlp"},
    {"dataset": "mnist", "model": "cnn"},
)
_BATCH_SIZE = 256


def cases(choice: Choice) -> list[BenchmarkCase]:
    """Returns the cases, by work, kind of scaling and number of replicas."""
    most = num_gpus() or max(4 if choice.full else 2, num_cpus())
    counts = [count for count in (1, 2, 4, 8, 16, 32, 64) if count <= most]
    return choice.select(
        _case(work, scaling, count, choice)
        for work in _WORKS
        for scaling in ("strong", "weak")
        for count in counts
    )


def _case(work: dict[str, Any], scaling: str, count: int, choice: Choice) -> BenchmarkCase:
    flags = {
        **work,
        "global_batch_size": _BATCH_SIZE * (count if scaling == "weak" else 1),
        "strategy": "mirrored" if count > 1 else "one_device",
        # The same step on any number of replicas: XLA takes only one.
        "jit": "off",
    }
    if not num_gpus() and count > 1:
        flags["virtual_devices"] = count
    return BenchmarkCase(
        suite=_SUITE,
        name=f"{work['dataset']}-{work['model']}-{scaling}-{count}",
        kind="rate",
        flags=choice.data_flags(flags),
        seconds=choice.seconds,
        arguments={"labels": {"scaling": scaling}},
    )
