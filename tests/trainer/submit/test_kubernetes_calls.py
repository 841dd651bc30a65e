"""What the cluster is asked: against a server over HTTP that keeps what it is given."""

from __future__ import annotations

import asyncio
import json
import os
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
from trainer.submit.manifests import base_name, build_runs

pytest.importorskip("kubernetes", reason="pip install -e .[cluster]")
kmock = pytest.importorskip("kmock", reason="pip install kmock (Python 3.11 and later)")

NAMESPACE = "team"
JOBS, JOB_SETS = "batch/v1/jobs", "jobset.x-k8s.io/v1alpha2/jobsets"
POLICIES, SERVICES = "networking.k8s.io/v1/networkpolicies", "v1/services"


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
        # What every cluster gives to what is made.
        self.emulator["create"] << self._with_uid
        for resource in (JOBS, JOB_SETS, POLICIES, SERVICES, "v1/pods"):
            self.emulator.resources[resource] = {"namespaced": True}
            self.emulator["list", kmock.resource(resource)] << self._list
        return self

    def __exit__(self, *_) -> None:
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join()
        self._loop.close()

    @staticmethod
    def _with_uid(request):
        name = request.data["metadata"]["name"]
        metadata = {**request.data["metadata"], "uid": f"uid-of-{name}"}
        return kmock.Response(status=201, payload={**request.data, "metadata": metadata})

    def _list(self, request) -> dict:
        """As a cluster: only what the selector asks for, and without saying of what kind it is."""
        name, _, value = request.params["labelSelector"].partition("=")
        items = [
            {key: part for key, part in found.items() if key not in ("apiVersion", "kind")}
            for found in self.objects(request.resource).values()
            if found["metadata"]["labels"].get(name) == value
        ]
        return {"metadata": {}, "items": items}

    def asked(self, *methods: str) -> list[tuple[str, str]]:
        """Returns (method, kind of object) of the requests so far, only of the methods given."""
        found = [(request.method.value, request.resource.plural) for request in self.requests]
        return [each for each in found if each[0] in methods]

    @property
    def requests(self) -> list:
        return list(self.emulator)

    def objects(self, resource: str) -> dict[str, dict]:
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
        monkeypatch.setattr(kubernetes_checks, "RUNS", str(tmp_path))
        yield found


@pytest.fixture
def make_job(tmp_path):
    def make(**options) -> Job:
        given = {"nodes": 2, "image": "a", "volume_claim": "b", "namespace": NAMESPACE, **options}
        config = SubmitConfig(cluster="kubernetes", **given)
        return plan_job(config, [f"--run_dir={tmp_path}/run"], Path("/"))

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
        "metadata": {
            "name": f"{job}-{index}-abcde", "namespace": NAMESPACE,
            "labels": {
                "app.kubernetes.io/instance": job, "app.kubernetes.io/part-of": job,
                "batch.kubernetes.io/job-completion-index": str(index),
            },
        },
        "status": {"phase": phase, **status},
    }  # fmt: skip


@pytest.mark.parametrize("jobset", [False, True])
def test_a_job_is_made_as_the_file_says(server, make_job, jobset):
    job = make_job(jobset=jobset)
    record = submit(job)
    name = base_name(job)
    assert record["job_id"] == (f"jobset/{name}" if jobset else name)
    kind, plural = (JOB_SETS, "jobsets") if jobset else (JOBS, "jobs")
    services = [] if jobset else [("POST", "services")]
    assert server.asked("POST", "PATCH", "DELETE") == [
        ("POST", plural), ("POST", "networkpolicies"), *services, ("PATCH", plural),
    ]  # fmt: skip
    for request in server.requests:
        assert request.namespace == NAMESPACE
        assert request.headers["Authorization"] == "Bearer secret"
        if request.method.value == "POST":
            assert request.params["fieldValidation"] == "Strict"
            assert "dryRun" not in request.params
    [[*others, owner]] = build_runs(job)
    made = server.objects(kind)[name]
    assert made["spec"].pop("suspend") is False
    assert made == owner
    # They go with the Job.
    reference = {
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": name,
        "uid": f"uid-of-{name}",
    }  # fmt: skip
    made_others = [server.objects(POLICIES)[name], *server.objects(SERVICES).values()]
    for made, other in zip(made_others, others, strict=True):
        assert made["metadata"].pop("ownerReferences") == [reference]
        assert made == other


