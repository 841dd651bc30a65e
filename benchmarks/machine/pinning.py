"""A worker's own share of the cores, so that its speed does not depend on how many run."""

from __future__ import annotations

import json
import os

from flowrate.environment import num_cpus

# Up to so many workers have cores of their own, where the machine has as many cores.
_MOST_WORKERS = 4


def cores_per_worker() -> int:
    """Returns how many cores a worker gets, whatever the number of workers."""
    return max(1, num_cpus() // _MOST_WORKERS)


def pin(index: int, num_cores: int) -> None:
    """Keeps this process to its cores; before TensorFlow, which makes a thread for each it sees."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    first = index * num_cores
    os.sched_setaffinity(0, {cores[(first + i) % len(cores)] for i in range(num_cores)})


def own_index() -> int:
    """Returns this worker's rank, as TF_CONFIG has it."""
    return json.loads(os.environ["TF_CONFIG"])["task"]["index"]
