"""Which trainings are tried: each strategy, precision and compiler, with the flags for it."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from pathlib import Path

from flowrate.errors import ClusterError, ConfigError
from trainer.doctor.check import one_line

SECTION = "probes"
NUM_STEPS = 5
# Two processes are what several can be tried with; a batch that divides among them.
_NUM_REPLICAS, _BATCH_SIZE = 2, 32
_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
_FLAGS = (
    "--dataset=digits", "--model=cnn", f"--steps={NUM_STEPS}", f"--log_every_steps={NUM_STEPS}",
    "--noreport",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Probe:
    """One training: what is to be tried together."""

    strategy: str
    precision: str = "float32"
    jit: str = "auto"

    @property
    def name(self) -> str:
        return f"{self.strategy}, {self.precision}, jit {self.jit}"


def quick_probes() -> list[Probe]:
    """Returns one training for each strategy."""
    from trainer.config import STRATEGIES

    return [Probe(strategy) for strategy in STRATEGIES]


def all_probes() -> list[Probe]:
    """Returns each strategy with each precision, with and without XLA."""
    from trainer.config import STRATEGIES

    return [Probe(*each) for each in itertools.product(STRATEGIES, _PRECISIONS, ("off", "on"))]


def flags(probe: Probe, run_dir: Path, num_gpus: int) -> list[str]:
    """Returns the trainer's flags.

    Args:
        probe: what to try.
        run_dir: of the training.
        num_gpus: that TensorFlow sees.
    """
    given = [
        *_FLAGS, f"--strategy={probe.strategy}", f"--precision={probe.precision}",
        f"--jit={probe.jit}", f"--global_batch_size={batch_size(num_gpus)}", f"--run_dir={run_dir}",
    ]  # fmt: skip
    if probe.strategy == "mirrored" and num_gpus < _NUM_REPLICAS:
        given.append(f"--virtual_devices={_NUM_REPLICAS}")
    return given


def words(probe: Probe, run_dir: Path, num_gpus: int) -> list[str]:
    """Returns the module to run, and its command line; arguments as for `flags`."""
    given = flags(probe, run_dir, num_gpus)
    if probe.strategy == "multi_worker_mirrored":
        return ["trainer.launch", f"--workers={_NUM_REPLICAS}", "--max_restarts=0", "--", *given]
    return ["trainer.main", *given]


def batch_size(num_gpus: int) -> int:
    """Returns the least batch of 32 or more that divides among the GPUs and among two."""
    unit = math.lcm(_NUM_REPLICAS, max(1, num_gpus))
    return math.ceil(_BATCH_SIZE / unit) * unit


def environment(probe: Probe, num_gpus: int, visible: str | None) -> dict[str, str]:
    """Returns the variables to set: two workers get an even number of GPUs, or none at all.

    NCCL does not let two processes share a GPU.

    Args:
        probe: what to try.
        num_gpus: that TensorFlow sees.
        visible: the value of CUDA_VISIBLE_DEVICES.
    """
    if probe.strategy != "multi_worker_mirrored" or num_gpus % _NUM_REPLICAS == 0:
        return {}
    names = visible.split(",") if visible else [str(number) for number in range(num_gpus)]
    kept = names[: num_gpus - num_gpus % _NUM_REPLICAS]
    return {"CUDA_VISIBLE_DEVICES": ",".join(kept)}


def refusal(probe: Probe, num_gpus: int) -> str | None:
    """Returns why the trainer refuses these flags here, by its own checks; None: it does not."""
    from flowrate import options
    from trainer.config import TrainConfig, check_jit
    from trainer.distributed.tpu import find_tpu

    try:
        given = flags(probe, Path("runs", "probe"), num_gpus)
        config = options.parse(TrainConfig, ["trainer.main", *given])
        if probe.strategy == "tpu":
            find_tpu(config.tpu_name, os.environ)
        if probe.strategy in ("mirrored", "multi_worker_mirrored"):
            check_jit(config, max(_NUM_REPLICAS, num_gpus))
    except (ConfigError, ClusterError) as error:
        return one_line(error)
    return None
