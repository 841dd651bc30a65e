"""Kubernetes: the job file, and what the cluster is asked. Objects: manifests.py and pod.py.

A job is known by its name; `jobset/NAME` where it is a JobSet.
"""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import Any

from flowrate.errors import ClusterError, ConfigError, FlowrateError
from trainer.submit import kubernetes_logs
from trainer.submit.job import Job
from trainer.submit.kubeconfig import NoKubeconfigError
from trainer.submit.kubernetes_api import (
    JOB,
    JOB_SET,
    AlreadyThereError,
    Api,
    pod_index,
)
from trainer.submit.kubernetes_checks import check_pods_can_run
from trainer.submit.kubernetes_status import describe, find_end, waits_for
from trainer.submit.manifests import RUN_DIR_ANNOTATION, base_name, build_runs, to_yaml
from trainer.submit.pod import PART_OF_LABEL, RUNS

FILE_NAME = "job.yaml"
_JOB_SET_PREFIX = "jobset/"


def render(job: Job) -> str:
    """Returns the job file: YAML that kubectl takes.

    Raises:
        ConfigError: it cannot run in pods as asked.
        ClusterError: Kubernetes' Python client is not installed.
    """
    check_pods_can_run(job)
    config = job.config
    comment = [
        f"{job.module} on {config.nodes} pod{'s' * (config.nodes > 1)}",
        f"Made by scripts/submit; may be applied by hand: kubectl apply -f {FILE_NAME}",
    ]
    if not config.volume_claim:
        comment.append(f"{RUNS} is lost with the pod: no --volume_claim was given.")
    objects = [each for objects in build_runs(job) for each in objects]
    return to_yaml("\n".join(comment), objects)


def check(job: Job, path: Path) -> str:
    """Lets the cluster check the objects without making them; returns what there is to say.

    Raises:
        ClusterError: it would not take them, or does not answer.
    """
    try:
        api = Api(job.config.namespace)
    except NoKubeconfigError as error:
        return f"not checked by a cluster: {error}"
    for found in (each for objects in build_runs(job) for each in objects):
        with contextlib.suppress(AlreadyThereError):  # Of the run that this one goes on with.
            api.create(found, dry_run=True)
    return f"Kubernetes at {api.host} would take it"


def submit(job: Job, path: Path) -> str:
    """Makes the objects of each run; returns the job's name.

    The Job is made first, suspended, so that the others belong to it and go with it, and begins
    once they are there.

    Raises:
        ConfigError: a job of that name is there, and not over.
        ClusterError: the cluster does not take it, or does not answer.
    """
    api = Api(job.config.namespace)
    kind = JOB_SET if job.config.jobset else JOB
    runs = build_runs(job)
    for *_, owner in runs:
        _remove_former(api, kind, owner)
    made = []
    try:
        for *others, owner in runs:
            found = api.create({**owner, "spec": {**owner["spec"], "suspend": True}})
            made.append(owner["metadata"]["name"])
            for other in others:
                other["metadata"]["ownerReferences"] = [_reference(found)]
                api.create(other)
        for name in made:
            api.resume(kind, name)
    except FlowrateError as error:
        for name in made:
            with contextlib.suppress(ClusterError):  # The first error is the one to tell.
                api.delete(kind, name)
        if isinstance(error, AlreadyThereError):
            raise ClusterError(
                f"{error} It is of a job applied by hand: kubectl delete -f {path}"
            ) from None
        raise
    return (_JOB_SET_PREFIX if job.config.jobset else "") + base_name(job)


def status(record: dict[str, Any]) -> list[str]:
    """Returns a line for each run that Kubernetes still knows, and for each pod that waits."""
    api, kind, name = _find(record)
    found = api.list_part_of(kind, name)
    if not found:
        return [f"job {name}: not, or no longer, known to Kubernetes"]
    lines = [f"{kind[1]} {each['metadata']['name']}: {describe(kind, each)}" for each in found]
    for pod in api.list_pods(name):
        if pod.status.phase == "Pending":
            lines.append(f"  worker {pod_index(pod)}, pod {pod.metadata.name}: {waits_for(pod)}")
    return lines


def is_over(record: dict[str, Any]) -> bool:
    """Returns whether no run goes on or waits."""
    api, kind, name = _find(record)
    return all(find_end(each) for each in api.list_part_of(kind, name))


def cancel(record: dict[str, Any]) -> None:
    """Ends the job; what runs saves first, within --save_seconds."""
    api, kind, name = _find(record)
    for each in api.list_part_of(kind, name):
        api.delete(kind, each["metadata"]["name"])


def watch_commands(record: dict[str, Any]) -> list[str]:
    """Returns what a user may type."""
    selector = f"{PART_OF_LABEL}={_split(record)[1]}"
    place = f"--namespace={shlex.quote(record['namespace'])} --selector={selector}"
    return [f"kubectl get pods {place} --watch", f"kubectl describe jobs {place}"]


def show_logs(record: dict[str, Any], follow: bool) -> int:
    """Prints what the workers print, each line with its worker; returns the exit status.

    Raises:
        DataError: there is no pod to read from.
        ClusterError: the cluster does not answer.
    """
    api, _, name = _find(record)
    return kubernetes_logs.show(api, name, follow, lambda: is_over(record))


def _remove_former(api: Api, kind: tuple[str, str], owner: dict[str, Any]) -> None:
    """Removes the ended job of the same run, whose name this one takes."""
    name = owner["metadata"]["name"]
    former = api.get(kind, name)
    if former is None:
        return
    where = (former["metadata"].get("annotations") or {}).get(RUN_DIR_ANNOTATION)
    if where != owner["metadata"]["annotations"][RUN_DIR_ANNOTATION]:
        raise ConfigError(f"{kind[1]} {name} is there, and not of this run; choose another folder.")
    if not find_end(former):
        raise ConfigError(
            f"{kind[1]} {name}, which writes into {where}, is not over; `scripts/submit cancel` it "
            f"or kubectl delete {kind[1].lower()} {name}."
        )
    api.delete(kind, name)
    api.wait_until_gone(kind, name)


def _reference(owner: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": owner["apiVersion"], "kind": owner["kind"],
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
    }  # fmt: skip


def _split(record: dict[str, Any]) -> tuple[tuple[str, str], str]:
    job_id = record["job_id"]
    name = job_id.removeprefix(_JOB_SET_PREFIX)
    return (JOB_SET if job_id.startswith(_JOB_SET_PREFIX) else JOB), name


def _find(record: dict[str, Any]) -> tuple[Api, tuple[str, str], str]:
    return Api(record["namespace"]), *_split(record)
