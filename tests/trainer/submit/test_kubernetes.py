"""The job file for Kubernetes: valid by its schemas, and meaning what it should."""

from __future__ import annotations

import configparser
import re
import socket
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowrate import errors
from flowrate.errors import ClusterError, ConfigError
from trainer.distributed.cluster import DEFAULT_PORT, Cluster, find_cluster
from trainer.distributed.preflight import check_ready
from trainer.submit import kubernetes, kubernetes_checks, main
from trainer.submit.config import SubmitConfig
from trainer.submit.job import BENCHMARKS, Job, Task, plan_job
from trainer.submit.kubernetes import CHECKOUT, USER_ID, base_name
from trainer.submit.kubernetes_checks import RUNS

yaml = pytest.importorskip("yaml", reason="comes with kubernetes-validate")

ROOT = Path(__file__).resolve().parents[3]
# The oldest of which all that is used is stable, and the newest that the schemas know of.
OLDEST = "1.31"
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
HOSTILE = (
    "a;touch x", "$(FLOWRATE_JOB)", "$$(HOME)$", "`id`", "!!python/object:os.system", "yes", "1e3",
    "a: b # c", "- x", '"', "'", "{{x}}", "&a *a", "müller", "..a", "-", "Ω" * 60, "x" * 200,
)  # fmt: skip


def make_job(*words: str, run_dir: str = f"{RUNS}/mnist-1", **options) -> Job:
    given = {"nodes": 2, "image": "example/flowrate:1", "volume_claim": "runs", **options}
    config = SubmitConfig(cluster="kubernetes", **given)
    return plan_job(config, ["--dataset=mnist", f"--run_dir={run_dir}", *words], Path("/"))


def benchmark_job(**options) -> Job:
    words = ("run", "--suite=scaling", "--output=runs/bench")
    given = {"image": "example/flowrate:1", "volume_claim": "runs", **options}
    config, folder = SubmitConfig(cluster="kubernetes", **given), Path(f"{RUNS}/bench")
    return Job(config, BENCHMARKS, folder, (Task(folder, words),), Path("/"))


def load(job: Job) -> list[dict]:
    return list(yaml.safe_load_all(kubernetes.render(job)))


def of_kind(kind: str, job: Job) -> list[dict]:
    return [found for found in load(job) if found["kind"] == kind]


def job_spec(job: Job) -> dict:
    """The spec of the (first) Job, also where it lies in a JobSet."""
    if job.config.jobset:
        return of_kind("JobSet", job)[0]["spec"]["replicatedJobs"][0]["template"]["spec"]
    return of_kind("Job", job)[0]["spec"]


def pod_spec(job: Job) -> dict:
    return job_spec(job)["template"]["spec"]


def container(job: Job) -> dict:
    return pod_spec(job)["containers"][0]


