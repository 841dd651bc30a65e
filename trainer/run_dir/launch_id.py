"""Which start of a run this process belongs to: what tells two starts of one run apart.

A node that was cut off goes on with its old workers while the scheduler has started the run anew
elsewhere. The later start takes the run directory over, and the earlier one finds that out before
it writes (trainer/run_dir/folder.py, trainer/distributed/peers.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A start of a run.

    Attributes:
        job: of the scheduler that started it; empty where none says so.
        number: rises with each start of the job.
    """

    job: str = ""
    number: tuple[int, ...] = ()

    def is_before(self, other: Attempt) -> bool:
        """Returns whether this is an earlier start of the same job."""
        return bool(self.job) and self.job == other.job and self.number < other.number

    def __str__(self) -> str:
        return " ".join((self.job, ".".join(map(str, self.number)))).strip()

    @classmethod
    def parse(cls, text: str) -> Attempt:
        """Reads what `str` has written; what is something else belongs to no job."""
        job, _, numbers = text.rpartition(" ")
        parts = numbers.split(".")
        if not job or not all(part.isdecimal() for part in parts):
            return cls()
        return cls(job, tuple(map(int, parts)))


def find_attempt(environment: Mapping[str, str]) -> Attempt:
    """Returns the start that the environment tells of.

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
