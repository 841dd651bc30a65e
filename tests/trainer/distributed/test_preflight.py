"""What is wrong with an address or a port is told before TensorFlow is asked."""

from __future__ import annotations

import os
import socket

import pytest

from flowrate.errors import ClusterError
from trainer.distributed.cluster import Cluster
from trainer.distributed.preflight import check_ready, is_listening


@pytest.fixture
def port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_a_port_in_use_is_named_with_its_user(port):
    address = f"127.0.0.1:{port}"
    check_ready(Cluster("TF_CONFIG", (address, "127.0.0.1:1"), 0))
    assert not is_listening(address)
    with socket.create_server(("127.0.0.1", port)):
        assert is_listening(address)
        with pytest.raises(ClusterError, match=rf"port {port} on 127.0.0.1 .* pid {os.getpid()}"):
            check_ready(Cluster("TF_CONFIG", (address, "127.0.0.1:1"), 0))


@pytest.mark.parametrize(("index", "whose"), [(0, "worker 1's"), (1, "this worker's own")])
def test_a_name_that_is_not_known_is_named(port, index, whose):
    addresses = (f"127.0.0.1:{port}", "no.such.host.invalid:1")
    with pytest.raises(ClusterError, match=f"{whose} address no.such.host.invalid:1"):
        check_ready(Cluster("TF_CONFIG", addresses, index))


def test_names_of_pods_are_not_known_at_once(port):
    check_ready(Cluster("Kubernetes", (f"run-0.run:{port}", "run-1.run:1"), 0))
