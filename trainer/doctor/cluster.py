"""The cluster that the environment describes, checked by the trainer's code, without joining."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flowrate.errors import ClusterError
from trainer.doctor.check import ABSENT, FAILED, OK, Check, one_line

if TYPE_CHECKING:
    pass

# Variables of places that belong to a cluster but are no task of a run: what they mean, and how a
# run is started there.
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
        to_do = "docs/cluster.md says what each variable must hold; unset them to train alone."
        return Check(FAILED, one_line(error), to_do)
    facts = {"source": cluster.source, "addresses": list(cluster.addresses), "index": cluster.index}
    role = ", the chief, who writes" if cluster.is_chief else ""
    local = f"; {cluster.num_local} on this machine" if cluster.num_local > 1 else ""
    found = (
        f"{cluster.source}: task {cluster.index + 1} of {cluster.num_workers}, "
        f"{cluster.describe(cluster.index)}{role}{local}; all names resolve and its port is free"
    )
    return Check(OK, found, facts=facts)


def _without_workers(environment: Mapping[str, str]) -> Check:
    for variable, (what, start) in _PLACES.items():
        if variable in environment:
            to_do = f"{start} starts one (docs/cluster.md)."
            return Check(ABSENT, f"{what} ({variable} is set)", to_do)
    return Check(
        ABSENT,
        "the environment describes none (TF_CONFIG, Slurm, Kubernetes, Vertex AI, SageMaker): one "
        "process trains, or several by scripts/launch",
    )
