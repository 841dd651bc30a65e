"""Runs the probes: real trainings of five steps, one process or group after the other."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from trainer.doctor import children
from trainer.doctor.check import ABSENT, FAILED, OK, WARNING, Check
from trainer.doctor.probes import NUM_STEPS, SECTION, Probe, environment, refusal, words

# How far a loss may lie from the first one's, as a share of it. Seen on CPUs: 1e-7, 1.4e-4, 4e-5;
# on GPUs products in float32 have 10 bits. Weights that do not move are off by 3.4e-3.
_TOLERANCES = {"float32": 5e-4, "mixed_bfloat16": 2e-3, "mixed_float16": 1e-3}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a training went: its mean loss over the steps, as recorded, and what it was."""

    loss: float
    first_step_seconds: float
    num_replicas: int


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


def _try(
    probe: Probe, folder: Path, num_gpus: int, timeout_seconds: float, reference: Outcome | None
) -> tuple[Check, Outcome | None]:
    reason = refusal(probe, num_gpus)
    if reason:
        return Check(SECTION, probe.name, ABSENT, f"not possible here: {reason}"), None
    run_dir = folder / "run"
    ended = children.run(
        words(probe, run_dir, num_gpus), timeout_seconds=timeout_seconds, folder=folder,
        environment=environment(probe, num_gpus, os.environ.get("CUDA_VISIBLE_DEVICES")),
    )  # fmt: skip
    if ended.exit_code != 0:
        return _failed(probe, ended, timeout_seconds), None
    outcome = _read(run_dir)
    facts = {**dataclasses.asdict(probe), **dataclasses.asdict(outcome)}
    found = (
        f"loss {outcome.loss:.5f}, first step {outcome.first_step_seconds:.1f} s, "
        f"{outcome.num_replicas} {'replica' if outcome.num_replicas == 1 else 'replicas'}"
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
    several = probe.strategy == "multi_worker_mirrored"
    program = "scripts/launch --" if several else "python -m trainer.main"
    return f"{program} --strategy={probe.strategy} --steps={NUM_STEPS} shows it alone."


def _read(run_dir: Path) -> Outcome:
    """Reads the records of a completed training; JSON has no NaN, and the trainer stops at one."""
    from flowrate.records import read_json, read_json_lines

    result = read_json(run_dir / "result.json")
    rows = [row for row in read_json_lines(run_dir / "metrics.jsonl") if row["kind"] == "train"]
    return Outcome(rows[-1]["loss"], result["first_step_seconds"], result["num_replicas"])
