"""The cluster that the environment tells of, checked by the trainer's own code, without joining."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from flowrate.errors import ClusterError
from trainer.doctor.check import ABSENT, FAILED, OK, Check, guarded, one_line

if TYPE_CHECKING:
    from trainer.distributed.cluster import Cluster

SECTION = "cluster"
_PROGRAMS = {
    "sbatch": "scripts/submit --cluster=slurm needs it",
    "kubectl": "only people need it: scripts/submit --cluster=kubernetes does without",
}
# What says that this is a place of a cluster, though no task of a run: the variable, what it
# means, and how a run is started there.
_PLACES = {
    "SLURM_JOB_ID": (
        "a Slurm job, but no task of it",
        "srun python -m trainer.main ..., or scripts/submit",
    ),
    "KUBERNETES_SERVICE_HOST": (
        "a pod of Kubernetes, but of no run of several",
        "scripts/submit --cluster=kubernetes",
    ),
}


def look() -> Iterator[Check]:
    """Yields the checks."""
    yield from guarded(SECTION, "workers", lambda: check_workers(os.environ))
    for name, use in _PROGRAMS.items():
        path = shutil.which(name)
        found = path or f"not in PATH; {use}"
        yield Check(SECTION, name, OK if path else ABSENT, found, facts={"path": path})


def check_workers(environment: Mapping[str, str]) -> Check:
    """Returns who would train together here, and whether this one could begin.

    Args:
        environment: the variables of the process.
    """
    from trainer.distributed.cluster import find_cluster
    from trainer.distributed.preflight import check_ready

    try:
        cluster = find_cluster(environment)
        if cluster is None:
            return _without_workers(environment)
        check_ready(cluster)
    except ClusterError as error:
        return Check(
            SECTION, "workers", FAILED, one_line(error),
            "docs/cluster.md says what each variable must hold; unset them to train alone.",
        )  # fmt: skip
    facts = {"source": cluster.source, "addresses": list(cluster.addresses), "index": cluster.index}
    return Check(SECTION, "workers", OK, _describe(cluster), facts=facts)


def _describe(cluster: Cluster) -> str:
    number, count = cluster.index + 1, cluster.num_workers
    role = ", the chief, who writes" if cluster.is_chief else ""
    local = f"; {cluster.num_local} on this machine" if cluster.num_local > 1 else ""
    return (
        f"{cluster.source}: task {number} of {count}, {cluster.describe(cluster.index)}{role}"
        f"{local}; all names resolve and its port is free"
    )


def _without_workers(environment: Mapping[str, str]) -> Check:
    for variable, (what, start) in _PLACES.items():
        if variable in environment:
            return Check(SECTION, "workers", ABSENT, f"{what} ({variable} is set)",
                         f"{start} starts one (docs/cluster.md).")  # fmt: skip
    return Check(
        SECTION, "workers", ABSENT,
        "nothing tells of others (TF_CONFIG, Slurm, Kubernetes, SageMaker): one process "
        "trains, or several by scripts/launch",
    )  # fmt: skip
