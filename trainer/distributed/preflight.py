"""What can be known of a cluster before TensorFlow is asked, which waits and says nothing.

TensorFlow's server listens on all interfaces whatever address it is given; a port that is taken
ends one worker and hangs the others.
"""

from __future__ import annotations

import errno
import socket

import psutil

from flowrate.errors import ClusterError
from trainer.distributed.cluster import Cluster

_CONNECT_SECONDS = 2.0


def check_ready(cluster: Cluster) -> None:
    """Checks this worker's own address and port, and the names of the others.

    Raises:
        ClusterError: what is wrong, and with which address.
    """
    # A pod's name, its own too, is known only some seconds after the pod has begun; the bring-up
    # waits for the others' names, and nobody asks for their own.
    has_names = cluster.source != "Kubernetes"
    if has_names:
        _check_resolves(cluster, cluster.index)
    _check_port_is_free(*split_address(cluster.address))
    if has_names:
        for index in range(cluster.num_workers):
            _check_resolves(cluster, index)


def is_listening(address: str) -> bool:
    """Returns whether something accepts connections at host:port; what is no address does not."""
    try:
        with socket.create_connection(split_address(address), timeout=_CONNECT_SECONDS):
            return True
    except (OSError, OverflowError, ValueError):
        return False


def split_address(address: str) -> tuple[str, int]:
    """Returns host and port of `host:port` or `[host]:port`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _check_resolves(cluster: Cluster, index: int) -> None:
    host, _ = split_address(cluster.addresses[index])
    try:
        socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        whose = "this worker's own" if index == cluster.index else f"{cluster.name(index)}'s"
        raise ClusterError(
            f"{cluster.source}: {whose} address {cluster.addresses[index]}: the name {host} is not "
            "known here; give a name that resolves, or an IP address."
        ) from None


def _check_port_is_free(host: str, port: int) -> None:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("0.0.0.0", port))
            server.listen()
    except OSError as error:
        reason = (
            f"is in use{_user_of(port)}" if error.errno == errno.EADDRINUSE
            else f"cannot be used: {error.strerror}"
        )  # fmt: skip
        raise ClusterError(
            f"port {port} on {host} {reason}; stop that, or give this worker another port."
        ) from None


def _user_of(port: int) -> str:
    """Returns ` by pid N (name)`, or an empty string where that is not to be seen."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                name = f" ({psutil.Process(connection.pid).name()})" if connection.pid else ""
                return f" by pid {connection.pid}{name}" if connection.pid else ""
    except psutil.Error:
        pass
    return ""
