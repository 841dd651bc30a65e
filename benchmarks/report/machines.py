"""Where the rows were measured: each machine once, with the runs that took place there."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.records import Records, Row
from benchmarks.report import formats
from benchmarks.report.formats import NOTHING


@dataclasses.dataclass(frozen=True)
class Run:
    """One start of a suite: 12 digits of the commit, when, and what was typed."""

    commit: str
    started_at: str
    commands: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Machine:
    """What does not change between runs, as (name, value), and the runs."""

    facts: tuple[tuple[str, str], ...]
    runs: list[Run]


def list_machines(records: Records) -> list[Machine]:
    """Returns the machines of the rows; another version of a package makes another machine."""
    machines: dict[tuple[tuple[str, str], ...], Machine] = {}
    for name in dict.fromkeys(row["environment_id"] for row in records.rows):
        if environment := records.environments.get(name):
            facts = tuple(describe_machine(environment).items())
            run = Run(
                short_commit(environment),
                environment["started_at"],
                tuple(records.commands[name]),
            )
            machines.setdefault(facts, Machine(facts, [])).runs.append(run)
    for machine in machines.values():
        machine.runs.sort(key=lambda run: run.started_at)
    return list(machines.values())


def describe_machine(environment: Row) -> dict[str, str]:
    """Returns name: value of what an environment row says of the machine and its software."""
    cpu, memory_gib = environment["cpu"], environment["memory_bytes"] / 2**30
    versions = environment["versions"].items()
    facts = {
        "CPU": f"{cpu.get('model', NOTHING)}, {formats.count_of(cpu.get('count') or 0, 'core')}",
        "Instruction sets": " ".join(cpu.get("flags") or []),
        "Memory": f"{formats.number(memory_gib)} GiB",
        "Devices": ", ".join(map(_device_name, environment["devices"])),
        "Python": environment["python"],
        "Versions": ", ".join(f"{name} {version}" for name, version in versions if version),
        "System": environment["platform"],
        "Host": environment["hostname"],
    }
    return {name: value or NOTHING for name, value in facts.items()}


def short_commit(environment: Row) -> str:
    """Returns the commit for a reader; files that differ from it must not go unsaid."""
    commit, _, dirty = (environment["commit"] or NOTHING).partition("-")
    return f"{commit[:12]}{' with changes' if dirty else ''}"


def _device_name(device: Any) -> str:
    return str(device.get("name", device)) if isinstance(device, dict) else str(device)
