"""What kubectl is asked, and what its answers come to: a server imitates the cluster."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowrate.errors import ClusterError, ConfigError, DataError
from trainer.submit import kubernetes, kubernetes_checks, main
from trainer.submit.config import SubmitConfig
from trainer.submit.job import Job, plan_job, read_record
from trainer.submit.kubernetes import base_name

kmock = pytest.importorskip("kmock", reason="pip install kmock (Python 3.11 and later)")
yaml = pytest.importorskip("yaml", reason="comes with kubernetes-validate")
pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")

NAMESPACE = "team"
JOBS, JOB_SETS = "batch/v1/jobs", "jobset.x-k8s.io/v1alpha2/jobsets"
POLICIES, SERVICES, PODS = "networking.k8s.io/v1/networkpolicies", "v1/services", "v1/pods"
KINDS = {
    JOBS: "Job", JOB_SETS: "JobSet", POLICIES: "NetworkPolicy", SERVICES: "Service", PODS: "Pod",
}  # fmt: skip


class Server:
    """A cluster's API on a free port of this machine, in a thread of its own."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._is_up = threading.Event()
        self._is_over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    async def _run(self) -> None:
        async with kmock.KubernetesEmulator() as self.emulator, kmock.Server(self.emulator) as here:
            self.url = str(here.url)
            self._is_up.set()
            await self._is_over.wait()

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._is_up.wait(60)
        verbs = ["create", "delete", "get", "list", "patch", "update"]
        core, openapi = [], {}
        for resource, kind in KINDS.items():
            facts = {"kind": kind, "singular": kind.lower(), "namespaced": True, "verbs": verbs}
            self.emulator.resources[resource] = facts
            self.emulator["list", kmock.resource(resource)] << self._list
            self.emulator["put", kmock.resource(resource)] << self._replace
            *group, version, plural = resource.split("/")
            if not group:
                core.append({**facts, "name": plural, "singularName": kind.lower()})
            place = f"{'apis' if group else 'api'}/{resource.rpartition('/')[0]}"
            gvk = {"group": "".join(group), "version": version, "kind": kind}
            openapi.setdefault(place, {})[
                f"/{place}/namespaces/{{namespace}}/{plural}/{{name}}"
            ] = {
                "patch": {
                    "x-kubernetes-group-version-kind": gvk,
                    "parameters": [
                        {"name": name, "in": "query"} for name in ("fieldValidation", "dryRun")
                    ],
                }
            }
        self.emulator["get", "/api/v1"] << {
            "kind": "APIResourceList", "groupVersion": "v1", "resources": core,
        }  # fmt: skip
        # That the server checks fields itself, kubectl reads from here.
        self.emulator["get", "/openapi/v3"] << {
            "paths": {place: {"serverRelativeURL": f"/openapi/v3/{place}"} for place in openapi}
        }
        for place, paths in openapi.items():
            self.emulator["get", f"/openapi/v3/{place}"] << {"openapi": "3.0.0", "paths": paths}
        return self

    def __exit__(self, *_) -> None:
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join()
        self._loop.close()

    def _replace(self, request) -> dict:
        self.emulator.objects[request.resource, NAMESPACE, request.name] = request.data
        return request.data

    def _list(self, request) -> dict:
        """As a cluster: only what the selector asks for, each with an identity."""
        name, _, value = request.params["labelSelector"].partition("=")
        resource = request.resource
        found = self.objects(resource).values()
        version = "/".join(part for part in (resource.group, resource.version) if part)
        kind = KINDS[f"{version}/{resource.plural}"]
        items = [
            {**each, "metadata": {**each["metadata"], "uid": f"uid-of-{each['metadata']['name']}"}}
            for each in found
            if each["metadata"]["labels"].get(name) == value
        ]
        return {"apiVersion": version, "kind": f"{kind}List", "metadata": {}, "items": items}

    def changes(self) -> list[tuple[str, str]]:
        """Returns (method, kind of object) of the requests so far that change something."""
        found = [(request.method.value, request.resource) for request in list(self.emulator)]
        return [(method, each.plural) for method, each in found if each and method != "GET"]

    def objects(self, resource) -> dict[str, dict]:
        """Returns the objects of a kind that are there, by name."""
        wanted = kmock.resource(resource)
        return {
            name: each.raw
            for (kind, namespace, name), each in list(self.emulator.objects._objects.items())
            if kind == wanted and namespace == NAMESPACE and not each.deleted
        }

    def put(self, resource: str, name: str, value: dict) -> None:
        self.emulator.objects[resource, NAMESPACE, name] = value

    def change(self, resource: str, name: str, value: dict) -> None:
        self.emulator.objects[resource, NAMESPACE, name].patch(value)


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[Server]:
    with Server() as found:
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": found.url.rstrip("/")}}],
            "users": [{"name": "me", "user": {"token": "secret"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "me"}}],
        }  # fmt: skip
        (tmp_path / "kubeconfig").write_text(json.dumps(config))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        monkeypatch.setenv("HOME", str(tmp_path))  # kubectl keeps there what a server can do.
        monkeypatch.setattr(kubernetes_checks, "RUNS", str(tmp_path))
        yield found


