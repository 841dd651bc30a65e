"""Workers find each other through real sockets, or say who is missing and why."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from flowrate.errors import ClusterError
from trainer.distributed import rendezvous
from trainer.distributed.cluster import Cluster
from trainer.distributed.rendezvous import wait_for_all


@pytest.fixture
def addresses() -> tuple[str, ...]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(f"127.0.0.1:{each.getsockname()[1]}" for each in sockets)


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
        socket.create_server(("0.0.0.0", int(address.rpartition(":")[2]))).close()


def test_who_is_missing_is_named(addresses):
    for error in meet(addresses, [0, 2], timeout_seconds=1):
        assert f"worker 1 ({addresses[1]}) did not answer" in error
        assert "worker 2" not in error


def test_a_worker_of_another_launch_is_none(addresses, monkeypatch):
    launches = iter(["Slurm job 7 0.0", "Slurm job 7 1.0"])
    monkeypatch.setattr(rendezvous, "find_attempt", lambda _: next(launches))
    for error in meet(addresses[:2], [0, 1], timeout_seconds=1):
        assert "another start of the run" in error


@pytest.mark.parametrize("line", [b"", b"\n", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 5000])
def test_what_answers_without_a_greeting_is_no_worker_that_starts(addresses, monkeypatch, line):
    monkeypatch.setattr(rendezvous, "_ANSWER_SECONDS", 0.2)
    host, _, port = addresses[1].rpartition(":")
    with socket.create_server((host, int(port))) as server:
        scanner = threading.Thread(target=_scan, args=(server, addresses[0], line))
        scanner.start()
        (error,) = meet(addresses[:2], [0], timeout_seconds=1)
    scanner.join()
    assert f"worker 1 ({addresses[1]}) answered" in error


def _scan(server: socket.socket, address: str, line: bytes) -> None:
    """Takes a call and answers it with a line, and says the line to the caller's own port."""
    host, _, port = address.rpartition(":")
    with server.accept()[0] as connection:
        connection.sendall(line)
        with contextlib.suppress(OSError), socket.create_connection((host, int(port))) as other:
            other.sendall(line)
