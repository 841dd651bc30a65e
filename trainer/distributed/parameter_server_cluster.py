"""Who takes part in `--strategy=parameter_server`, as TF_CONFIG says. No TensorFlow here."""

from __future__ import annotations

import dataclasses

from flowrate.errors import ClusterError
from trainer.distributed.cluster import Cluster, Environment, check_addresses, read_tf_config

JOBS = ("chief", "worker", "ps")
CHIEF = 0


@dataclasses.dataclass(frozen=True)
class TaskCluster(Cluster):
    """The tasks: the chief, then the workers, then the parameter servers.

    Attributes:
        num_parameter_servers: how many of the last addresses are theirs.
    """

    num_parameter_servers: int = 1

    @property
    def trainers(self) -> range:
        """The indices of the workers."""
        return range(1, self.parameter_servers.start)

    @property
    def parameter_servers(self) -> range:
        """Their indices."""
        return range(len(self.addresses) - self.num_parameter_servers, len(self.addresses))

    def task(self, index: int) -> tuple[str, int]:
        """Returns the job of a task, and its index there."""
        if index == CHIEF:
            return "chief", 0
        if index in self.trainers:
            return "worker", index - self.trainers.start
        return "ps", index - self.parameter_servers.start

    def name(self, index: int) -> str:
        """Returns `chief`, `worker 1` or `ps 0`."""
        job, place = self.task(index)
        return job if job == "chief" else f"{job} {place}"

    def jobs(self) -> dict[str, list[str]]:
        """Returns the addresses by job, as TensorFlow wants them."""
        found: dict[str, list[str]] = {job: [] for job in JOBS}
        for index, address in enumerate(self.addresses):
            found[self.task(index)[0]].append(address)
        return found


def join(environment: Environment) -> TaskCluster:
    """Returns the tasks that TF_CONFIG tells of.

    Raises:
        ClusterError: it tells of none, or of too few, or is not what it should be.
    """
    if "TF_CONFIG" not in environment:
        raise ClusterError(
            "--strategy=parameter_server: nothing here tells of a chief, workers and parameter "
            "servers. Start them with scripts/launch --workers=2 --ps=1 -- "
            "--strategy=parameter_server, or with TF_CONFIG set for each."
        )
    jobs, kind, position = read_tf_config(environment, JOBS)
    for job in JOBS:
        if not jobs.get(job):
            raise ClusterError(
                f'TF_CONFIG: cluster has no job "{job}"; --strategy=parameter_server needs one '
                "chief, and at least one worker and one ps."
            )
    addresses = tuple(address for job in JOBS for address in jobs[job])
    check_addresses("TF_CONFIG", addresses)
    hosts = [address.rpartition(":")[0] for address in jobs["worker"]]
    # The workers of a machine share out its GPUs; the others compute next to nothing.
    host = hosts[position] if kind == "worker" else None
    return TaskCluster(
        source="TF_CONFIG",
        addresses=addresses,
        index=position + sum(len(jobs[job]) for job in JOBS[: JOBS.index(kind)]),
        local_index=hosts[:position].count(host),
        num_local=max(1, hosts.count(host)),
        num_parameter_servers=len(jobs["ps"]),
    )