VARIANTS = {
    "one pod": {"nodes": 1},
    "one pod that keeps nothing": {"nodes": 1, "volume_claim": None},
    "two pods": {},
    "GPUs": {"nodes": 8, "gpus_per_node": 4, "cpus_per_task": 16, "memory": "512G"},
    "a time limit": {"time": "2-00:00:00", "save_seconds": 600},
    "no restart": {"max_restarts": 0},
    "a JobSet": {"jobset": True, "gpus_per_node": 1, "time": "30"},
    "a sweep": {"sweep": ("learning_rate=0.1,0.01", "seed=1..2")},
    "a sweep of JobSets": {"jobset": True, "sweep": ("seed=1..2",)},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("version", [OLDEST, "newest"])
def test_the_file_is_valid(options, version):
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    version = validate.latest_version() if version == "newest" else OLDEST
    words = ["--global_batch_size=256"]
    for found in load(make_job(*words, **options)):
        if found["kind"] == "JobSet":
            [replicated] = found["spec"]["replicatedJobs"]
            found = {"apiVersion": "batch/v1", "kind": "Job", **replicated["template"]}
        validate.validate(found, version, strict=True)


def test_a_field_that_does_not_exist_would_be_noticed():
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    [job] = of_kind("Job", make_job())
    job["spec"]["template"]["spec"]["containers"][0]["comand"] = ["true"]
    with pytest.raises(validate.ValidationError, match="comand"):
        validate.validate(job, OLDEST, strict=True)


def test_benchmarks_are_valid_and_write_into_the_volume():
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for found in load(benchmark_job()):
        validate.validate(found, OLDEST, strict=True)
    assert container(benchmark_job())["command"] == [
        "python", "-m", "benchmarks.main", "run", "--suite=scaling", f"--output={RUNS}/bench",
    ]  # fmt: skip
    assert job_spec(benchmark_job())["backoffLimit"] == 0


def test_the_job_set_has_fields_that_job_sets_have():
    """Of v1alpha2: config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml in kubernetes-sigs."""
    [found] = of_kind("JobSet", make_job(jobset=True, max_restarts=5))
    assert found["apiVersion"] == "jobset.x-k8s.io/v1alpha2"
    assert found["spec"].keys() == {
        "network", "failurePolicy", "ttlSecondsAfterFinished", "replicatedJobs",
    }  # fmt: skip
    assert found["spec"]["network"] == {
        "enableDNSHostnames": True, "publishNotReadyAddresses": True,
        "subdomain": found["metadata"]["name"],
    }  # fmt: skip
    policy = found["spec"]["failurePolicy"]
    assert policy["maxRestarts"] == 5
    [rule] = policy["rules"]
    assert rule["action"] == "FailJobSet"
    assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", rule["name"])
    # How the Job inside fails where trying again would not help; all else restarts the JobSet.
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy", "DeadlineExceeded"]
    [replicated] = found["spec"]["replicatedJobs"]
    assert replicated.keys() == {"name", "replicas", "template"}
    assert replicated["template"]["spec"]["backoffLimit"] == 0


def test_selectors_find_the_pods_of_their_run_and_no_others():
    job = make_job(sweep=("seed=1..3",))
    kinds = [found["kind"] for found in load(job)]
    assert kinds == ["NetworkPolicy", "Service", "Job"] * 3
    pods = [found["spec"]["template"]["metadata"]["labels"] for found in of_kind("Job", job)]
    selectors = [found["spec"]["selector"] for found in of_kind("Service", job)]
    selectors_of_policies = [
        found["spec"]["podSelector"]["matchLabels"] for found in of_kind("NetworkPolicy", job)
    ]
    assert selectors == selectors_of_policies
    for number, selector in enumerate(selectors):
        matching = [pod for pod in pods if selector.items() <= pod.items()]
        assert matching == [pods[number]]
    assert {pod["app.kubernetes.io/part-of"] for pod in pods} == {base_name(job)}


@pytest.mark.parametrize("jobset", [False, True])
def test_only_the_pods_of_the_run_reach_its_workers(jobset):
    [policy] = of_kind("NetworkPolicy", make_job(jobset=jobset))
    own = policy["spec"]["podSelector"]
    assert (
        own["matchLabels"].items()
        <= job_spec(make_job(jobset=jobset))["template"]["metadata"]["labels"].items()
    )
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": own}]}]


@pytest.mark.parametrize("nodes", [1, 2, 5])
@pytest.mark.parametrize("jobset", [False, True])
def test_each_pod_reads_who_the_workers_are(nodes, jobset):
    job = make_job("--global_batch_size=60", nodes=nodes, jobset=jobset)
    spec = job_spec(job)
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == nodes
    variables = {each["name"]: each["value"] for each in container(job)["env"]}
    if jobset:
        [found] = of_kind("JobSet", job)
        # <jobset>-<replicated job>-<number of the job>-<number of the pod>.<subdomain>
        job_name = f"{found['metadata']['name']}-{found['spec']['replicatedJobs'][0]['name']}-0"
        service = found["spec"]["network"]["subdomain"]
        assert not of_kind("Service", job)
        assert "subdomain" not in pod_spec(job)  # The JobSet sets it.
    else:
        job_name = of_kind("Job", job)[0]["metadata"]["name"]
        service = pod_spec(job)["subdomain"]
        names = [found["metadata"]["name"] for found in of_kind("Service", job)]
        assert names == ([service] if nodes > 1 else [])
    expected = tuple(f"{job_name}-{index}.{service}:{DEFAULT_PORT}" for index in range(nodes))
    for index in range(nodes):
        cluster = find_cluster({**variables, "JOB_COMPLETION_INDEX": str(index)})
        assert (cluster.source, cluster.index) == ("Kubernetes", index)
        assert cluster.addresses == expected
        assert cluster.num_local == 1  # All GPUs of the pod are this worker's.


def test_a_pod_may_begin_before_its_name_is_known():
    with socket.socket() as free:
        free.bind(("", 0))
        addresses = tuple(f"run-{index}.run.invalid:{free.getsockname()[1]}" for index in (0, 1))
    check_ready(Cluster("Kubernetes", addresses, index=1))
    with pytest.raises(ClusterError, match=r"this worker's own address run-1\.run\.invalid"):
        check_ready(Cluster("TF_CONFIG", addresses, index=1))


def test_ports_agree():
    job = make_job()
    [service] = of_kind("Service", job)
    assert [each["port"] for each in service["spec"]["ports"]] == [DEFAULT_PORT]
    assert [each["containerPort"] for each in container(job)["ports"]] == [DEFAULT_PORT]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True


def action_on(spec: dict, exit_code: int, disrupted: bool = False) -> str:
    """What Kubernetes does about a failed pod: the first rule that fits, else it is counted."""
    for rule in spec["podFailurePolicy"]["rules"]:
        if "onPodConditions" in rule:
            [condition] = rule["onPodConditions"]
            assert condition == {"type": "DisruptionTarget", "status": "True"}
            fits = disrupted
        else:
            assert rule["onExitCodes"]["operator"] == "In"
            assert len(rule["onExitCodes"]["values"]) <= 255
            fits = exit_code in rule["onExitCodes"]["values"]
        if fits:
            return rule["action"]
    return "Count"


def all_errors(kind: type = errors.FlowrateError) -> set[type]:
    return {kind}.union(*(all_errors(child) for child in kind.__subclasses__()))


@pytest.mark.parametrize("jobset", [False, True])
def test_what_needs_a_person_fails_the_job_and_the_rest_is_tried_again(jobset):
    spec = job_spec(make_job(jobset=jobset))
    assert pod_spec(make_job(jobset=jobset))["restartPolicy"] == "Never"  # The policy needs it.
    codes = {kind.exit_code for kind in all_errors()} | {errors.INTERNAL_ERROR_EXIT_CODE}
    assert {2, 3, 4, 5, 6, 7, 8, 9, 143, 144} <= codes
    for code in codes | {1, 126, 127}:
        assert (action_on(spec, code) == "FailJob") == (code < 128), code
    for code in (128, 134, 137, 139, errors.PeerLost.exit_code, 255):
        assert action_on(spec, code) == "Count", code
    saved = action_on(spec, errors.Preempted.exit_code)
    drained = action_on(spec, 137, disrupted=True)
    # A JobSet must hear of it, to restart the other workers too.
    assert saved == drained == ("Count" if jobset else "Ignore")


@pytest.mark.parametrize(("nodes", "max_restarts"), [(1, 3), (2, 3), (4, 1), (8, 0)])
def test_so_many_restarts_as_asked_for(nodes, max_restarts):
    """One pod is killed, and with it all others end: counted pods in each restart."""
    job = make_job(nodes=nodes, max_restarts=max_restarts)
    spec = job_spec(job)
    pods = [137] + [errors.PeerLost.exit_code] * (nodes - 1)
    counted = sum(action_on(spec, code) == "Count" for code in pods)
    assert counted == nodes
    assert max_restarts * counted <= spec["backoffLimit"] < (max_restarts + 1) * counted


def test_a_time_limit_is_the_jobs_and_leaves_time_to_save():
    job = make_job(time="2:00:00", save_seconds=300)
    assert job_spec(job)["activeDeadlineSeconds"] == 7200
    assert pod_spec(job)["terminationGracePeriodSeconds"] >= 300
    assert "activeDeadlineSeconds" not in job_spec(make_job())


def test_resources_are_asked_for_and_are_the_limit():
    resources = container(make_job(cpus_per_task=4, memory="64G", gpus_per_node=2))["resources"]
    assert resources["requests"] == {"cpu": "4", "memory": "64Gi", "nvidia.com/gpu": "2"}
    assert resources["limits"] == resources["requests"]
    assert "resources" not in container(make_job())


def test_the_pod_may_do_no_more_than_it_needs():
    pod, worker = pod_spec(make_job()), container(make_job())
    assert pod["automountServiceAccountToken"] is False
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, USER_ID)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert worker["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    # The guard of the bring-up kills its parent: no process may do that to process 1.
    assert pod["shareProcessNamespace"] is True


def test_where_the_worker_may_write():
    pod, worker = pod_spec(make_job()), container(make_job())
    volumes = {each["name"]: each for each in pod["volumes"]}
    mounted = {each["mountPath"]: volumes[each["name"]] for each in worker["volumeMounts"]}
    assert mounted.keys() == {RUNS, "/tmp", "/dev/shm"}
    assert mounted[RUNS]["persistentVolumeClaim"] == {"claimName": "runs"}
    assert mounted["/dev/shm"]["emptyDir"]["medium"] == "Memory"
    variables = {each["name"]: each["value"] for each in worker["env"]}
    assert variables["HOME"] in mounted
    text = kubernetes.render(make_job(nodes=1, volume_claim=None))
    assert f"# {RUNS} is lost with the pod" in text


def expand(text: str) -> str:
    """Kubernetes' reading of a word of a command, where every variable is known as `HIT`.

    k8s.io/kubernetes/third_party/forked/golang/expansion/expand.go
    """
    return re.sub(r"\$(\$|\([^)]*\))", lambda match: "$" if match[1] == "$" else "HIT", text)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("jobset", [False, True])
def test_hostile_names_stay_what_they_are(name, jobset):
    run_dir = f"{RUNS}/{name}"
    job = make_job(f"--data_dir=/data/{name}", run_dir=run_dir, jobset=jobset)
    words = [expand(word) for word in container(job)["command"]]
    assert words[:3] == ["python", "-m", "trainer.main"]
    assert tuple(words[3:-1]) == job.tasks[0].flags
    assert f"--run_dir={run_dir}" in words
    assert f"--data_dir=/data/{name}" in words
    last = load(job)[-1]
    assert last["metadata"]["annotations"]["flowrate/run-dir"] == run_dir
    assert LABEL.fullmatch(last["metadata"]["name"])


@settings(max_examples=50, deadline=None)
@example("x" * 100)
@example("x" * 19 + "-y")
@given(st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="/"), min_size=1))
def test_names_are_dns_labels(name):
    folder = Path(f"{RUNS}/{name}")
    config = SubmitConfig(cluster="kubernetes", nodes=4096, volume_claim="runs", image="a")
    base = base_name(Job(config, "trainer.main", folder, (), Path("/")))
    # The longest that is made of it: <jobset>-<replicated job>-<job>-<pod>-<five random letters>.
    longest = f"{base}-999-worker-0-4095-abcde"
    assert len(longest) <= 63
    assert LABEL.fullmatch(longest)


