"""All checks in order, one section after the other. Python's own library only at the top."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from trainer.doctor import (
    cluster,
    data_sets,
    gpu,
    machine,
    network,
    packages,
    probe_runs,
    probes,
    storage,
    tensorflow_child,
)
from trainer.doctor.check import ABSENT, FAILED, Check, guarded

SCHEMA_VERSION = 1
PROBES = ("quick", "full", "none")
# As of a cluster or a machine that is not what it should be (flowrate/errors.py).
UNFIT_EXIT_CODE = 4
# Of a failure in the last line, in characters: the table has all of it.
_LONGEST_REASON = 100


def look(
    probe: str = "quick", data_dir: Path | None = None, probe_timeout_seconds: float = 300
) -> Iterator[Check]:
    """Yields every check as soon as it is made.

    Args:
        probe: which trainings to try, of PROBES.
        data_dir: where to look for data sets before the usual places.
        probe_timeout_seconds: for each training.
    """
    yield from machine.look()
    yield from storage.look(gpu.num_gpus)
    yield from network.look()
    yield from packages.look()
    yield from gpu.look()
    yield from cluster.look()
    yield from guarded(data_sets.SECTION, "data sets", lambda: data_sets.look(data_dir))
    yield from guarded(probes.SECTION, "probes", lambda: _probe(probe, probe_timeout_seconds))


def without_packages() -> Iterator[Check]:
    """Yields the checks that can be made where not even this program's packages are installed."""
    yield from machine.look()
    yield from storage.look(lambda: 0)
    yield from network.look()
    yield packages.check_missing()


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
        "checks": [check.to_json() for check in checks],
    }


def _probe(probe: str, timeout_seconds: float) -> Iterator[Check]:
    if probe == "none":
        return
    facts, _ = tensorflow_child.facts()
    if facts is None:
        yield Check(probes.SECTION, "probes", ABSENT, "not tried: TensorFlow cannot be imported")
        return
    tried = probes.quick_probes() if probe == "quick" else probes.all_probes()
    yield from probe_runs.look(tried, len(facts["gpus"]), timeout_seconds)