@pytest.fixture
def make_job(tmp_path):
    def make(run_dir: str = "run", **options) -> Job:
        given = {"nodes": 2, "image": "a", "volume_claim": "b", "namespace": NAMESPACE, **options}
        config = SubmitConfig(cluster="kubernetes", **given)
        return plan_job(config, [f"--run_dir={tmp_path}/{run_dir}"], Path("/"))

    return make


def submit(job: Job) -> dict:
    """Submits as the program does; returns the record."""
    path = job.write_file(kubernetes.FILE_NAME, kubernetes.render(job))
    job.write_record(kubernetes.submit(job, path), ["submit"])
    return read_record(job.folder)


def condition(kind: str, **facts) -> dict:
    return {"status": {"conditions": [{"type": kind, "status": "True", **facts}]}}


def pod(job: str, index: int, phase: str = "Running", **status) -> dict:
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": f"{job}-{index}-abcde", "namespace": NAMESPACE,
            "labels": {
                "app.kubernetes.io/instance": job, "app.kubernetes.io/part-of": job,
                "batch.kubernetes.io/job-completion-index": str(index),
            },
        },
        "spec": {"containers": [{"name": "worker", "image": "a"}]},
        "status": {"phase": phase, **status},
    }  # fmt: skip


@pytest.mark.parametrize("jobset", [False, True])
def test_a_job_is_made_as_the_file_says_its_guard_first(server, make_job, jobset):
    job = make_job(jobset=jobset)
    record = submit(job)
    name = base_name(job)
    assert record["job_id"] == (f"jobset/{name}" if jobset else name)
    others = ["networkpolicies"] if jobset else ["networkpolicies", "services"]
    assert server.changes() == [
        *(("POST", each) for each in others), ("POST", "jobsets" if jobset else "jobs"),
        *(("PUT", each) for each in others),
    ]  # fmt: skip
    for request in list(server.emulator):
        if request.method.value == "POST":
            assert request.params["fieldValidation"] == "Strict"
    *others, owner = yaml.safe_load_all(kubernetes.render(job))
    made = server.objects(JOB_SETS if jobset else JOBS)[name]
    assert made["spec"] == owner["spec"]
    # They go with the Job.
    reference = {
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": name,
        "uid": f"uid-of-{name}",
    }  # fmt: skip
    made_others = [server.objects(POLICIES)[name], *server.objects(SERVICES).values()]
    for made, other in zip(made_others, others, strict=True):
        assert made["metadata"]["ownerReferences"] == [reference]
        assert made["spec"] == other["spec"]


def test_a_sweep_is_as_many_jobs_which_end_together(server, make_job):
    job = make_job(sweep=("seed=1..2",))
    record, other = submit(job), submit(make_job("other"))
    names = [f"{base_name(job)}-{number:03d}" for number in range(2)]
    for resource in (JOBS, POLICIES, SERVICES):
        assert sorted(server.objects(resource)) == sorted([*names, other["job_id"]])
    assert not kubernetes.is_over(record)
    for name in names:
        server.change(JOBS, name, condition("Complete"))
    assert kubernetes.is_over(record)
    kubernetes.cancel(record)
    assert list(server.objects(JOBS)) == [other["job_id"]]
    assert not kubernetes.is_over(other)