def test_names_are_those_of_their_run_directory():
    names = {base_name(make_job(run_dir=f"{RUNS}/{name}")) for name in ("a", "b", "A", "a/a")}
    assert len(names) == 4
    assert base_name(make_job(run_dir=f"{RUNS}/a")) in names  # The same again, to go on with it.
    assert base_name(make_job(run_dir=f"{RUNS}/a", volume_claim="other")) not in names


def test_pods_have_time_to_come_together():
    assert container(make_job())["command"][-1] == "--bringup_timeout=1800"
    assert container(make_job("--bringup_timeout=60"))["command"].count("--bringup_timeout=60") == 1
    assert not any("bringup" in word for word in container(make_job(nodes=1))["command"])


def test_a_sweep_is_a_job_for_each_combination():
    job = make_job(sweep=("seed=1..2",))
    jobs = of_kind("Job", job)
    assert [found["metadata"]["name"] for found in jobs] == [
        f"{base_name(job)}-000", f"{base_name(job)}-001",
    ]  # fmt: skip
    for number, found in enumerate(jobs):
        command = found["spec"]["template"]["spec"]["containers"][0]["command"]
        assert f"--seed={number + 1}" in command
        assert f"--run_dir={RUNS}/mnist-1/{number:03d}-seed={number + 1}" in command


