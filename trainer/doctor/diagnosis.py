"""The list of checks, in the order of the table. Python's own library only at the top."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from trainer.doctor import (
    cluster,
    data_sets,
    gpu,
    machine,
    nvml_child,
    packages,
    probes,
    tensorflow_child,
)
from trainer.doctor.check import FAILED, Check, Found, run_check

SCHEMA_VERSION = 1
PROBES = ("quick", "full", "none")
# As of a cluster or a machine that is not what it should be (flowrate/errors.py).
UNFIT_EXIT_CODE = 4
# Of a failure in the last line, in characters: the table has all of it.
_LONGEST_REASON = 100
# Section, name and function of a check.
_Row = tuple[str, str, Callable[[], Found]]
# Those that need no package.
_BARE: tuple[_Row, ...] = (
    ("machine", "Python", machine.check_python),
    ("machine", "CPU", machine.check_cpu),
    ("machine", "memory", machine.check_memory),
    ("machine", "disk for runs", lambda: machine.check_folder(Path.cwd() / "runs", "--run_dir")),
    ("machine", "disk for data", machine.check_cache_folder),
    ("machine", "temporary files",
     lambda: machine.check_folder(Path(tempfile.gettempdir()), "TMPDIR")),
    ("packages", "required", packages.check_required),
)  # fmt: skip
_REST: tuple[_Row, ...] = (
    ("packages", "TensorFlow", packages.check_tensorflow),
    ("GPU", "GPU", lambda: gpu.judge(nvml_child.facts(), tensorflow_child.facts()[0], os.environ)),
    ("GPU", "/dev/shm",
     lambda: machine.check_shared_memory(machine.SHARED_MEMORY, nvml_child.num_gpus())),
    ("cluster", "workers", lambda: cluster.check_workers(os.environ)),
)  # fmt: skip


def look(
    probe: str = "quick", data_dir: Path | None = None, probe_timeout_seconds: float = 300
) -> Iterator[Check]:
    """Yields every check as soon as it is made.

    Args:
        probe: which trainings to try, of PROBES.
        data_dir: where to look for data sets before the usual places.
        probe_timeout_seconds: for each training.
    """
    asked: list[_Row] = [("data sets", "data sets", lambda: data_sets.look(data_dir))]
    if probe != "none":
        is_full = probe == "full"
        asked.append(("probes", "probes", lambda: probes.look(is_full, probe_timeout_seconds)))
    for row in (*_BARE, *_REST, *asked):
        yield from run_check(*row)


def without_packages() -> Iterator[Check]:
    """Yields the checks that can be made where not even this program's packages are installed."""
    for row in _BARE:
        yield from run_check(*row)


def describe_failures(checks: Sequence[Check]) -> str:
    """Returns one line that names what must work and does not; empty where all works."""
    failed = [
        f"{check.section}, {check.name} ({textwrap.shorten(check.found, _LONGEST_REASON)})"
        for check in checks
        if check.verdict == FAILED
    ]
    return f"this machine cannot train as it should: {'; '.join(failed)}." if failed else ""


def to_json(checks: Sequence[Check]) -> dict:
    """Returns the record of `--json` (docs/records.md)."""
    return {
        "schema_version": SCHEMA_VERSION,
        "exit_code": UNFIT_EXIT_CODE if describe_failures(checks) else 0,
        "checks": [dataclasses.asdict(check) for check in checks],
    }
