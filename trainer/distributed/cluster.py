"""The workers of a run and the rank of this process, read from the environment.

    TF_CONFIG            TensorFlow's own way; scripts/launch and Vertex AI set it
    Slurm                the environment of a task started by srun
    Kubernetes           an Indexed Job with a headless Service (scripts/submit renders one)
    SageMaker            SM_HOSTS, SM_CURRENT_HOST

Each source is one function of the environment, which returns the addresses of all workers and the
rank of this process; the first that applies wins. No TensorFlow here.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from flowrate.errors import ClusterError
from trainer.distributed.slurm_lists import expand_host_list, expand_task_counts

Environment = Mapping[str, str]
# Who said so, for messages; the address of each worker; the rank of this process.
_Found = tuple[str, list[str], int]
_KINDS = {dict: "an object", list: "a list", str: "a string", int: "a whole number"}
_TASKS = "SLURM_STEP_TASKS_PER_NODE"

# Where the source names hosts and no port.
DEFAULT_PORT = 2222
# Of a Slurm job: by its number, so that two jobs on one node do not meet; below the ports that
# Linux hands out by itself.
_SLURM_FIRST_PORT, _SLURM_PORT_RANGES, _PORTS_PER_JOB = 10_000, 350, 64


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a run, and which of them this process is.

    Attributes:
        source: who said so, for messages.
        addresses: host:port of each worker, by rank; the first is the chief, who writes.
        index: the rank of this process.
        local_index: its rank among the workers of its machine.
        num_local: how many those are: they share out its GPUs.
    """

    source: str
    addresses: tuple[str, ...]
    index: int
    local_index: int = 0
    num_local: int = 1

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    @property
    def num_workers(self) -> int:
        return len(self.addresses)

    @property
    def address(self) -> str:
        return self.addresses[self.index]

    def name(self, index: int) -> str:
        """Returns `worker 1`."""
        return f"worker {index}"

    def describe(self, index: int) -> str:
        """Returns `worker 1 (host:port)`."""
        return f"{self.name(index)} ({self.addresses[index]})"


def join(environment: Environment) -> Cluster | None:
    """Returns the cluster of a run that asks for several workers; None where it has one worker.

    Raises:
        ClusterError: as find_cluster does, or where the environment names no cluster.
    """
    cluster = find_cluster(environment)
    if cluster is None:
        raise ClusterError(
            "--strategy=multi_worker_mirrored: nothing here tells of other workers. Start them "
            "with scripts/launch, with srun in a Slurm job, or with TF_CONFIG set for each."
        )
    return cluster if cluster.num_workers > 1 else None


def gpus_of(cluster: Cluster, visible: Sequence[str]) -> list[str]:
    """Returns this worker's share of the GPUs that all workers of its machine see.

    Args:
        cluster: the workers.
        visible: identifiers of the GPUs, as CUDA_VISIBLE_DEVICES has them; fewer than workers mean
            that the launcher has shared them out already.
    """
    if cluster.num_local > len(visible):
        return list(visible)
    return list(visible[cluster.local_index :: cluster.num_local])


def find_cluster(environment: Environment) -> Cluster | None:
    """Returns the cluster that the environment names; None where it names none.

    Raises:
        ClusterError: the cluster is malformed; names the variable and the field.
    """
    for source in (_from_tf_config, _from_slurm, _from_kubernetes, _from_sagemaker):
        if found := source(environment):
            return _make_cluster(*found)
    return None


def _make_cluster(source: str, addresses: list[str], index: int) -> Cluster:
    if not 0 <= index < len(addresses):
        raise ClusterError(f"{source}: this is worker {index}, but there are {len(addresses)}.")
    check_addresses(source, addresses)
    hosts = [address.rpartition(":")[0] for address in addresses]
    return Cluster(
        source=source,
        addresses=tuple(addresses),
        index=index,
        local_index=hosts[:index].count(hosts[index]),
        num_local=hosts.count(hosts[index]),
    )


def _from_tf_config(environment: Environment) -> _Found | None:
    """TF_CONFIG: tensorflow.org/api_docs/python/tf/distribute/cluster_resolver."""
    if "TF_CONFIG" not in environment:
        return None
    jobs, kind, position = _read_tf_config(environment)
    chief = jobs.get("chief", [])
    addresses = [*chief, *jobs.get("worker", [])]
    return "TF_CONFIG", addresses, position + (len(chief) if kind == "worker" else 0)


def _read_tf_config(environment: Environment) -> tuple[dict[str, list[str]], str, int]:
    """Returns what TF_CONFIG says: addresses by job, and this process's job and index in it.

    Raises:
        ClusterError: it is not what it should be; names the field.
    """
    config = _parse_object(environment, "TF_CONFIG")
    jobs = _field(config, "TF_CONFIG", "cluster", dict)
    task = _field(config, "TF_CONFIG", "task", dict)
    for job in jobs:
        if job not in ("chief", "worker"):
            raise ClusterError(
                f'TF_CONFIG: cluster has a job "{job}"; this strategy knows chief and worker.'
            )
        _field(jobs, "TF_CONFIG: cluster", job, list)
    kind = _field(task, "TF_CONFIG: task", "type", str)
    if kind not in jobs:
        raise ClusterError(
            f'TF_CONFIG: task.type is "{kind}"; cluster has {" and ".join(jobs) or "no job"}.'
        )
    position = _field(task, "TF_CONFIG: task", "index", int)
    if not 0 <= position < len(jobs[kind]):
        raise ClusterError(
            f"TF_CONFIG: task.index is {position}; cluster.{kind} has {len(jobs[kind])} "
            f"address{'es' * (len(jobs[kind]) != 1)}, counted from 0."
        )
    num_chiefs = len(jobs.get("chief", []))
    if num_chiefs > 1:
        raise ClusterError(f"TF_CONFIG: cluster.chief has {num_chiefs} addresses; there is one.")
    return jobs, kind, position