def test_the_job_begins_only_when_its_port_is_guarded(server, make_job):
    submit(make_job())
    first = next(request for request in server.requests if request.method.value == "POST")
    assert first.data["kind"] == "Job"
    assert first.data["spec"]["suspend"] is True
    last = server.requests[-1]
    assert (last.method.value, last.data) == ("PATCH", {"spec": {"suspend": False}})
    assert last.headers["Content-Type"] == "application/merge-patch+json"


def test_a_sweep_is_as_many_jobs(server, make_job):
    job = make_job(sweep=("seed=1..3",))
    record = submit(job)
    names = [f"{base_name(job)}-{number:03d}" for number in range(3)]
    for resource in (JOBS, POLICIES, SERVICES):
        assert sorted(server.objects(resource)) == names
    assert not kubernetes.is_over(record)
    for name in names:
        server.change(JOBS, name, condition("Complete"))
    assert kubernetes.is_over(record)
    kubernetes.cancel(record)
    assert server.objects(JOBS) == {}


@pytest.mark.parametrize("jobset", [False, True])
def test_status(server, make_job, jobset):
    job = make_job(jobset=jobset)
    record = submit(job)
    name, resource = base_name(job), JOB_SETS if jobset else JOBS
    listed = {"labelSelector": f"app.kubernetes.io/part-of={name}"}

    [line] = kubernetes.status(record)
    assert "not over" in line
    assert dict(server.requests[-1].params) == dict(server.requests[-2].params) == listed

    full = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}  # fmt: skip
    server.put("v1/pods", "0", pod(name, 0))
    server.put("v1/pods", "1", pod(name, 1, "Pending", conditions=[full]))
    counts = {"restarts": 2} if jobset else {"active": 2, "ready": 1, "failed": 4}
    server.change(resource, name, {"status": counts})
    first, second = kubernetes.status(record)
    assert first.endswith(
        "restarted 2 times" if jobset else "pods: 2 active, 1 ready, 0 succeeded, 4 failed"
    )
    assert second.startswith(f"  worker 1, pod {name}-1-abcde: Unschedulable: 0/3 nodes")
    assert not kubernetes.is_over(record)

    waiting = {
        "name": "worker", "image": "a", "imageID": "", "ready": False, "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such"}},
    }  # fmt: skip
    server.put("v1/pods", "1", pod(name, 1, "Pending", containerStatuses=[waiting]))
    assert kubernetes.status(record)[1].endswith("ImagePullBackOff: no such")

    failed = condition("Failed", reason="PodFailurePolicy", message="exit code 3")
    server.change(resource, name, failed)
    assert kubernetes.status(record)[0].endswith("failed: PodFailurePolicy: exit code 3")
    assert kubernetes.is_over(record)
    server.change(resource, name, condition("Completed" if jobset else "Complete"))
    assert kubernetes.status(record)[0].endswith(": completed")
    assert kubernetes.is_over(record)