REFUSED = {
    "no image": ({"image": None}, [], r"--image=NAME is needed"),
    "workers in a pod": ({"tasks_per_node": 2}, [], r"--tasks_per_node=2: a pod holds one worker"),
    "no shared volume": ({"volume_claim": None}, [], r"--nodes=2: .*--volume_claim=NAME"),
    "namespace": ({"namespace": "Mine"}, [], r"--namespace=Mine: small letters"),
    "claim": ({"volume_claim": "a@b"}, [], r"--volume_claim=a@b: small letters"),
    "data_dir here": ({}, ["--data_dir=data"], r"--data_dir=data: the pods see no folder of this"),
    "weights here": ({}, ["--weights=runs/x"], r"--weights=runs/x: the pods see no folder of this"),
    "class_weights here": ({}, ["--class_weights=w.json"], r"--class_weights=w.json: the pods see"),
    "data_dir at home": ({}, ["--data_dir=~/data"], r"--data_dir=~/data: the pods see no folder"),
    "time": ({"time": "soon"}, [], r"--time=soon: give minutes"),
}


@pytest.mark.parametrize(("options", "words", "message"), REFUSED.values(), ids=REFUSED)
def test_what_pods_cannot_do_is_refused(options, words, message):
    with pytest.raises(ConfigError, match=message):
        kubernetes.render(make_job(*words, **options))


