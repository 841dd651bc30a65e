"""Kubernetes: the job file, made from job.yaml.jinja, and what kubectl is asked.

A run is an Indexed Job, or a JobSet with one, and what guards and names its workers. A job is known
by the label that all its objects have; as `jobset/NAME` where it is a JobSet.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from flowrate import processes
from flowrate.errors import (
    FIRST_RETRYABLE_EXIT_CODE,
    ClusterError,
    ConfigError,
    DataError,
    Preempted,
)
from trainer.distributed.cluster import DEFAULT_PORT
from trainer.submit import kubernetes_checks, templates
from trainer.submit.job import BENCHMARKS, Job, Task
from trainer.submit.kubernetes_status import describe, find_end, waits_for

FILE_NAME = "job.yaml"
# Of the Dockerfile.
CHECKOUT, USER_ID = "/opt/flowrate", 1000
CONTAINER = "worker"
INSTANCE_LABEL, PART_OF_LABEL = "app.kubernetes.io/instance", "app.kubernetes.io/part-of"
_INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
_OTHERS = "networkpolicies,services"
_NETWORK, _WORKERS = (f"app.kubernetes.io/component={name}" for name in ("network", "workers"))
# Of a JobSet: it adds this, and a number, to the names of its Jobs.
_REPLICATED_JOB = "worker"
_JOB_SET_PREFIX = "jobset/"
# Pods do not begin together: a node may have to be added, and it fetches the image first.
_BRINGUP_SECONDS = 1800
# An ended job, and with it what its workers printed.
_KEEP_SECONDS = 7 * 24 * 3600
_DELETE_SECONDS = 300
_LOOK_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a job.

    Attributes:
        job: what is submitted.
        task: this run of it.
        name: of its objects; a DNS label.
        part_of: the name that all runs of the job share.
    """

    job: Job
    task: Task
    name: str
    part_of: str

    @property
    def labels(self) -> dict[str, str]:
        return {
            "app.kubernetes.io/name": "flowrate",
            PART_OF_LABEL: self.part_of,
            **self.selector,
        }

    @property
    def selector(self) -> dict[str, str]:
        """What the pods of this run, and no others, have."""
        return {INSTANCE_LABEL: self.name}

    @property
    def job_name(self) -> str:
        """What the names of the pods begin with."""
        return f"{self.name}-{_REPLICATED_JOB}-0" if self.job.config.jobset else self.name

    @property
    def words(self) -> list[str]:
        """The command of a worker."""
        flags = list(self.task.flags)
        if self.job.module == BENCHMARKS:
            # As given it may be relative to a folder of this machine.
            flags = [flag for flag in flags if not flag.startswith("--output=")]
            flags.append(f"--output={self.task.run_dir}")
        elif self.job.config.nodes > 1 and not any("bringup_timeout=" in flag for flag in flags):
            flags.append(f"--bringup_timeout={_BRINGUP_SECONDS}")
        # Kubernetes reads $(NAME) as a variable, and $$ as a dollar.
        return ["python", "-m", self.job.module, *(flag.replace("$", "$$") for flag in flags)]


