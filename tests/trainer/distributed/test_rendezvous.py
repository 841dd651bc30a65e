"""Workers find each other through real sockets, or say who is missing and why."""

from __future__ import annotations

import socket
import threading

import pytest

from flowrate.errors import ClusterError
from trainer.distributed.cluster import Cluster
from trainer.distributed.rendezvous import wait_for_all


@pytest.fixture
def addresses() -> tuple[str, ...]:
    sockets = [socket.socket() for _ in range(3)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    found = tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)
    for each in sockets:
        each.close()
    return found


def meet(addresses: tuple[str, ...], indices: list[int], timeout_seconds: float = 60) -> list:
    """What came of it for each worker: None, or its error."""
    outcomes: list = [None] * len(indices)

    def run(place: int, index: int) -> None:
        try:
            wait_for_all(Cluster("TF_CONFIG", addresses, index), timeout_seconds)
        except ClusterError as error:
            outcomes[place] = str(error)

    threads = [threading.Thread(target=run, args=each) for each in enumerate(indices)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_all_find_each_other_and_give_their_ports_up(addresses):
    assert meet(addresses, [0, 1, 2]) == [None] * 3
    for address in addresses:
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("0.0.0.0", int(address.rpartition(":")[2])))


def test_who_is_missing_is_named(addresses):
    for error in meet(addresses, [0, 2], timeout_seconds=1):
        assert f"worker 1 ({addresses[1]}) did not answer" in error
        assert "worker 2" not in error


def test_another_start_of_the_run_is_told(addresses, monkeypatch):
    """A worker that comes back alone meets the others' greeting of an earlier start."""
    from trainer.distributed import rendezvous

    attempts = iter(["Slurm job 7 0.0", "Slurm job 7 1.0"])
    monkeypatch.setattr(rendezvous, "find_attempt", lambda _: next(attempts))
    errors = meet(addresses[:2], [0, 1])
    assert all("is of another start of this run" in error for error in errors if error)
    assert any(errors)


def test_what_answers_without_a_greeting_is_no_worker_that_starts(addresses, monkeypatch):
    from trainer.distributed import rendezvous

    monkeypatch.setattr(rendezvous, "_ANSWER_SECONDS", 0.2)
    host, _, port = addresses[1].rpartition(":")
    with socket.create_server((host, int(port))):  # As TensorFlow's, it waits for another language.
        (error,) = meet(addresses[:2], [0], timeout_seconds=1)
    assert "answered, but not as a worker that is starting" in error


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"[]\n",
        b'{"flowrate_worker": 9, "attempt": ""}\n',
        b'{"flowrate_worker": "0", "attempt": ""}\n',
    ],
)
def test_a_port_scan_disturbs_nobody(addresses, line):
    def scan() -> None:
        for _ in range(3):
            try:
                host, _, port = addresses[0].rpartition(":")
                with socket.create_connection((host, int(port)), timeout=5) as connection:
                    connection.sendall(line)
            except OSError:
                continue

    scanner = threading.Timer(0.2, scan)
    scanner.start()
    assert meet(addresses, [0, 1, 2]) == [None] * 3
    scanner.join()
