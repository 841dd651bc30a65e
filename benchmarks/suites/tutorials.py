"""The tutorials' workloads, whole commands, beside what a reader would use instead."""

from __future__ import annotations

from benchmarks.case import OURS, BenchmarkCase
from benchmarks.suites._choice import Choice
from benchmarks.suites._workloads import WORKLOADS, Workload
from flowrate.environment import describe_cpu, num_gpus
from trainer.model.precision import choose_precision

TITLE = "the tutorials' workloads as whole commands, beside Keras fit, PyTorch and JAX"

_SUITE = "tutorials"
_PEERS = {
    "keras_fit": {"module": "benchmarks.peers.keras_fit", "reads_folder": True, "augments": True},
    "torch_eager": {"module": "benchmarks.peers.torch_loop", "needs": ["torch"]},
    "torch_compiled": {
        "module": "benchmarks.peers.torch_loop", "needs": ["torch"], "options": ["--compiled"],
    },
    "jax_scan": {
        "module": "benchmarks.peers.jax_scan", "needs": ["jax", "optax"],
        "options": ["--mode=scan"],
    },
    "jax_step": {
        "module": "benchmarks.peers.jax_scan", "needs": ["jax", "optax"],
        "options": ["--mode=step"],
    },
}  # fmt: skip
# What a peer runs of a long workload: enough for its rate, not for an accuracy.
_PART = {"epochs": 2, "max_steps_per_epoch": 40}
# JAX's convolutions on CPUs take so long that the whole of any would be a long one.
_SLOW_AT_CONVOLUTIONS = ("jax_scan", "jax_step")
_TIMEOUT_SECONDS = 4 * 3600


def cases(choice: Choice) -> list[BenchmarkCase]:
    """Returns the cases, contenders of one workload next to each other."""
    has_units = _has_bfloat16_units()
    return choice.select(
        case
        for workload in WORKLOADS
        for case in (*_ours(workload, choice, has_units), *_peers(workload, choice))
    )


def _ours(workload: Workload, choice: Choice, has_bfloat16_units: bool) -> list[BenchmarkCase]:
    contenders = {OURS: {}}
    if _is_dense(workload) or has_bfloat16_units:
        # Elsewhere convolutions in bfloat16 are emulated, at a tenth of the speed.
        contenders[f"{OURS}_bfloat16"] = {"precision": "mixed_bfloat16"}
    return [
        BenchmarkCase(
            suite=_SUITE, name=workload.name, contender=name, kind="run",
            flags=choice.data_flags({**workload.flags, **flags}), timeout_seconds=_TIMEOUT_SECONDS,
        )
        for name, flags in contenders.items()
    ]  # fmt: skip


def _is_dense(workload: Workload) -> bool:
    return workload.flags["model"].startswith("mlp")


def _has_bfloat16_units() -> bool:
    on_cpu = choose_precision("auto", describe_cpu()["flags"], gpu_capability=None)
    return num_gpus() > 0 or on_cpu.policy == "mixed_bfloat16"


def _peers(workload: Workload, choice: Choice) -> list[BenchmarkCase]:
    return [
        BenchmarkCase(
            suite=_SUITE,
            name=workload.name,
            contender=name,
            kind="peer",
            flags=choice.data_flags(workload.flags),
            arguments={**arguments, **_part(workload, name, choice.full)},
            timeout_seconds=_TIMEOUT_SECONDS,
        )
        for name, arguments in _PEERS.items()
    ]


def _part(workload: Workload, peer: str, full: bool) -> dict:
    is_slow = peer in _SLOW_AT_CONVOLUTIONS and not _is_dense(workload)
    return {"values": _PART} if (workload.is_long or is_slow) and not full else {}