def base_name(job: Job) -> str:
    """Returns a DNS label of at most 38 characters, always the same for the same run directory.

    With the numbers of a run and of a worker, and in a JobSet, it stays within the 63 of a label.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", job.folder.name.lower())[:20].strip("-")
    place = f"{job.config.volume_claim}:".encode() + os.fsencode(job.folder)
    parts = ("flowrate", readable, hashlib.sha256(place).hexdigest()[:8])
    return "-".join(part for part in parts if part)


def render(job: Job) -> str:
    """Returns the job file: YAML that kubectl takes.

    Raises:
        ConfigError: it cannot run in pods as asked.
    """
    kubernetes_checks.check_pods_can_run(job)
    config, name = job.config, base_name(job)
    resources = {
        "cpu": config.cpus_per_task and str(config.cpus_per_task),
        "memory": config.memory and f"{config.memory}i",  # Slurm's G is Kubernetes' Gi.
        "nvidia.com/gpu": config.gpus_per_node and str(config.gpus_per_node),
    }
    return templates.render(
        "job.yaml.jinja",
        job=job,
        config=config,
        runs=[
            Run(job, task, f"{name}-{number:03d}" if job.is_sweep else name, name)
            for number, task in enumerate(job.tasks)
        ],
        resources={name: amount for name, amount in resources.items() if amount},
        max_restarts=job.max_restarts,
        CHECKOUT=CHECKOUT, RUNS=kubernetes_checks.RUNS, USER_ID=USER_ID, CONTAINER=CONTAINER,
        PORT=DEFAULT_PORT, REPLICATED_JOB=_REPLICATED_JOB, KEEP_SECONDS=_KEEP_SECONDS,
        PREEMPTED=Preempted.exit_code, PERMANENT=list(range(1, FIRST_RETRYABLE_EXIT_CODE)),
    )  # fmt: skip


def check(job: Job, path: Path) -> str:
    """Lets the cluster check the objects without making them; returns what there is to say.

    Raises:
        ClusterError: it would not take them, or does not answer.
    """
    if not shutil.which("kubectl"):
        return "not checked by a cluster: there is no kubectl here"
    if _ask("config", "current-context", check=False).returncode:
        return "not checked by a cluster: kubectl knows of none (~/.kube/config, KUBECONFIG)"
    done = _ask("create", "--dry-run=server", f"--filename={path}", check=False)
    # Of the run that this one goes on with.
    refused = [line for line in done.stderr.splitlines() if "(AlreadyExists)" not in line]
    if done.returncode and refused:
        raise ClusterError(f"kubectl: {' '.join(refused)}")
    return "Kubernetes would take it"


def submit(job: Job, path: Path) -> str:
    """Makes the objects of each run; returns the job's name.

    Raises:
        ConfigError: a job of that name is there, and not over.
        ClusterError: the cluster does not take it, does not answer, or there is no kubectl.
    """
    name = (_JOB_SET_PREFIX if job.config.jobset else "") + base_name(job)
    record = {"job_id": name, "namespace": job.config.namespace}
    if former := _get(record, _kind(record)):
        if not all(find_end(each) for each in former):
            raise ConfigError(
                f"job {name}, which writes into {job.folder}, is not over; `scripts/submit cancel` "
                "it, or choose another folder."
            )
        _delete(record, f"{_kind(record)},{_OTHERS}", "--wait", f"--timeout={_DELETE_SECONDS}s")
    apply = ("apply", f"--filename={path}")
    # First what guards the workers' port.
    _ask(*apply, f"--selector={_NETWORK}")
    try:
        _ask(*apply, f"--selector={_WORKERS}")
        _let_own(_get(record, _kind(record)), _get(record, _OTHERS))
    except ClusterError:
        with contextlib.suppress(ClusterError):  # The first error is the one to tell.
            cancel(record)
        raise
    return name


def _let_own(jobs: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    """Lets each Job own what was made for it, so that it goes with the Job."""
    owners = {job["metadata"]["name"]: job for job in jobs}
    for each in others:
        owner = owners[each["metadata"]["name"]]
        reference = {name: owner[name] for name in ("apiVersion", "kind")}
        reference |= {name: owner["metadata"][name] for name in ("name", "uid")}
        each["metadata"]["ownerReferences"] = [reference]
    objects = {"apiVersion": "v1", "kind": "List", "items": others}
    _ask("replace", "--validate=false", "--filename=-", standard_input=json.dumps(objects))


def status(record: dict[str, Any]) -> list[str]:
    """Returns a line for each run that Kubernetes still knows, and for each pod that waits."""
    found = _get(record, f"{_kind(record)},pods")
    lines = [
        f"{each['kind']} {each['metadata']['name']}: {describe(each)}"
        for each in found
        if each["kind"] != "Pod"
    ]
    for pod in found:
        if pod["kind"] == "Pod" and pod["status"].get("phase") == "Pending":
            index = pod["metadata"]["labels"].get(_INDEX_LABEL, 0)
            name = f"  worker {index}, pod {pod['metadata']['name']}"
            lines.append(f"{name}: {waits_for(pod['status'])}")
    return lines or [f"job {record['job_id']}: not, or no longer, known to Kubernetes"]


def is_over(record: dict[str, Any]) -> bool:
    """Returns whether no run goes on or waits."""
    return all(find_end(each) for each in _get(record, _kind(record)))


def cancel(record: dict[str, Any]) -> None:
    """Ends the job; what runs saves first, within --save_seconds."""
    _delete(record, _kind(record), "--wait=false")


def watch_commands(record: dict[str, Any]) -> list[str]:
    """Returns what a user may type."""
    return [
        shlex.join(["kubectl", "get", "pods", *_place(record), "--watch"]),
        shlex.join(["kubectl", "describe", "jobs", *_place(record)]),
    ]


def show_logs(record: dict[str, Any], follow: bool) -> int:
    """Prints what the workers print, each line with its pod; returns the exit status.

    With `follow` until the job is over, with the pods that take the place of others too.

    Raises:
        DataError: there is no pod to read from.
        ClusterError: the cluster does not answer.
    """
    how = ["--follow", "--tail=100"] if follow else []
    command = ["logs", "--prefix", f"--namespace={record['namespace']}", *how]
    readers: dict[str, subprocess.Popen] = {}
    with contextlib.ExitStack() as stack:
        while True:
            is_last = not follow or is_over(record)  # Asked before the pods: none comes after it.
            pods = sorted(_get(record, "pods"), key=lambda pod: pod["metadata"]["name"])
            if is_last and not pods and not readers:
                raise DataError(
                    f"job {record['job_id']}: no pod of it is left; what it printed went with them."
                )
            waiting = []
            for pod in pods:
                name = pod["metadata"]["name"]
                if pod["status"].get("phase") == "Pending":
                    waiting.append(name)
                elif name not in readers:
                    readers[name] = processes.start(["kubectl", *command, name])
                    stack.callback(processes.end, readers[name])
                    if not follow:  # One after the other, each whole.
                        readers[name].wait()
            if is_last:
                for reader in readers.values():
                    reader.wait()
                for name in waiting:
                    print(f"[pod/{name}] has not begun", flush=True)
                return 0
            time.sleep(_LOOK_SECONDS)


def _kind(record: dict[str, Any]) -> str:
    is_job_set = record["job_id"].startswith(_JOB_SET_PREFIX)
    return "jobsets.jobset.x-k8s.io" if is_job_set else "jobs.batch"


def _place(record: dict[str, Any]) -> list[str]:
    """Returns the words that ask for a job's objects, and no others."""
    name = record["job_id"].removeprefix(_JOB_SET_PREFIX)
    return [f"--namespace={record['namespace']}", f"--selector={PART_OF_LABEL}={name}"]


