"""What the doctor says of the environments that clusters make."""

from __future__ import annotations

import json
import socket

import pytest

from trainer.doctor.cluster import check_workers


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def tf_config(jobs: dict[str, list[str]], kind: str = "worker", index: int = 0) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})}


def test_nothing_tells_of_others():
    assert check_workers({"HOME": "/root"}).verdict == "absent"


def test_a_tf_config_that_works():
    addresses = [f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"]
    check = check_workers(tf_config({"worker": addresses}, index=1))
    assert check.verdict == "ok", check
    assert check.found.startswith(f"TF_CONFIG: task 2 of 2, worker 1 ({addresses[1]}); 2 on this")
    assert check.facts == {"source": "TF_CONFIG", "addresses": addresses, "index": 1}
    assert "the chief" in check_workers(tf_config({"worker": addresses})).found


def test_a_slurm_task():
    check = check_workers(
        {
            "SLURM_JOB_ID": "1234", "SLURM_PROCID": "1", "SLURM_STEP_NODELIST": "localhost",
            "SLURM_STEP_TASKS_PER_NODE": "4", "SLURM_DISTRIBUTION": "block",
        }
    )  # fmt: skip
    assert check.verdict == "ok", check
    assert check.found.startswith("Slurm: task 2 of 4, worker 1 (localhost:")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"TF_CONFIG": "{"}, "TF_CONFIG is not JSON"),
        ({"TF_CONFIG": "[]"}, "TF_CONFIG is list"),
        (tf_config({"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, index=5), "task.index is 5"),
        (tf_config({"worker": ["127.0.0.1:3333", "nowhere.invalid:1"]}), "nowhere.invalid is not"),
        ({"SM_HOSTS": "[]", "SM_CURRENT_HOST": "algo-1"}, "does not list SM_CURRENT_HOST=algo-1"),
    ],
)
def test_what_cannot_be_is_told_in_the_trainers_words(environment, words):
    check = check_workers(environment)
    assert check.verdict == "failed"
    assert words in check.found
    assert "docs/cluster.md" in check.to_do


def test_a_port_that_is_taken():
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen()
        port = server.getsockname()[1]
        check = check_workers(tf_config({"worker": [f"127.0.0.1:{port}", "127.0.0.1:1"]}))
    assert check.verdict == "failed"
    assert f"port {port} on 127.0.0.1 is in use" in check.found


@pytest.mark.parametrize("variable", ["SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST"])
def test_a_place_of_a_cluster_that_is_no_task(variable):
    check = check_workers({variable: "1"})
    assert (check.verdict, variable in check.found) == ("absent", True)
    assert "scripts/submit" in check.to_do
