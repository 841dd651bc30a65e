"""Who takes part, read from recorded environments: TF_CONFIG, Slurm, Kubernetes, the clouds."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrate.errors import ClusterError
from trainer.distributed.cluster import Cluster, find_cluster, gpus_of, join

TWO = ["10.0.0.1:2222", "10.0.0.2:2222"]
# As srun sets them: three nodes with 2, 2 and 1 tasks.
SLURM = {
    "SLURM_JOB_ID": "1234", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1",
    "SLURM_STEP_NODELIST": "gpu[9-10,20]", "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_NTASKS": "5", "SLURM_DISTRIBUTION": "block",
}  # fmt: skip


FIRST = {"type": "worker", "index": 0}


def config(cluster, task) -> str:
    return json.dumps({"cluster": cluster, "task": task})


def tf_config(cluster, task) -> dict[str, str]:
    return {"TF_CONFIG": config(cluster, task)}


def test_tf_config_of_workers():
    found = find_cluster(tf_config({"worker": TWO}, {"type": "worker", "index": 1}))
    assert found == Cluster("TF_CONFIG", tuple(TWO), index=1)
    assert not found.is_chief
    assert found.address == TWO[1]
    assert found.describe(0) == "worker 0 (10.0.0.1:2222)"


def test_tf_config_with_a_chief_counts_it_first():
    jobs = {"worker": TWO, "chief": ["c:1"]}
    chief = find_cluster(tf_config(jobs, {"type": "chief", "index": 0}))
    last = find_cluster(tf_config(jobs, {"type": "worker", "index": 1}))
    assert chief.addresses == last.addresses == ("c:1", *TWO)
    assert (chief.index, chief.is_chief) == (0, True)
    assert (last.index, last.is_chief) == (2, False)


def test_workers_of_one_host_share_it():
    addresses = ["a:1", "b:1", "a:2", "a:3"]
    found = find_cluster(tf_config({"worker": addresses}, {"type": "worker", "index": 2}))
    assert (found.local_index, found.num_local) == (1, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["TF_CONFIG is not JSON"]),
        ("[1]", ["TF_CONFIG is list"]),
        ("{}", ["TF_CONFIG has no cluster"]),
        (json.dumps({"cluster": {"worker": TWO}}), ["TF_CONFIG has no task"]),
        (config({"worker": TWO}, {"type": "worker"}), ["TF_CONFIG: task has no index"]),
        (config({"worker": TWO}, {"type": "worker", "index": 5}),
         ["task.index is 5", "2 addresses"]),
        (config({"worker": TWO}, {"type": "worker", "index": -1}), ["task.index is -1"]),
        (config({"worker": TWO}, {"type": "worker", "index": "zero"}),
         ['task.index is "zero"', "a whole number"]),
        (config({"worker": TWO}, {"type": "worker", "index": True}), ["task.index is true"]),
        (config({"worker": TWO}, {"type": "ps", "index": 0}), ['task.type is "ps"', "worker"]),
        (config({"worker": "a:1"}, FIRST), ['cluster.worker is "a:1"', "a list"]),
        (config({"worker": TWO, "ps": TWO}, FIRST), ['job "ps"']),
        (config({"worker": ["a:1", "a:1"]}, FIRST), ["a:1 is given to more than one"]),
        (config({"worker": ["a", "b:1"]}, FIRST), ["'a' is not an address"]),
        (config({"worker": ["a:0", "b:1"]}, FIRST), ["'a:0' is not an address"]),
        (config({"worker": [7, "b:1"]}, FIRST), ["7 is not an address"]),
        (config({"chief": TWO}, {"type": "chief", "index": 0}), ["cluster.chief has 2"]),
    ],
)  # fmt: skip
def test_a_wrong_tf_config_is_told_by_field_and_value(text, words):
    with pytest.raises(ClusterError) as error:
        find_cluster({"TF_CONFIG": text})
    for word in words:
        assert word in str(error.value)
    assert error.value.exit_code == 4


def test_nothing_tells_of_a_cluster():
    assert find_cluster({"HOME": "/root"}) is None
    with pytest.raises(ClusterError, match="scripts/launch"):
        join({})


def test_one_worker_is_one_process():
    assert join(tf_config({"worker": ["a:1"]}, {"type": "worker", "index": 0})) is None


def test_slurm():
    found = find_cluster(SLURM)
    hosts = [address.split(":")[0] for address in found.addresses]
    assert hosts == ["gpu9", "gpu9", "gpu10", "gpu10", "gpu20"]
    assert (found.index, found.local_index, found.num_local) == (3, 1, 2)
    ports = [int(address.split(":")[1]) for address in found.addresses]
    assert len(set(ports)) == 5
    assert all(10_000 <= port < 32_768 for port in ports)


def test_slurm_deals_tasks_out_in_turn():
    found = find_cluster({**SLURM, "SLURM_DISTRIBUTION": "cyclic", "SLURM_PROCID": "3"})
    hosts = [address.split(":")[0] for address in found.addresses]
    assert hosts == ["gpu9", "gpu10", "gpu20", "gpu9", "gpu10"]
    assert (found.local_index, found.num_local) == (1, 2)


def test_all_tasks_of_a_slurm_step_see_the_same_addresses():
    seen = {find_cluster({**SLURM, "SLURM_PROCID": str(rank)}).addresses for rank in range(5)}
    assert len(seen) == 1


def test_two_slurm_jobs_use_other_ports():
    one, other = (find_cluster({**SLURM, "SLURM_JOB_ID": job}) for job in ("1234", "1235"))
    assert not set(one.addresses) & set(other.addresses)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"SLURM_DISTRIBUTION": "plane=2"}, "--distribution=block"),
        ({"SLURM_STEP_TASKS_PER_NODE": "2"}, "does not fit"),
        ({"SLURM_PROCID": "9"}, "5 tasks"),
        ({"SLURM_PROCID": "x"}, "SLURM_PROCID=x"),
    ],
)
def test_a_slurm_step_that_cannot_be(change, word):
    with pytest.raises(ClusterError, match=word):
        find_cluster({**SLURM, **change})


def test_a_batch_script_is_no_task():
    assert find_cluster({"SLURM_JOB_ID": "1", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"}) is None


def test_kubernetes():
    found = find_cluster(
        {"JOB_COMPLETION_INDEX": "2", "FLOWRATE_JOB": "run", "FLOWRATE_SERVICE": "run-workers",
         "FLOWRATE_WORKERS": "3"}
    )  # fmt: skip
    assert found.index == 2
    assert found.addresses == (
        "run-0.run-workers:2222", "run-1.run-workers:2222", "run-2.run-workers:2222",
    )  # fmt: skip


def test_vertex():
    spec = {
        "cluster": {"workerpool0": ["w0:2222"], "workerpool1": ["w1:2222", "w2:2222"]},
        "environment": "cloud",
        "task": {"type": "workerpool1", "index": 1},
    }
    found = find_cluster({"CLUSTER_SPEC": json.dumps(spec)})
    assert (found.addresses, found.index) == (("w0:2222", "w1:2222", "w2:2222"), 2)
    spec["task"]["type"] = "workerpool2"
    with pytest.raises(ClusterError, match="workerpool2"):
        find_cluster({"CLUSTER_SPEC": json.dumps(spec)})


def test_sagemaker():
    environment = {"SM_HOSTS": '["algo-1", "algo-2"]', "SM_CURRENT_HOST": "algo-2"}
    found = find_cluster(environment)
    assert (found.addresses, found.index) == (("algo-1:2222", "algo-2:2222"), 1)
    with pytest.raises(ClusterError, match="algo-3"):
        find_cluster({**environment, "SM_CURRENT_HOST": "algo-3"})


def test_tf_config_wins():
    both = {**SLURM, **tf_config({"worker": TWO}, {"type": "worker", "index": 0})}
    assert find_cluster(both).source == "TF_CONFIG"


@given(num_gpus=st.integers(0, 16), num_local=st.integers(1, 8))
def test_each_gpu_goes_to_one_worker(num_gpus, num_local):
    visible = [str(number) for number in range(num_gpus)]
    shares = [
        gpus_of(Cluster("test", ("a:1",) * num_local, 0, local, num_local), visible)
        for local in range(num_local)
    ]
    if num_gpus < num_local:  # Shared out already, by whoever started the workers.
        assert shares == [visible] * num_local
    else:
        assert sorted((gpu for share in shares for gpu in share), key=int) == visible
        assert all(shares)
