"""What a job is to Kubernetes: an Indexed Job, or a JobSet with one, and what guards its workers.

Sources: kubernetes.io/docs/concepts/workloads/controllers/job,
kubernetes.io/docs/tasks/job/pod-failure-policy, jobset.sigs.k8s.io/docs/concepts.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from typing import Any

from flowrate.errors import Preempted
from trainer.distributed.cluster import DEFAULT_PORT
from trainer.submit.job import BENCHMARKS, Job
from trainer.submit.pod import CONTAINER, REPLICATED_JOB, Run, build_pod, load_models

RUN_DIR_ANNOTATION = "flowrate/run-dir"
_JOB_SET_API = "jobset.x-k8s.io/v1alpha2"
# Statuses from here on say: try again (flowrate/errors.py).
_FIRST_RETRYABLE = 128
# An ended job, and with it what its workers printed.
_KEEP_SECONDS = 7 * 24 * 3600


def base_name(job: Job) -> str:
    """Returns a DNS label of at most 38 characters, always the same for the same run directory.

    With the numbers of a run and of a worker, and in a JobSet, it stays within the 63 of a label.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", job.folder.name.lower())[:20].strip("-")
    place = f"{job.config.volume_claim}:".encode() + os.fsencode(job.folder)
    parts = ("flowrate", readable, hashlib.sha256(place).hexdigest()[:8])
    return "-".join(part for part in parts if part)


def build_runs(job: Job) -> list[list[dict[str, Any]]]:
    """Returns the objects of each run, JSON-able: what guards the workers first, their Job last.

    Raises:
        ClusterError: Kubernetes' Python client is not installed.
    """
    name = base_name(job)
    return [
        _objects(Run(job, task, f"{name}-{number:03d}" if job.is_sweep else name, name))
        for number, task in enumerate(job.tasks)
    ]


def to_yaml(comment: str, objects: list[dict[str, Any]]) -> str:
    """Returns the objects as one file that kubectl takes."""
    load_models()  # PyYAML comes with it.
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data):
            return True

        def increase_indent(self, flow=False, indentless=False):
            return super().increase_indent(flow, False)

    def represent_text(dumper, text):
        # Kubernetes reads numbers in more ways than PyYAML knows of: 1e3, 0o7.
        style = '"' if re.match(r"[-+.]?\d", text) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)

    def represent_list(dumper, values):
        are_numbers = all(isinstance(value, int) for value in values)
        return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=are_numbers)

    Dumper.add_representer(str, represent_text)
    Dumper.add_representer(list, represent_list)
    text = yaml.dump_all(
        objects, Dumper=Dumper, sort_keys=False, width=100, explicit_start=True, allow_unicode=False
    )
    return "".join(f"# {line}".rstrip() + "\n" for line in comment.splitlines()) + text


@functools.cache
def _serializer():
    """One for all: each is a client that could connect."""
    return load_models().ApiClient()


def _objects(run: Run) -> list[dict[str, Any]]:
    found = [_policy(run), _job(run)]
    if run.config.nodes > 1 and not run.config.jobset:  # A JobSet makes its own service.
        found.insert(1, _service(run))
    found = [_serializer().sanitize_for_serialization(each) for each in found]
    if run.config.jobset:
        found[-1] = _job_set(run, found[-1])
    return found


def _metadata(run: Run):
    return load_models().V1ObjectMeta(
        name=run.name, namespace=run.config.namespace, labels=run.labels,
        annotations={RUN_DIR_ANNOTATION: str(run.task.run_dir)},
    )  # fmt: skip


def _policy(run: Run):
    """TensorFlow's port trusts whoever connects. No port is named: NCCL takes any that are free."""
    models = load_models()
    own = models.V1LabelSelector(match_labels=run.selector)
    peers = [models.V1NetworkPolicyPeer(pod_selector=own)]
    return models.V1NetworkPolicy(
        api_version="networking.k8s.io/v1", kind="NetworkPolicy", metadata=_metadata(run),
        spec=models.V1NetworkPolicySpec(
            pod_selector=own, policy_types=["Ingress"],
            ingress=[models.V1NetworkPolicyIngressRule(_from=peers)],
        ),
    )  # fmt: skip


