"""What layers compute in: the rule behind `--precision=auto`, and its reason in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

# Matrix units for bfloat16. Without one, CPUs emulate it and are slower than in float32.
_BFLOAT16_CPU_FLAGS = ("amx_bf16", "avx512_bf16")
# Tensor cores: for float16 since Volta, for bfloat16 since Ampere.
_BFLOAT16_CAPABILITY = (8, 0)
_FLOAT16_CAPABILITY = (7, 0)


@dataclasses.dataclass(frozen=True)
class PrecisionChoice:
    """A Keras dtype policy, and why."""

    policy: str
    reason: str


def choose_precision(
    asked: str, cpu_flags: Collection[str], gpu_capability: tuple[int, int] | None
) -> PrecisionChoice:
    """Chooses for `--precision=auto`.

    Args:
        asked: auto, or a policy.
        cpu_flags: instruction sets of the CPU, as in /proc/cpuinfo.
        gpu_capability: compute capability of the GPU that is used, None where there is none.
    """
    if asked != "auto":
        return PrecisionChoice(asked, f"--precision={asked}")
    if gpu_capability is not None:
        name = "compute capability " + ".".join(map(str, gpu_capability))
        if gpu_capability >= _BFLOAT16_CAPABILITY:
            return PrecisionChoice("mixed_bfloat16", name)
        if gpu_capability >= _FLOAT16_CAPABILITY:
            return PrecisionChoice("mixed_float16", name)
        return PrecisionChoice("float32", f"{name}: no tensor cores")
    for flag in _BFLOAT16_CPU_FLAGS:
        if flag in cpu_flags:
            return PrecisionChoice("mixed_bfloat16", f"the CPU has {flag}")
    return PrecisionChoice("float32", "the CPU has no bfloat16 unit (AMX or AVX512-BF16)")