@pytest.mark.parametrize("jobset", [False, True])
def test_cancelled_it_stays_until_its_pods_have_saved(server, make_job, jobset):
    job = make_job(jobset=jobset)
    record = submit(job)
    name, resource = base_name(job), JOB_SETS if jobset else JOBS
    # As a cluster does where propagationPolicy is Foreground.
    server.change(resource, name, {"metadata": {"finalizers": ["foregroundDeletion"]}})
    kubernetes.cancel(record)
    request = server.requests[-1]
    assert (request.method.value, request.name) == ("DELETE", name)
    assert request.params["propagationPolicy"] == "Foreground"
    assert kubernetes.status(record) == [
        f"{'JobSet' if jobset else 'Job'} {name}: being ended; its workers save"
    ]
    assert not kubernetes.is_over(record)
    server.change(resource, name, {"metadata": {"finalizers": []}})
    kubernetes.cancel(record)  # Again: what is gone already is no error.
    assert kubernetes.status(record) == [f"job {name}: not, or no longer, known to Kubernetes"]
    assert kubernetes.is_over(record)


def test_the_same_command_again_goes_on_once_the_job_is_over(server, make_job):
    job = make_job()
    submit(job)
    name = base_name(job)
    with pytest.raises(ConfigError, match=f"Job {name}, which writes into .*/run, is not over"):
        kubernetes.submit(job, Path("job.yaml"))
    server.change(JOBS, name, condition("Failed", reason="DeadlineExceeded"))
    for resource in (POLICIES, SERVICES):  # With the Job, as its belongings.
        server.emulator.objects[resource, NAMESPACE, name].delete()
    before = len(server.requests)
    assert kubernetes.submit(job, Path("job.yaml")) == name
    changes = [request.method.value for request in server.requests[before:]]
    assert changes[:3] == ["GET", "DELETE", "GET"]
    assert changes[3:] == ["POST", "POST", "POST", "PATCH"]
    assert "status" not in server.objects(JOBS)[name]


def test_a_job_of_another_run_is_left_alone(server, make_job):
    job = make_job()
    name = base_name(job)
    server.put(JOBS, name, {"metadata": {"name": name}, **condition("Complete")})
    with pytest.raises(ConfigError, match="is there, and not of this run"):
        kubernetes.submit(job, Path("job.yaml"))
    assert server.asked("POST", "DELETE") == []


def test_where_a_part_is_refused_nothing_is_left(server, make_job):
    job = make_job()
    message = 'networkpolicies is forbidden: User "me" cannot create\nthem.'
    refusal = kmock.Response(status=403, payload={"kind": "Status", "message": message})
    server.emulator["create", kmock.resource(POLICIES)] ** 10 << refusal
    with pytest.raises(ClusterError) as caught:
        kubernetes.submit(job, Path("job.yaml"))
    assert str(caught.value) == (
        f"Kubernetes: NetworkPolicy {base_name(job)}: networkpolicies is forbidden: "
        'User "me" cannot create them (HTTP 403).'
    )
    assert server.objects(JOBS) == {}
    assert server.asked("PATCH") == []  # It never began.


def test_what_was_applied_by_hand_is_not_mixed_with(server, make_job):
    job = make_job()
    name = base_name(job)
    server.put(SERVICES, name, {"metadata": {"name": name, "namespace": NAMESPACE}})
    with pytest.raises(ClusterError, match=f"Service {name} is there .*kubectl delete -f job"):
        kubernetes.submit(job, Path("job.yaml"))
    assert server.objects(JOBS) == {}


def test_without_its_controller_a_job_set_is_refused(server, make_job):
    refusal = kmock.Response(status=404, payload={"message": "could not find the resource"})
    server.emulator["create", kmock.resource(JOB_SETS)] ** 10 << refusal
    with pytest.raises(ClusterError, match="could not find the resource; --jobset is for clusters"):
        kubernetes.submit(make_job(jobset=True), Path("job.yaml"))


def test_another_job_of_the_same_namespace_is_not_touched(server, make_job, tmp_path):
    record = submit(make_job())
    config = SubmitConfig(cluster="kubernetes", image="a", namespace=NAMESPACE)
    other = submit(plan_job(config, [f"--run_dir={tmp_path}/other"], Path("/")))
    kubernetes.cancel(record)
    assert list(server.objects(JOBS)) == [other["job_id"]]
    assert kubernetes.is_over(record)
    assert not kubernetes.is_over(other)


