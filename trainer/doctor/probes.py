"""Probes: real trainings of five steps, each strategy, precision and compiler after the other."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flowrate.errors import ClusterError, ConfigError
from trainer.doctor import children, tensorflow_child
from trainer.doctor.check import ABSENT, FAILED, OK, WARNING, Check, one_line

_NUM_STEPS = 5
# Two processes are what several can be tried with; a batch that divides among them.
_NUM_REPLICAS, _BATCH_SIZE = 2, 32
# How far a loss may lie from the first one's, as a share of it. Seen on CPUs: 1e-7, 1.4e-4, 4e-5;
# on GPUs products in float32 have 10 bits. Weights that do not move are off by 3.4e-3.
_TOLERANCES = {"float32": 5e-4, "mixed_bfloat16": 2e-3, "mixed_float16": 1e-3}
_FLAGS = (
    "--dataset=digits", "--model=cnn", f"--steps={_NUM_STEPS}", f"--log_every_steps={_NUM_STEPS}",
    "--noreport",
)  # fmt: skip
# How several processes are launched. With more than one asynchronous worker the loss would depend
# on which was first.
_LAUNCH = {
    "multi_worker_mirrored": (f"--workers={_NUM_REPLICAS}",),
}


@dataclasses.dataclass(frozen=True)
class Probe:
    """One training: what is to be tried together."""

    strategy: str
    precision: str = "float32"
    jit: str = "auto"

    @property
    def name(self) -> str:
        return f"{self.strategy}, {self.precision}, jit {self.jit}"


def look(is_full: bool, timeout_seconds: float) -> Iterator[tuple[str, Check]]:
    """Yields a check for each training, of `timeout_seconds` at most."""
    facts, _ = tensorflow_child.facts()
    if facts is None:
        yield "probes", Check(ABSENT, "not tried: TensorFlow cannot be imported")
        return
    yield from try_all(list_probes(is_full), len(facts["gpus"]), timeout_seconds)


def list_probes(is_full: bool) -> list[Probe]:
    """Returns one of each strategy; or each with each precision, with and without XLA.

    The first is of one device in float32.
    """
    from trainer.config import STRATEGIES

    if not is_full:
        return [Probe(strategy) for strategy in STRATEGIES]
    return [Probe(*each) for each in itertools.product(STRATEGIES, _TOLERANCES, ("off", "on"))]


def try_all(
    probes: list[Probe], num_gpus: int, timeout_seconds: float
) -> Iterator[tuple[str, Check]]:
    """Yields a check for each training; the first loss is what the others are compared with.

    Args:
        probes: what to try.
        num_gpus: that TensorFlow sees.
        timeout_seconds: for each.
    """
    reference = None
    for probe in probes:
        if reason := refusal(probe, num_gpus):
            yield probe.name, Check(ABSENT, f"not possible here: {reason}")
            continue
        with tempfile.TemporaryDirectory(prefix="flowrate-doctor-") as name:
            run_dir = Path(name, "run")
            ended = children.run(
                words(probe, run_dir, num_gpus), timeout_seconds=timeout_seconds, folder=Path(name),
                environment=environment(probe, num_gpus, os.environ.get("CUDA_VISIBLE_DEVICES")),
            )  # fmt: skip
            outcome = _read(run_dir) if ended.exit_code == 0 else None
        if outcome is None:
            yield probe.name, _failed(probe, ended, timeout_seconds)
            continue
        yield probe.name, judge(probe, outcome, reference)
        reference = reference or outcome["loss"]


def judge(probe: Probe, outcome: dict[str, Any], reference: float | None) -> Check:
    """Returns the check of a training that ended well.

    Args:
        probe: what was tried.
        outcome: its loss, seconds of its first step, and replicas.
        reference: the loss of one device in float32; None where there is none.
    """
    facts, loss = {**dataclasses.asdict(probe), **outcome}, outcome["loss"]
    found = (
        f"loss {loss:.5f}, first step {outcome['first_step_seconds']:.1f} s, "
        f"replicas: {outcome['num_replicas']}"
    )
    if reference is None and probe.strategy != "one_device":
        to_do = "see one_device above, whose loss it is compared with."
        return Check(WARNING, f"{found}; no loss to compare with", to_do, facts)
    facts["relative_difference"] = difference = abs(loss / (reference or loss) - 1)
    if difference <= _TOLERANCES[probe.precision]:
        return Check(OK, found, facts=facts)
    found += f": {difference:.1%} off the {reference:.5f} of one device in float32"
    to_do = "do not trust this combination here; report it with environment.json of a run."
    return Check(FAILED, found, to_do, facts)


def flags(probe: Probe, run_dir: Path, num_gpus: int) -> list[str]:
    """Returns the trainer's flags; `num_gpus` is how many TensorFlow sees."""
    # The least batch of 32 or more that divides among the GPUs and among two.
    unit = math.lcm(_NUM_REPLICAS, max(1, num_gpus))
    given = [
        *_FLAGS, f"--strategy={probe.strategy}", f"--precision={probe.precision}",
        f"--jit={probe.jit}", f"--global_batch_size={math.ceil(_BATCH_SIZE / unit) * unit}",
        f"--run_dir={run_dir}",
    ]  # fmt: skip
    if probe.strategy == "mirrored" and num_gpus < _NUM_REPLICAS:
        given.append(f"--virtual_devices={_NUM_REPLICAS}")
    return given