def _from_slurm(environment: Environment) -> _Found | None:
    """A task of srun: slurm.schedmd.com/srun.html, output environment variables."""
    if "SLURM_STEP_NODELIST" not in environment or "SLURM_PROCID" not in environment:
        return None
    nodes, counts = environment["SLURM_STEP_NODELIST"], environment.get(_TASKS, "1")
    try:
        hosts, tasks = expand_host_list(nodes), expand_task_counts(counts)
    except ValueError as error:
        raise ClusterError(
            f"SLURM_STEP_NODELIST={nodes} is no list of nodes ({error}); srun sets it, as in "
            "gpu[1-4]."
        ) from None
    if len(tasks) != len(hosts) or not hosts:
        raise ClusterError(f"{_TASKS}={counts} does not fit SLURM_STEP_NODELIST={nodes}.")
    kind = environment.get("SLURM_DISTRIBUTION", "block").split(",")[0].split(":")[0]
    if kind not in ("block", "cyclic"):
        raise ClusterError(
            f"SLURM_DISTRIBUTION={kind}: which task runs where is known of block and cyclic; "
            "give srun --distribution=block."
        )
    # Nodes are filled one after the other, or tasks are dealt out to them in turn.
    places = [(turn, host) for host, count in zip(hosts, tasks) for turn in range(count)]
    if kind == "cyclic":
        places.sort(key=lambda place: place[0])
    job = _number(environment, "SLURM_JOB_ID")
    first = _SLURM_FIRST_PORT + job % _SLURM_PORT_RANGES * _PORTS_PER_JOB
    index = _number(environment, "SLURM_PROCID")
    if index >= len(places):
        raise ClusterError(f"SLURM_PROCID={index}, but the step has {len(places)} tasks.")
    return "Slurm", [f"{host}:{first + rank}" for rank, (_, host) in enumerate(places)], index


def _from_kubernetes(environment: Environment) -> _Found | None:
    """A pod of an Indexed Job, with what our job file sets: the job, its service, its workers.

    kubernetes.io/docs/tasks/job/job-with-pod-to-pod-communication.
    """
    if "JOB_COMPLETION_INDEX" not in environment or "FLOWRATE_SERVICE" not in environment:
        return None
    job, service = environment.get("FLOWRATE_JOB", ""), environment["FLOWRATE_SERVICE"]
    workers = range(_number(environment, "FLOWRATE_WORKERS"))
    addresses = [f"{job}-{index}.{service}:{DEFAULT_PORT}" for index in workers]
    return "Kubernetes", addresses, _number(environment, "JOB_COMPLETION_INDEX")


def _from_sagemaker(environment: Environment) -> _Found | None:
    """SM_HOSTS: github.com/aws/sagemaker-training-toolkit, ENVIRONMENT_VARIABLES.md."""
    if "SM_HOSTS" not in environment or "SM_CURRENT_HOST" not in environment:
        return None
    try:
        hosts = json.loads(environment["SM_HOSTS"])
        index = hosts.index(environment["SM_CURRENT_HOST"])
    except (ValueError, AttributeError):
        raise ClusterError(
            f"SM_HOSTS={environment['SM_HOSTS']} does not list "
            f"SM_CURRENT_HOST={environment['SM_CURRENT_HOST']}."
        ) from None
    return "SageMaker", [f"{host}:{DEFAULT_PORT}" for host in hosts], index


def check_addresses(source: str, addresses: Sequence[str]) -> None:
    """Raises ClusterError where an address cannot be one, or comes twice."""
    for address in addresses:
        host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ClusterError(
                f"{source}: {address!r} is not an address; give host:port, as in 10.0.0.1:2222."
            )
        if addresses.count(address) > 1:
            raise ClusterError(
                f"{source}: {address} is given to more than one worker; each needs its own."
            )


def _parse_object(environment: Environment, name: str) -> dict[str, Any]:
    try:
        value = json.loads(environment[name])
    except (ValueError, RecursionError) as error:
        raise ClusterError(
            f"{name} is not JSON: {error}; give an object of cluster and task, as tensorflow.org "
            "tells, or unset it."
        ) from None
    if not isinstance(value, dict):
        raise ClusterError(f"{name} is {type(value).__name__}; give an object.")
    return value


def _field(record: Mapping[str, Any], where: str, name: str, kind: type) -> Any:
    if name not in record:
        raise ClusterError(f"{where} has no {name}; give {_KINDS[kind]}.")
    value = record[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = _KINDS[kind]
        raise ClusterError(f"{where}.{name} is {json.dumps(value)}; give {wanted}.")
    return value


def _number(environment: Environment, name: str) -> int:
    text = environment.get(name, "")
    if not text.isdecimal():
        raise ClusterError(f"{name}={text}: give a whole number.")
    return int(text)
