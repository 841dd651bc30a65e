"""Kubernetes' API as far as jobs need it: to make objects, to find, to end and to read them.

They are plain dictionaries, which JobSets are to the client in any case.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from flowrate.errors import ClusterError
from trainer.submit import kubeconfig
from trainer.submit.pod import CONTAINER, INSTANCE_LABEL, PART_OF_LABEL, load_models

# (apiVersion, kind): how its address calls it. A Service has a call of its own.
_PLURALS = {
    ("networking.k8s.io/v1", "NetworkPolicy"): "networkpolicies",
    ("batch/v1", "Job"): "jobs",
    ("jobset.x-k8s.io/v1alpha2", "JobSet"): "jobsets",
}
JOB, JOB_SET = ("batch/v1", "Job"), ("jobset.x-k8s.io/v1alpha2", "JobSet")
_BOUND = {"_request_timeout": 30}
_DELETE_SECONDS = 300
_POLL_SECONDS = 1.0
_NOT_FOUND, _CONFLICT, _BAD_REQUEST = 404, 409, 400


class AlreadyThereError(ClusterError):
    """An object of that name is there."""


class Api:
    """The cluster that kubeconfig.py finds.

    Args:
        namespace: in which everything is done.

    Raises:
        NoKubeconfigError: it finds none.
        ClusterError: Kubernetes' Python client is not installed.
    """

    def __init__(self, namespace: str):
        models = load_models()
        configuration = models.Configuration()
        kubeconfig.fill_in(configuration)
        configuration.retries = False  # Else each failure is told three times before it is raised.
        self.namespace = namespace
        self.host = configuration.host
        client = models.ApiClient(configuration)
        self._objects, self._core = models.CustomObjectsApi(client), models.CoreV1Api(client)

    def create(self, found: dict[str, Any], dry_run: bool = False) -> dict[str, Any]:
        """Makes an object, or only lets the cluster check it; returns what the cluster made of it.

        Raises:
            AlreadyThereError: one of that name is there.
            ClusterError: the cluster does not take it.
        """
        kind = (found["apiVersion"], found["kind"])
        how = {"dry_run": "All" if dry_run else None, "field_validation": "Strict", **_BOUND}
        with self._asked(f"{kind[1]} {found['metadata']['name']}") as answer:
            if kind[0] == "v1":
                self._core.create_namespaced_service(self.namespace, found, **how)
                answer.value = found
            else:
                answer.value = self._objects.create_namespaced_custom_object(
                    *self._place(kind), found, **how
                )
        if answer.status == _CONFLICT:
            raise AlreadyThereError(f"{kind[1]} {found['metadata']['name']} is there already.")
        if answer.status == _NOT_FOUND and kind == JOB_SET:
            answer.reason += "; --jobset is for clusters with JobSet's controller"
        return answer.found()

    def get(self, kind: tuple[str, str], name: str) -> dict[str, Any] | None:
        """Returns a Job or JobSet; None where there is none of that name."""
        with self._asked(f"{kind[1]} {name}") as answer:
            answer.value = self._objects.get_namespaced_custom_object(
                *self._place(kind), name, **_BOUND
            )
        return None if answer.status == _NOT_FOUND else answer.found()

    def list_part_of(self, kind: tuple[str, str], name: str) -> list[dict[str, Any]]:
        """Returns the Jobs or JobSets that are part of a job, by name."""
        with self._asked(f"{kind[1]}s of {name}") as answer:
            answer.value = self._objects.list_namespaced_custom_object(
                *self._place(kind), label_selector=f"{PART_OF_LABEL}={name}", **_BOUND
            )
        items = [] if answer.status == _NOT_FOUND else answer.found()["items"]
        return sorted(items, key=lambda item: item["metadata"]["name"])

    def resume(self, kind: tuple[str, str], name: str) -> None:
        """Lets a Job or JobSet that was made suspended begin."""
        with self._asked(f"{kind[1]} {name}") as answer:
            self._objects.patch_namespaced_custom_object(
                *self._place(kind), name, {"spec": {"suspend": False}},
                _content_type="application/merge-patch+json", **_BOUND,
            )  # fmt: skip
        answer.found()

    def delete(self, kind: tuple[str, str], name: str) -> None:
        """Ends a Job or JobSet; it stays until its pods, told to save, are gone."""
        with self._asked(f"{kind[1]} {name}") as answer:
            self._objects.delete_namespaced_custom_object(
                *self._place(kind), name, propagation_policy="Foreground", **_BOUND
            )
        if answer.status != _NOT_FOUND:
            answer.found()

    def wait_until_gone(self, kind: tuple[str, str], name: str) -> None:
        """Waits for an object that is being deleted.

        Raises:
            ClusterError: it is still there after some minutes.
        """
        end = time.monotonic() + _DELETE_SECONDS
        while self.get(kind, name) is not None:
            if time.monotonic() > end:
                raise ClusterError(
                    f"{kind[1]} {name} was deleted, and is still there after {_DELETE_SECONDS} s; "
                    "see kubectl get pods."
                )
            time.sleep(_POLL_SECONDS)

    def list_pods(self, name: str) -> list:
        """Returns the V1Pods of a job, by run and worker."""
        with self._asked(f"pods of {name}") as answer:
            answer.value = self._core.list_namespaced_pod(
                self.namespace, label_selector=f"{PART_OF_LABEL}={name}", **_BOUND
            )
        return sorted(answer.found().items, key=lambda pod: (pod_run(pod), pod_index(pod)))

    def read_log(self, pod: str, follow: bool, tail_lines: int | None) -> Iterator[str] | None:
        """Returns what a pod's worker prints, line by line; None where it has not begun."""
        what = f"log of {pod}"
        with self._asked(what) as answer:
            answer.value = self._core.read_namespaced_pod_log(
                pod, self.namespace, container=CONTAINER, follow=follow, tail_lines=tail_lines,
                _preload_content=False, **({} if follow else _BOUND),
            )  # fmt: skip
        if answer.status in (_BAD_REQUEST, _NOT_FOUND):
            return None
        return self._lines(what, answer.found())

    def _lines(self, what: str, response) -> Iterator[str]:
        with self._asked(what):
            for line in response:
                yield line.decode(errors="replace").rstrip("\n")

    def _place(self, kind: tuple[str, str]) -> tuple[str, str, str, str]:
        group, version = kind[0].split("/")
        return group, version, self.namespace, _PLURALS[kind]

    @contextlib.contextmanager
    def _asked(self, what: str) -> Iterator[_Answer]:
        """Turns what goes wrong into an answer, or a ClusterError where there is none."""
        import urllib3
        from kubernetes.client.exceptions import ApiException, OpenApiException

        answer = _Answer(what)
        try:
            yield answer
        except ApiException as error:
            answer.status, answer.reason = error.status, _reason(error)
        except urllib3.exceptions.HTTPError as error:
            reason = " ".join(str(error).split())[:200]
            raise ClusterError(f"Kubernetes at {self.host} does not answer: {reason}") from None
        except (OpenApiException, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ClusterError(f"Kubernetes: {what}: cannot be read: {reason}") from None


class _Answer:
    """What the cluster said: a value, or the status and reason of its refusal."""

    def __init__(self, what: str):
        self.value, self.status, self.reason = None, 200, ""
        self._what = what

    def found(self) -> Any:
        """Returns the value; raises ClusterError where there is none."""
        if self.status >= 300:
            raise ClusterError(f"Kubernetes: {self._what}: {self.reason} (HTTP {self.status}).")
        return self.value


def pod_index(pod) -> int:
    """Returns which worker of its run a pod is."""
    labels = pod.metadata.labels or {}
    return int(labels.get("batch.kubernetes.io/job-completion-index", 0))


def pod_run(pod) -> str:
    """Returns the name of the run that a pod belongs to."""
    return (pod.metadata.labels or {}).get(INSTANCE_LABEL, "")


def _reason(error) -> str:
    """Returns what the server says in its Status, on one line."""
    try:
        reason = json.loads(error.body)["message"]
    except (ValueError, TypeError, KeyError):
        reason = error.reason or "no reason given"
    return " ".join(str(reason).split()).rstrip(".")