def _get(record: dict[str, Any], kinds: str) -> list[dict[str, Any]]:
    done = _ask("get", kinds, *_place(record), "--output=json")
    try:
        return json.loads(done.stdout)["items"]
    except (ValueError, KeyError):
        raise ClusterError(f"kubectl: get {kinds}: the answer cannot be read.") from None


def _delete(record: dict[str, Any], kinds: str, *options: str) -> None:
    """Ends a job's objects; a Job stays until its pods, told to save, are gone."""
    _ask("delete", kinds, *_place(record), "--cascade=foreground", *options)


def _ask(
    *words: str, standard_input: str = "", check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Asks kubectl.

    Raises:
        ClusterError: it is not installed; or, with `check`, it does not do what it is asked.
    """
    is_long = "--wait" in words
    limit = [] if is_long else ["--request-timeout=30s"]
    try:
        done = subprocess.run(
            ["kubectl", *limit, *words], input=standard_input,
            capture_output=True, text=True, errors="replace",
        )  # fmt: skip
    except FileNotFoundError:
        raise ClusterError(
            "kubectl: no such program; --cluster=kubernetes needs it on PATH: "
            "kubernetes.io/docs/tasks/tools."
        ) from None
    if check and done.returncode:
        reason = " ".join(done.stderr.split())[:500] or f"status {done.returncode}"
        if "jobset" in reason and "resource" in reason:
            reason += "; --jobset is for clusters with JobSet's controller"
        raise ClusterError(f"kubectl: {reason}")
    return done
