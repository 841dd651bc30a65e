"""Where the rows were measured: each machine once, with the runs that took place there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from benchmarks.report import formats
from benchmarks.report.formats import NOTHING
from benchmarks.report.tables import Report, Row


@dataclasses.dataclass(frozen=True)
class Run:
    """One start of the suite: 12 digits of the commit, when, and what was typed."""

    commit: str
    started_at: str
    commands: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Machine:
    """What does not change between runs, as (name, value), and the runs."""

    facts: tuple[tuple[str, str], ...]
    runs: list[Run]


def list_machines(report: Report) -> list[Machine]:
    """Returns the machines of a report; another version of a package makes another machine."""
    machines: dict[tuple[tuple[str, str], ...], Machine] = {}
    for name, row in report.environments.items():
        facts = tuple(describe_machine(row).items())
        run = Run(short_commit(row), row["started_at"], tuple(report.commands[name]))
        machines.setdefault(facts, Machine(facts, [])).runs.append(run)
    for machine in machines.values():
        machine.runs.sort(key=lambda run: run.started_at)
    return list(machines.values())


def describe_machine(row: Row) -> dict[str, str]:
    """Returns name: value of what an environment row says of the machine and its software."""
    cpu = row["cpu"]
    versions = [f"{name} {version}" for name, version in row["versions"].items() if version]
    facts = {
        "CPU": f"{cpu.get('model', NOTHING)}, {formats.count_of(cpu.get('count') or 0, 'core')}",
        "Instruction sets": " ".join(cpu.get("flags") or []),
        "Memory": formats.memory(row["memory_bytes"]),
        "Devices": ", ".join(_device_names(row["devices"])),
        "Python": row["python"],
        "Versions": ", ".join(versions),
        "System": row["platform"],
        "Host": row["hostname"],
    }
    return {name: value or NOTHING for name, value in facts.items()}


def short_commit(row: Row) -> str:
    """Returns the commit for a reader; files that differ from it must not go unsaid."""
    commit, _, dirty = (row["commit"] or NOTHING).partition("-")
    return f"{commit[:12]}{' with changes' if dirty else ''}"


def missing_environments(report: Report) -> list[str]:
    """Returns the ids that results name and no environment row describes."""
    used: dict[str, Any] = dict.fromkeys(row["environment_id"] for row in report.rows)
    return [name for name in used if name not in report.environments]


def _device_names(devices: Sequence[Any]) -> list[str]:
    return [
        str(device.get("name", device)) if isinstance(device, dict) else str(device)
        for device in devices
    ]