@pytest.mark.parametrize("jobset", [False, True])
def test_status(server, make_job, jobset):
    job = make_job(jobset=jobset)
    record = submit(job)
    name, resource = base_name(job), JOB_SETS if jobset else JOBS
    full = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}  # fmt: skip
    server.put(PODS, "0", pod(name, 0))
    server.put(PODS, "1", pod(name, 1, "Pending", conditions=[full]))
    counts = {"restarts": 2} if jobset else {"active": 2, "ready": 1, "failed": 4}
    server.change(resource, name, {"status": counts})
    first, second = kubernetes.status(record)
    assert first.endswith(
        "restarted 2 times" if jobset else "pods: 2 active, 1 ready, 0 succeeded, 4 failed"
    )
    assert second.startswith(f"  worker 1, pod {name}-1-abcde: Unschedulable: 0/3 nodes")
    assert not kubernetes.is_over(record)

    waiting = {"name": "worker", "state": {"waiting": {"reason": "ImagePullBackOff"}}}
    server.put(PODS, "1", pod(name, 1, "Pending", containerStatuses=[waiting]))
    assert "ImagePullBackOff" in kubernetes.status(record)[1]

    failed = condition("Failed", reason="PodFailurePolicy", message="exit code 3")
    server.change(resource, name, failed)
    assert kubernetes.status(record)[0].endswith("failed: PodFailurePolicy: exit code 3")
    assert kubernetes.is_over(record)
    server.change(resource, name, condition("Completed" if jobset else "Complete"))
    assert kubernetes.status(record)[0].endswith(": completed")


def test_cancelled_it_stays_until_its_pods_have_saved(server, make_job):
    job = make_job()
    record = submit(job)
    name = base_name(job)
    # As a cluster does where propagationPolicy is Foreground.
    server.change(JOBS, name, {"metadata": {"finalizers": ["foregroundDeletion"]}})
    kubernetes.cancel(record)
    [request] = [each for each in list(server.emulator) if each.method.value == "DELETE"]
    assert (request.resource.plural, request.name) == ("jobs", name)
    assert request.data["propagationPolicy"] == "Foreground"
    assert kubernetes.status(record) == [f"Job {name}: being ended; its workers save"]
    assert not kubernetes.is_over(record)
    server.change(JOBS, name, {"metadata": {"finalizers": []}})
    kubernetes.cancel(record)  # Again: what is gone already is no error.
    assert kubernetes.status(record) == [f"job {name}: not, or no longer, known to Kubernetes"]
    assert kubernetes.is_over(record)


def test_the_same_command_again_goes_on_once_the_job_is_over(server, make_job):
    job = make_job()
    submit(job)
    name = base_name(job)
    with pytest.raises(ConfigError, match=f"job {name}, which writes into .*/run, is not over"):
        submit(job)
    server.change(JOBS, name, condition("Failed", reason="DeadlineExceeded"))
    before = len(server.changes())
    assert submit(job)["job_id"] == name
    methods = [method for method, _ in server.changes()[before:]]
    assert methods == ["DELETE"] * 3 + ["POST"] * 3 + ["PUT"] * 2
    assert "status" not in server.objects(JOBS)[name]


@pytest.mark.parametrize(("resource", "made"), [(POLICIES, []), (JOBS, ["networkpolicies"])])
def test_where_a_part_is_refused_no_job_is_left(server, make_job, resource, made):
    message = 'forbidden: User "me" cannot create\nthem.'
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden",
              "message": message, "code": 403}  # fmt: skip
    refusal = kmock.Response(status=403, payload=status)
    server.emulator["create", kmock.resource(resource)] ** 10 << refusal
    with pytest.raises(ClusterError, match=r'^kubectl: .*User "me" cannot create them') as caught:
        submit(make_job())
    assert "\n" not in str(caught.value)
    assert server.objects(JOBS) == {}


def test_a_dry_run_asks_the_cluster_and_makes_nothing(server, make_job):
    job = make_job()
    path = job.write_file(kubernetes.FILE_NAME, kubernetes.render(job))
    assert kubernetes.check(job, path) == "Kubernetes would take it"
    assert server.changes() == [
        ("POST", "networkpolicies"), ("POST", "services"), ("POST", "jobs"),
    ]  # fmt: skip
    for request in list(server.emulator):
        if request.method.value == "POST":
            assert request.params["dryRun"] == "All"
            assert request.params["fieldValidation"] == "Strict"


