"""Several workers of one run, each a real process that is started, and lost, by itself."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from faults.tools import runs

from trainer.distributed.process_group import Host, free_ports

LOOPBACK = Host()


def make_workers(
    folder: Path,
    hosts: Sequence[Host],
    environments: dict[int, dict[str, str]] | None = None,
    **flags: Any,
) -> list[_Worker]:
    """Returns a training for each worker; all have `folder/run` as their run directory.

    Args:
        folder: where their output goes as well.
        hosts: where each runs.
        environments: by worker, variables beside TF_CONFIG.
        flags: of trainer.main.
    """
    ports = free_ports(len(hosts))
    cluster = {"worker": [f"{host.address}:{port}" for host, port in zip(hosts, ports)]}
    return [
        _Worker(
            folder,
            index,
            address=cluster["worker"][index],
            prefix=host.command,
            environment={
                "TF_CONFIG": json.dumps(
                    {"cluster": cluster, "task": {"type": "worker", "index": index}}
                ),
                **(environments or {}).get(index, {}),
            },
            strategy="multi_worker_mirrored",
            **flags,
        )
        for index, host in enumerate(hosts)
    ]


class _Worker(runs.Training):
    """One worker; what it says goes to a folder of its own."""

    def __init__(self, folder: Path, index: int, address: str, **options: Any):
        super().__init__(folder / "run", **options)
        self.address = address
        self.output = folder / f"worker-{index}.output"


@contextlib.contextmanager
def running(workers: Sequence[runs.Training]) -> Iterator[list[subprocess.Popen]]:
    """Starts all; whatever happens, none is left running."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(runs.running(worker)) for worker in workers]
