"""The tutorials' workloads, whole commands, beside what a reader would use instead."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.case import OURS, BenchmarkCase, Choice
from benchmarks.measure import PEER, RUN
from benchmarks.measure.metrics import METRICS, named
from benchmarks.peers.launch import PEERS
from flowrate.environment import describe_cpu, num_gpus
from trainer.model.precision import choose_precision

TITLE = "the tutorials' workloads as whole commands, beside Keras fit, PyTorch and JAX"
METRIC = METRICS["steps_per_second"]
COLUMNS = named(
    "test_accuracy", "wall_seconds", "limit_steps_per_second", "efficiency", "epoch_seconds",
    "step_p50_ms", "step_p99_ms", "first_step_seconds", "peak_memory_bytes",
)  # fmt: skip

# What a peer runs of a long workload: enough for its rate, not for an accuracy.
_PART = {"epochs": 2, "max_steps_per_epoch": 40}
# JAX's convolutions on CPUs take so long that the whole of any would be a long one.
_SLOW_AT_CONVOLUTIONS = ("jax_scan",)
_TIMEOUT_SECONDS = 4 * 3600


@dataclasses.dataclass(frozen=True)
class Workload:
    """One tutorial: model, data, batch, optimizer and epochs as its page has them.

    Attributes:
        name: data set and model.
        flags: fields of TrainConfig.
        is_long: takes minutes on two cores: peers run a part of it, unless asked for all.
    """

    name: str
    flags: dict[str, Any]
    is_long: bool = False

    @property
    def is_dense(self) -> bool:
        return self.flags["model"].startswith("mlp")


_HELD_OUT = {"dataset": "mnist", "epochs": 5, "validation_examples": 10_000}
_FLOWERS = {"dataset": "flowers", "model": "flowers_cnn"}
_WORKLOADS = (
    Workload("fashion_mnist-mlp", {"dataset": "fashion_mnist", "model": "mlp", "epochs": 10}),
    Workload("mnist-mlp16", {**_HELD_OUT, "model": "mlp16"}),
    Workload("mnist-mlp64", {**_HELD_OUT, "model": "mlp64"}),
    Workload("mnist-cnn", {"dataset": "mnist", "model": "cnn", "epochs": 5}),
    Workload("mnist-cnn5x5", {**_HELD_OUT, "model": "cnn5x5"}, is_long=True),
    Workload("flowers-flowers_cnn", {**_FLOWERS, "epochs": 10}, is_long=True),
    Workload(
        "flowers-flowers_cnn-augmented",
        {**_FLOWERS, "augmentation": "preset", "epochs": 15},
        is_long=True,
    ),
)


def cases(choice: Choice) -> list[BenchmarkCase]:
    """Returns the cases, contenders of one workload next to each other."""
    has_units = _has_bfloat16_units()
    return choice.select(
        case
        for workload in _WORKLOADS
        for case in (*_ours(workload, choice, has_units), *_peers(workload, choice))
    )


def _ours(workload: Workload, choice: Choice, has_bfloat16_units: bool) -> list[BenchmarkCase]:
    contenders: dict[str, dict[str, Any]] = {OURS: {}}
    if workload.is_dense or has_bfloat16_units:
        # Elsewhere convolutions in bfloat16 are emulated, at a tenth of the speed.
        contenders[f"{OURS}_bfloat16"] = {"precision": "mixed_bfloat16"}
    return [
        BenchmarkCase(
            suite="tutorials", name=workload.name, contender=name, measure=RUN,
            flags=choice.data_flags({**workload.flags, **flags}), timeout_seconds=_TIMEOUT_SECONDS,
        )
        for name, flags in contenders.items()
    ]  # fmt: skip


def _has_bfloat16_units() -> bool:
    on_cpu = choose_precision("auto", describe_cpu()["flags"], gpu_capability=None)
    return num_gpus() > 0 or on_cpu.policy == "mixed_bfloat16"


def _peers(workload: Workload, choice: Choice) -> list[BenchmarkCase]:
    return [
        BenchmarkCase(
            suite="tutorials", name=workload.name, contender=name, measure=PEER,
            flags=choice.data_flags(workload.flags), needs=peer.needs,
            arguments=_part(workload, name, choice.full), timeout_seconds=_TIMEOUT_SECONDS,
        )
        for name, peer in PEERS.items()
    ]  # fmt: skip


def _part(workload: Workload, peer: str, full: bool) -> dict[str, int]:
    is_slow = peer in _SLOW_AT_CONVOLUTIONS and not workload.is_dense
    return _PART if (workload.is_long or is_slow) and not full else {}