def words(probe: Probe, run_dir: Path, num_gpus: int) -> list[str]:
    """Returns the module to run, and its command line; arguments as for `flags`."""
    given = flags(probe, run_dir, num_gpus)
    if processes := _LAUNCH.get(probe.strategy):
        return ["trainer.launch", *processes, "--max_restarts=0", "--", *given]
    return ["trainer.main", *given]


def environment(probe: Probe, num_gpus: int, visible: str | None) -> dict[str, str]:
    """Returns the variables to set: NCCL does not let two workers share a GPU.

    They get an even number of GPUs, or none; `visible` is the value of CUDA_VISIBLE_DEVICES.
    """
    if probe.strategy != "multi_worker_mirrored" or num_gpus % _NUM_REPLICAS == 0:
        return {}
    names = visible.split(",") if visible else list(map(str, range(num_gpus)))
    return {"CUDA_VISIBLE_DEVICES": ",".join(names[: num_gpus - num_gpus % _NUM_REPLICAS])}


def refusal(probe: Probe, num_gpus: int) -> str | None:
    """Returns why the trainer refuses these flags here, by its own checks; None: it does not."""
    from flowrate import options
    from trainer.config import TrainConfig, check_jit
    from trainer.distributed.tpu import find_tpu

    try:
        given = flags(probe, Path("runs", "probe"), num_gpus)
        config = options.parse(TrainConfig, ["trainer.main", *given])
        assert config is not None  # There is no --help among them.
        if probe.strategy == "tpu":
            find_tpu(config.tpu_name, os.environ)
        if probe.strategy in ("mirrored", "multi_worker_mirrored"):
            check_jit(config, max(_NUM_REPLICAS, num_gpus))
    except (ConfigError, ClusterError) as error:
        return one_line(error)
    return None


def _failed(probe: Probe, ended: children.Ended, timeout_seconds: float) -> Check:
    facts = {**dataclasses.asdict(probe), "exit_code": ended.exit_code}
    last = children.last_line(ended.output)
    if ended.exit_code is None:
        to_do = "give --probe_timeout=N; else look for what else uses this machine."
        return Check(FAILED, f"no end within {timeout_seconds:.0f} s: {last[:120]}", to_do, facts)
    said = [line for line in ended.output.splitlines() if "error: " in line]
    program = "scripts/launch --" if probe.strategy in _LAUNCH else "python -m trainer.main"
    to_do = f"{program} --strategy={probe.strategy} --steps={_NUM_STEPS} shows it alone."
    return Check(FAILED, f"{ended.how()}: {[*said, last][0].strip()[:300]}", to_do, facts)


def _read(run_dir: Path) -> dict[str, Any]:
    """Reads the records of a completed training; JSON has no NaN, and the trainer stops at one."""
    from flowrate.records import read_json, read_json_lines

    result = read_json(run_dir / "result.json")
    rows = [row for row in read_json_lines(run_dir / "metrics.jsonl") if row["kind"] == "train"]
    kept = {name: result[name] for name in ("first_step_seconds", "num_replicas")}
    return {"loss": rows[-1]["loss"], **kept}
