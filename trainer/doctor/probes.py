"""Real trainings of five steps, one process or group of processes after the other."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from flowrate.errors import ClusterError, ConfigError
from trainer.doctor import children
from trainer.doctor.check import ABSENT, FAILED, OK, WARNING, Check, one_line

SECTION = "probes"
NUM_STEPS = 5
# Two processes are what several can be tried with; a batch that divides among them.
_NUM_REPLICAS, _BATCH_SIZE = 2, 32
_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# How far a loss may lie from the first one's, as a share of it. Seen on CPUs: 1e-7, 1.4e-4, 4e-5;
# on GPUs products in float32 have 10 bits. Weights that do not move are off by 3.4e-3.
_TOLERANCES = {"float32": 5e-4, "mixed_bfloat16": 2e-3, "mixed_float16": 1e-3}
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


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a training went: its mean loss over the steps, as recorded, and what it was."""

    loss: float
    first_step_seconds: float
    num_replicas: int


def quick_probes() -> list[Probe]:
    """Returns one training for each strategy."""
    from trainer.config_checks import STRATEGIES

    return [Probe(strategy) for strategy in STRATEGIES]


def all_probes() -> list[Probe]:
    """Returns each strategy with each precision, with and without XLA."""
    from trainer.config_checks import STRATEGIES

    return [Probe(*each) for each in itertools.product(STRATEGIES, _PRECISIONS, ("off", "on"))]


def look(probes: list[Probe], num_gpus: int, timeout_seconds: float) -> Iterator[Check]:
    """Yields a check for each training; the first's loss is what the others' are held against.

    Args:
        probes: what to try; the first is that of one device in float32.
        num_gpus: that TensorFlow sees.
        timeout_seconds: for each.
    """
    reference = None
    for probe in probes:
        with tempfile.TemporaryDirectory(prefix="flowrate-doctor-") as folder:
            check, outcome = _try(probe, Path(folder), num_gpus, timeout_seconds, reference)
        reference = reference or outcome
        yield check


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
    if probe.strategy == "parameter_server":
        # One worker: with more, the loss depends on who was first.
        return ["trainer.launch", "--workers=1", "--ps=1", "--max_restarts=0", "--", *given]
    return ["trainer.main", *given]


def batch_size(num_gpus: int) -> int:
    """Returns the least batch of 32 or more that divides among the GPUs and among two."""
    unit = math.lcm(_NUM_REPLICAS, max(1, num_gpus))
    return math.ceil(_BATCH_SIZE / unit) * unit


def refusal(probe: Probe, num_gpus: int) -> str | None:
    """Returns why the trainer refuses these flags here, by its own checks; None: it does not."""
    from flowrate import options
    from trainer.config import TrainConfig
    from trainer.config_checks import check_jit
    from trainer.tpu import find_tpu

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


def _try(
    probe: Probe, folder: Path, num_gpus: int, timeout_seconds: float, reference: Outcome | None
) -> tuple[Check, Outcome | None]:
    reason = refusal(probe, num_gpus)
    if reason:
        return Check(SECTION, probe.name, ABSENT, f"not possible here: {reason}"), None
    run_dir = folder / "run"
    ended = children.run(
        words(probe, run_dir, num_gpus), timeout_seconds=timeout_seconds, folder=folder
    )
    if ended.exit_code != 0:
        return _failed(probe, ended, timeout_seconds), None
    outcome = _read(run_dir)
    facts = {**dataclasses.asdict(probe), **dataclasses.asdict(outcome)}
    found = (
        f"loss {outcome.loss:.5f}, first step after {outcome.first_step_seconds:.1f} s, "
        f"replicas: {outcome.num_replicas}"
    )
    if reference is None:
        verdict, beside = OK, ""
        if probe.strategy != "one_device":
            verdict, beside = WARNING, "; no loss to hold it against"
        return Check(SECTION, probe.name, verdict, found + beside, facts=facts), outcome
    difference = abs(outcome.loss - reference.loss) / reference.loss
    facts["relative_difference"] = difference
    if difference <= _TOLERANCES[probe.precision]:
        return Check(SECTION, probe.name, OK, found, facts=facts), outcome
    found += f": {difference:.1%} off the {reference.loss:.5f} of one device in float32"
    to_do = "do not trust this combination here; report it with environment.json of a run."
    return Check(SECTION, probe.name, FAILED, found, to_do, facts), outcome


def _failed(probe: Probe, ended: children.Ended, timeout_seconds: float) -> Check:
    facts = {**dataclasses.asdict(probe), "exit_code": ended.exit_code}
    if ended.exit_code is None:
        return Check(
            SECTION, probe.name, FAILED, f"no end within {timeout_seconds:.0f} s: "
            f"{children.last_line(ended.output)[:120]}",
            "give --probe_timeout=N; else look for what else uses this machine.", facts,
        )  # fmt: skip
    said = [line for line in ended.output.splitlines() if "error: " in line]
    line = (said[0] if said else children.last_line(ended.output)).strip()[:300]
    return Check(SECTION, probe.name, FAILED, f"{ended.how()}: {line}", _by_hand(probe), facts)


def _by_hand(probe: Probe) -> str:
    several = probe.strategy in ("multi_worker_mirrored", "parameter_server")
    program = "scripts/launch --" if several else "python -m trainer.main"
    return f"{program} --strategy={probe.strategy} --steps={NUM_STEPS} shows it alone."


def _read(run_dir: Path) -> Outcome:
    """Reads the records of a completed training; JSON has no NaN, and the trainer stops at one."""
    from flowrate.records import read_json, read_json_lines

    result = read_json(run_dir / "result.json")
    rows = [row for row in read_json_lines(run_dir / "metrics.jsonl") if row["kind"] == "train"]
    return Outcome(rows[-1]["loss"], result["first_step_seconds"], result["num_replicas"])