def test_the_logs_come_with_their_pod(server, make_job, capfd):
    job = make_job()
    record = submit(job)
    name = base_name(job)
    with pytest.raises(DataError, match="no pod of it is left"):
        kubernetes.show_logs(record, follow=False)
    for index in (1, 0):
        server.put(PODS, f"{name}-{index}-abcde", pod(name, index))
        log = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}-{index}-abcde/log"
        server.emulator["get", log] << f"step 1 of {index}\nstep 2 of {index}\n".encode()
    server.put(PODS, f"{name}-2-abcde", pod(name, 2, "Pending"))
    expected = [
        *(f"[pod/{name}-{index}-abcde/worker] step {step} of {index}"
          for index in (0, 1) for step in (1, 2)),
        f"[pod/{name}-2-abcde] has not begun",
    ]  # fmt: skip
    capfd.readouterr()
    assert kubernetes.show_logs(record, follow=False) == 0
    assert capfd.readouterr().out.splitlines() == expected
    server.change(JOBS, name, condition("Complete"))
    assert kubernetes.show_logs(record, follow=True) == 0
    assert sorted(capfd.readouterr().out.splitlines()) == sorted(expected)
    assert list(server.emulator)[-1].params["follow"] == "true"


def test_a_cluster_that_does_not_answer_is_named(make_job, tmp_path, server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Not listening.
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = (tmp_path / "kubeconfig").read_text()
        text = text.replace(server.url.rstrip("/"), f"http://{address}")
        (tmp_path / "kubeconfig").write_text(text)
        with pytest.raises(ClusterError, match=f"^kubectl: .*{address}") as error:
            submit(make_job())
    assert "\n" not in str(error.value)


def test_the_program_from_submission_to_the_end(server, tmp_path, capsys):
    run_dir = str(tmp_path / "run")
    words = [
        "submit", "--cluster=kubernetes", "--nodes=2", f"--namespace={NAMESPACE}", "--image=a",
        "--volume_claim=b", "--", f"--run_dir={run_dir}",
    ]  # fmt: skip
    assert main.main(words) == 0
    told = capsys.readouterr().out
    [name] = server.objects(JOBS)
    assert f"job {name} of 1 run" in told
    assert f"kubectl get pods --namespace={NAMESPACE} --selector=" in told
    assert main.main(words) == ConfigError.exit_code
    assert "is not over" in capsys.readouterr().err
    assert main.main(["submit", "status", run_dir]) == 0
    assert f"Job {name}: not over" in capsys.readouterr().out
    assert main.main(["submit", "cancel", run_dir]) == 0
    assert server.objects(JOBS) == {}
    assert main.main(["submit", "logs", run_dir]) == DataError.exit_code
    assert "error: job" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["yes", "1e3", "0o7", "12:30:45", "a: b # c", "$(HOME)", "müller"])
def test_kubectl_reads_the_file_as_it_is_meant(server, tmp_path, name):
    """YAML has several readings; kubectl's is the one that counts."""
    config = SubmitConfig(cluster="kubernetes", nodes=2, image="1e3", volume_claim="0")
    job = plan_job(config, [f"--run_dir={tmp_path}/{name}"], Path("/"))
    path = job.write_file(kubernetes.FILE_NAME, kubernetes.render(job))
    done = subprocess.run(
        ["kubectl", "create", "--dry-run=client", "--validate=false", "--output=json", "-f", path],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    decoder, read, rest = json.JSONDecoder(), [], done.stdout.strip()
    while rest:
        found, end = decoder.raw_decode(rest)
        read.append(found)
        rest = rest[end:].strip()
    assert read == list(yaml.safe_load_all(path.read_text()))
    pod_spec = read[-1]["spec"]["template"]["spec"]
    assert pod_spec["containers"][0]["image"] == "1e3"
    assert pod_spec["volumes"][0]["persistentVolumeClaim"]["claimName"] == "0"
    given = f"--run_dir={tmp_path}/{name}".replace("$", "$$")
    assert given in pod_spec["containers"][0]["command"]
