"""The launch of a run that this process belongs to; launches of one job have an order.

A node that was cut off may still run its old workers while the scheduler has launched the run again
elsewhere. The later launch takes the run directory over, and the earlier one finds that out before
it writes (trainer/run_dir/lock.py, trainer/distributed/peers.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A launch of a run.

    Attributes:
        job: of the scheduler that launched it; empty where it is unknown.
        number: rises with each launch of the job.
    """

    job: str = ""
    number: tuple[int, ...] = ()

    def is_before(self, other: Attempt) -> bool:
        """Returns whether this is an earlier launch of the same job."""
        return bool(self.job) and self.job == other.job and self.number < other.number

    def __str__(self) -> str:
        return " ".join((self.job, ".".join(map(str, self.number)))).strip()

    @classmethod
    def parse(cls, text: str) -> Attempt:
        """Reads what `str` has written; any other text belongs to no job."""
        job, _, numbers = text.rpartition(" ")
        parts = numbers.split(".")
        if not job or not all(part.isdecimal() for part in parts):
            return cls()
        return cls(job, tuple(map(int, parts)))


def find_attempt(environment: Mapping[str, str]) -> Attempt:
    """Returns the launch that the environment names.

    FLOWRATE_ATTEMPT is set by scripts/launch. Slurm counts how often a job was requeued
    (SLURM_RESTART_COUNT, unset at first), and the steps within it.
    """
    if "FLOWRATE_ATTEMPT" in environment:
        return Attempt.parse(environment["FLOWRATE_ATTEMPT"])
    parts = [
        environment.get(name, "0")
        for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_STEP_ID")
    ]
    if "SLURM_JOB_ID" not in environment or not all(part.isdecimal() for part in parts):
        return Attempt()
    job, *number = parts
    return Attempt(f"Slurm job {job}", tuple(map(int, number)))
