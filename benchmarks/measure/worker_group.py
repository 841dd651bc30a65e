"""Runs a program as several workers that form a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.machine.namespaces import virtual_hosts
from flowrate.errors import ClusterError
from trainer.distributed.process_group import Host, ProcessGroup

# What joins the workers: this machine's loopback, or virtual cables between virtual hosts, as fast
# as they come or as slow as a gigabit network.
LINKS = ("loopback", "namespaces", "gigabit")
_RATES = {"namespaces": None, "gigabit": "1gbit"}


def run_group(
    program: Sequence[str], folder: Path, num_workers: int, link: str = "loopback"
) -> None:
    """Runs a module with its words as several workers, by trainer/distributed/process_group.py.

    Args:
        program: the module and its words.
        folder: where the workers' lines go, in logs.
        num_workers: how many.
        link: one of LINKS.

    Raises:
        ClusterError: a worker failed; with its last words. Or there are no virtual hosts here.
    """
    with _hosts(num_workers, link) as hosts:
        failure = ProcessGroup(program, folder, num_workers, hosts).run_once()
    if failure:
        log = folder / "logs" / f"worker-{failure.worker}.log"
        raise ClusterError(
            f"{failure.name} ended with status {failure.exit_code}: "
            f"{last_words(log.read_text(errors='replace'))}"
        )


def last_words(text: str) -> str:
    """Returns the last line that begins with `error`, else the last line that says anything."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error")]
    return [*lines, *errors][-1] if lines else "nothing was said"


@contextlib.contextmanager
def _hosts(count: int, link: str) -> Iterator[list[Host]]:
    if link == "loopback":
        yield [Host()] * count
        return
    with virtual_hosts(count, _RATES[link]) as hosts:
        yield hosts
