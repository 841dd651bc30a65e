"""Who takes part, read from recorded environments: TF_CONFIG, Slurm, Kubernetes, SageMaker.

What these say wrongly is tried on the trainer itself (mistakes/clusters.txt).
"""

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


def tf_config(cluster, task) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


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
    found = find_cluster({**SLURM, "SLURM_DISTRIBUTION": "cyclic"})
    hosts = [address.split(":")[0] for address in found.addresses]
    assert hosts == ["gpu9", "gpu10", "gpu20", "gpu9", "gpu10"]
    assert (found.local_index, found.num_local) == (1, 2)


def test_all_tasks_of_a_slurm_step_see_the_same_addresses():
    seen = {find_cluster({**SLURM, "SLURM_PROCID": str(rank)}).addresses for rank in range(5)}
    assert len(seen) == 1


def test_two_slurm_jobs_use_other_ports():
    one, other = (find_cluster({**SLURM, "SLURM_JOB_ID": job}) for job in ("1234", "1235"))
    assert not set(one.addresses) & set(other.addresses)


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


def test_sagemaker():
    environment = {"SM_HOSTS": '["algo-1", "algo-2"]', "SM_CURRENT_HOST": "algo-2"}
    found = find_cluster(environment)
    assert (found.addresses, found.index) == (("algo-1:2222", "algo-2:2222"), 1)


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