@pytest.mark.parametrize("run_dir", ["/home/me/runs/a", f"{RUNS}", f"{RUNS}/../etc", "/runsaway/a"])
def test_the_run_directory_is_on_the_volume(run_dir):
    with pytest.raises(ConfigError, match=f"in the pods the volume is at {RUNS}; give --run_dir="):
        kubernetes.render(make_job(run_dir=run_dir))


def test_a_flagfile_is_refused(tmp_path):
    (tmp_path / "flags").write_text("--epochs=2\n")
    with pytest.raises(ConfigError, match="--flagfile: the pods see no file"):
        kubernetes.render(make_job(f"--flagfile={tmp_path}/flags"))


def test_without_kubectl_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    job = make_job()
    assert "there is no kubectl here" in kubernetes.check(job, tmp_path / "job.yaml")
    with pytest.raises(ClusterError, match=r"kubectl: no such program; .* on PATH"):
        kubernetes.submit(job, tmp_path / "job.yaml")


def test_a_dry_run_writes_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(kubernetes_checks, "RUNS", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    words = [
        "submit", "--cluster=kubernetes", "--nodes=2", "--image=a", "--volume_claim=b", "--dry_run",
        "--", f"--run_dir={tmp_path}/run",
    ]  # fmt: skip
    assert main.main(words) == 0
    assert "not checked by a cluster" in capsys.readouterr().out
    text = (tmp_path / "run" / "job.yaml").read_text()
    assert "kind: Job\n" in text
    assert not (tmp_path / "run" / "job.json").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        errors.DiskError, match=f"cannot write {tmp_path}/file/run: Not a directory"
    ):
        make_job(run_dir=f"{tmp_path}/file/run").write_file("job.yaml", "")


def test_the_image_is_what_the_pods_expect():
    """Not built here: what can be read is."""
    text = (ROOT / "Dockerfile").read_text()
    assert f"WORKDIR {CHECKOUT}" in text
    assert f"PYTHONPATH={CHECKOUT}" in text
    assert f"USER {USER_ID}:{USER_ID}" in text
    assert f" {RUNS}" in text
    minor = int(re.search(r"^FROM python:3\.(\d+)-", text, re.MULTILINE)[1])
    assert 10 <= minor < 14
    for path in re.findall(r"requirements/\w+\.txt", text):
        assert (ROOT / path).exists()
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    packages = {name.partition(".")[0] for name in parser["options"]["packages"].split()}
    assert {f"!{name}" for name in packages} <= set(kept)