def test_a_dry_run_asks_the_cluster_and_makes_nothing(server, make_job):
    job = make_job()
    text = kubernetes.check(job, Path("job.yaml"))
    assert text == f"Kubernetes at {server.url.rstrip('/')} would take it"
    assert server.asked("POST", "PATCH", "DELETE") == [
        ("POST", "networkpolicies"), ("POST", "services"), ("POST", "jobs"),
    ]  # fmt: skip
    for request in server.requests:
        assert request.params["dryRun"] == "All"
        assert request.params["fieldValidation"] == "Strict"


def test_the_logs_come_with_their_worker(server, make_job, capsys):
    job = make_job()
    record = submit(job)
    name = base_name(job)
    with pytest.raises(DataError, match="no pod of it is left"):
        kubernetes.show_logs(record, follow=False)
    for index in (1, 0):
        server.put("v1/pods", str(index), pod(name, index))
        log = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}-{index}-abcde/log"
        server.emulator["get", log] << f"step 1 of {index}\nstep 2 of {index}\n".encode()
    server.put("v1/pods", "2", pod(name, 2, "Pending"))
    log = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}-2-abcde/log"
    server.emulator["get", log] << kmock.Response(status=400, payload={"message": "is waiting"})
    expected = [
        "[worker 0] step 1 of 0", "[worker 0] step 2 of 0", "[worker 1] step 1 of 1",
        "[worker 1] step 2 of 1", "[worker 2] has not begun",
    ]  # fmt: skip
    capsys.readouterr()
    assert kubernetes.show_logs(record, follow=False) == 0
    assert capsys.readouterr().out.splitlines() == expected
    read = [request for request in server.requests if request.subresource == "log"]
    assert all(request.params["container"] == "worker" for request in read)
    assert all(request.params["follow"] == "false" for request in read)

    server.change(JOBS, name, condition("Complete"))
    assert kubernetes.show_logs(record, follow=True) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(expected)
    assert server.requests[-1].params["follow"] == "true"


def test_a_cluster_that_does_not_answer_is_named(make_job, tmp_path, monkeypatch, server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Not listening.
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        text = (tmp_path / "kubeconfig").read_text().replace(server.url.rstrip("/"), address)
        (tmp_path / "kubeconfig").write_text(text)
        with pytest.raises(ClusterError, match=f"Kubernetes at {address} does not answer") as error:
            kubernetes.submit(make_job(), Path("job.yaml"))
    assert "\n" not in str(error.value)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ClusterError, match="no Kubernetes cluster is set up here"):
        kubernetes.submit(make_job(), Path("job.yaml"))


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
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    core = {"name": "services", "singularName": "service", "namespaced": True, "kind": "Service",
            "verbs": ["create"]}  # fmt: skip
    server.emulator["get", "/api/v1"] << {
        "kind": "APIResourceList", "groupVersion": "v1", "resources": [core],
    }  # fmt: skip
    for resource, kind in ((JOBS, "Job"), (POLICIES, "NetworkPolicy")):
        server.emulator.resources[resource] = {
            "kind": kind, "singular": kind.lower(), "namespaced": True, "verbs": ["create"],
        }  # fmt: skip
    config = SubmitConfig(cluster="kubernetes", nodes=2, image="1e3", volume_claim="0")
    job = plan_job(config, [f"--run_dir={tmp_path}/{name}"], Path("/"))
    path = job.write_file(kubernetes.FILE_NAME, kubernetes.render(job))
    done = subprocess.run(
        ["kubectl", "create", "--dry-run=client", "--validate=false", "--output=json", "-f", path],
        env={**os.environ, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    read, rest = [], done.stdout.strip()
    while rest:
        found, end = json.JSONDecoder().raw_decode(rest)
        read.append(found)
        rest = rest[end:].strip()
    assert read == build_runs(job)[0]