def _service(run: Run):
    models = load_models()
    return models.V1Service(
        api_version="v1", kind="Service", metadata=_metadata(run),
        spec=models.V1ServiceSpec(
            cluster_ip="None", selector=run.selector,
            # The workers look for each other before any of them is ready.
            publish_not_ready_addresses=True,
            ports=[models.V1ServicePort(name="tensorflow", port=DEFAULT_PORT)],
        ),
    )  # fmt: skip


def _job(run: Run):
    models, config = load_models(), run.config
    return models.V1Job(
        api_version="batch/v1", kind="Job", metadata=_metadata(run),
        spec=models.V1JobSpec(
            completion_mode="Indexed", completions=config.nodes, parallelism=config.nodes,
            # Who loses another worker ends too, so a restart costs up to a pod of every index. A
            # JobSet counts its restarts itself.
            backoff_limit=0 if config.jobset else _max_restarts(run) * config.nodes,
            active_deadline_seconds=config.time_seconds if config.time else None,
            ttl_seconds_after_finished=None if config.jobset else _KEEP_SECONDS,
            pod_failure_policy=models.V1PodFailurePolicy(rules=_failure_rules(run)),
            template=models.V1PodTemplateSpec(
                metadata=models.V1ObjectMeta(labels=run.labels), spec=build_pod(run)
            ),
        ),
    )  # fmt: skip


def _max_restarts(run: Run) -> int:
    return 0 if run.job.module == BENCHMARKS else run.config.max_restarts


def _failure_rules(run: Run) -> list:
    """The first that fits decides; a failure that none fits is counted, and the pod tried again."""
    models = load_models()

    def ends_with(statuses: list[int], action: str):
        requirement = models.V1PodFailurePolicyOnExitCodesRequirement(
            container_name=CONTAINER, operator="In", values=statuses
        )
        return models.V1PodFailurePolicyRule(action=action, on_exit_codes=requirement)

    needs_a_person = ends_with(list(range(1, _FIRST_RETRYABLE)), "FailJob")
    if run.config.jobset:  # Any other failure is left to the JobSet, which restarts all.
        return [needs_a_person]
    disrupted = models.V1PodFailurePolicyOnPodConditionsPattern(
        type="DisruptionTarget", status="True"
    )
    return [
        # The node is drained or lost, or the worker was told to save: not counted.
        models.V1PodFailurePolicyRule(action="Ignore", on_pod_conditions=[disrupted]),
        ends_with([Preempted.exit_code], "Ignore"),
        needs_a_person,
    ]


def _job_set(run: Run, job: dict[str, Any]) -> dict[str, Any]:
    """Returns the Job as the one Job of a JobSet; the client has no model of that."""
    rule = {
        "name": "needsAPerson",
        "action": "FailJobSet",
        "onJobFailureReasons": ["PodFailurePolicy", "DeadlineExceeded"],
    }
    spec = {
        "network": {
            "enableDNSHostnames": True, "publishNotReadyAddresses": True, "subdomain": run.name,
        },
        "failurePolicy": {"maxRestarts": _max_restarts(run), "rules": [rule]},
        "ttlSecondsAfterFinished": _KEEP_SECONDS,
        "replicatedJobs": [
            {
                "name": REPLICATED_JOB,
                "replicas": 1,
                "template": {"metadata": {"labels": run.labels}, "spec": job["spec"]},
            }
        ],
    }  # fmt: skip
    return {
        "apiVersion": _JOB_SET_API, "kind": "JobSet", "metadata": job["metadata"], "spec": spec,
    }  # fmt: skip
