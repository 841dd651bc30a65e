"""One worker of a job as Kubernetes runs it: a pod with one container, made from the Dockerfile."""

from __future__ import annotations

import dataclasses

from flowrate.errors import ClusterError
from trainer.distributed.cluster import DEFAULT_PORT
from trainer.submit.config import SubmitConfig
from trainer.submit.job import BENCHMARKS, Job, Task

# In the image.
RUNS, CHECKOUT = "/runs", "/opt/flowrate"
USER_ID = 1000
CONTAINER = "worker"
INSTANCE_LABEL, PART_OF_LABEL = "app.kubernetes.io/instance", "app.kubernetes.io/part-of"
# Of a JobSet: it adds this, and a number, to the names of its Jobs.
REPLICATED_JOB = "worker"
_SHARED_MEMORY = "1Gi"
# Pods do not begin together: a node may have to be added, and it fetches the image first.
_BRINGUP_SECONDS = 1800


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
    def config(self) -> SubmitConfig:
        return self.job.config

    @property
    def labels(self) -> dict[str, str]:
        return {
            "app.kubernetes.io/name": "flowrate",
            INSTANCE_LABEL: self.name,
            PART_OF_LABEL: self.part_of,
        }

    @property
    def selector(self) -> dict[str, str]:
        """What the pods of this run, and no others, have."""
        return {INSTANCE_LABEL: self.name}


def build_pod(run: Run):
    """Returns the V1PodSpec of a worker."""
    models, config = load_models(), run.config
    spread = models.V1TopologySpreadConstraint(
        max_skew=1, topology_key="kubernetes.io/hostname", when_unsatisfiable="ScheduleAnyway",
        label_selector=models.V1LabelSelector(match_labels=run.selector),
    )  # fmt: skip
    return models.V1PodSpec(
        restart_policy="Never",
        subdomain=None if config.jobset else run.name,
        termination_grace_period_seconds=config.save_seconds,
        automount_service_account_token=False,
        enable_service_links=False,
        # Else the trainer is process 1, which the guard of its bring-up cannot kill.
        share_process_namespace=True,
        topology_spread_constraints=[spread] if config.nodes > 1 else None,
        security_context=models.V1PodSecurityContext(
            run_as_non_root=True, run_as_user=USER_ID, run_as_group=USER_ID, fs_group=USER_ID,
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=models.V1SeccompProfile(type="RuntimeDefault"),
        ),
        containers=[_container(run)],
        volumes=_volumes(config.volume_claim),
    )  # fmt: skip


def _container(run: Run):
    models = load_models()
    mounts = {"runs": RUNS, "scratch": "/tmp", "shared-memory": "/dev/shm"}
    return models.V1Container(
        name=CONTAINER,
        image=run.config.image,
        working_dir=CHECKOUT,
        # Kubernetes reads $(NAME) as a variable, and $$ as a dollar.
        command=[word.replace("$", "$$") for word in _words(run)],
        env=[models.V1EnvVar(name=name, value=value) for name, value in _environment(run).items()],
        ports=[models.V1ContainerPort(name="tensorflow", container_port=DEFAULT_PORT)],
        resources=_resources(run.config),
        security_context=models.V1SecurityContext(
            allow_privilege_escalation=False, read_only_root_filesystem=True,
            capabilities=models.V1Capabilities(drop=["ALL"]),
        ),
        volume_mounts=[
            models.V1VolumeMount(name=name, mount_path=path) for name, path in mounts.items()
        ],
    )  # fmt: skip


def _words(run: Run) -> list[str]:
    flags = list(run.task.flags)
    if run.job.module == BENCHMARKS:
        # As given it may be relative to a folder of this machine.
        flags = [flag for flag in flags if not flag.startswith("--output=")]
        flags.append(f"--output={run.task.run_dir}")
    elif run.config.nodes > 1 and not any("bringup_timeout=" in flag for flag in flags):
        flags.append(f"--bringup_timeout={_BRINGUP_SECONDS}")
    return ["python", "-m", run.job.module, *flags]


def _environment(run: Run) -> dict[str, str]:
    """Returns what trainer/distributed/cluster.py reads, and where programs may write."""
    return {
        "FLOWRATE_JOB": f"{run.name}-{REPLICATED_JOB}-0" if run.config.jobset else run.name,
        "FLOWRATE_SERVICE": run.name,
        "FLOWRATE_WORKERS": str(run.config.nodes),
        "HOME": "/tmp",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _resources(config: SubmitConfig):
    """Returns requests that are limits too: what is asked for is there, and no more is taken."""
    asked = {
        "cpu": config.cpus_per_task and str(config.cpus_per_task),
        "memory": config.memory and f"{config.memory}i",  # Slurm's G is Kubernetes' Gi.
        "nvidia.com/gpu": config.gpus_per_node and str(config.gpus_per_node),
    }
    asked = {name: amount for name, amount in asked.items() if amount}
    return load_models().V1ResourceRequirements(requests=asked, limits=asked) if asked else None


def _volumes(claim: str | None) -> list:
    models = load_models()
    empty = models.V1EmptyDirVolumeSource()
    memory = models.V1EmptyDirVolumeSource(medium="Memory", size_limit=_SHARED_MEMORY)
    shared = claim and models.V1PersistentVolumeClaimVolumeSource(claim_name=claim)
    return [
        models.V1Volume(
            name="runs", persistent_volume_claim=shared, empty_dir=None if shared else empty
        ),
        models.V1Volume(name="scratch", empty_dir=empty),
        models.V1Volume(name="shared-memory", empty_dir=memory),
    ]


def load_models():
    """Returns the models of Kubernetes' Python client.

    Raises:
        ClusterError: it is not installed.
    """
    try:
        from kubernetes import client
    except ImportError:
        raise ClusterError(
            "--cluster=kubernetes needs Kubernetes' Python client: pip install -e '.[cluster]'."
        ) from None
    return client
