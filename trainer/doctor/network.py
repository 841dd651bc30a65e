"""The machine's own name and ports, which several processes meet by. Python's own library only."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Iterator

from trainer.doctor.check import FAILED, OK, WARNING, Check, guarded

SECTION = "machine"
# As many as scripts/launch takes for four workers.
_NUM_PORTS = 4
# A name server that does not answer is waited for no longer.
_RESOLVE_SECONDS = 5.0


def look() -> Iterator[Check]:
    """Yields the checks."""
    yield from guarded(SECTION, "host name", lambda: check_host_name(socket.gethostname()))
    yield from guarded(SECTION, "ports", _check_ports)


def check_host_name(name: str) -> Check:
    """Returns whether a name leads to an address."""
    addresses, reason = _resolve(name)
    facts = {"host_name": name, "addresses": addresses}
    if addresses:
        return Check(SECTION, "host name", OK, f"{name} is {', '.join(addresses)}", facts=facts)
    return Check(
        SECTION, "host name", WARNING, f"{name} is not known here: {reason}",
        "workers on several machines need names that resolve: add it to /etc/hosts or the name "
        "server, or give IP addresses in TF_CONFIG.", facts,
    )  # fmt: skip


def _resolve(name: str) -> tuple[list[str], str]:
    """Returns the addresses of a name, or none and the reason."""
    answers: queue.Queue[tuple[list[str], str]] = queue.Queue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            answers.put((sorted({str(each[4][0]) for each in found}), ""))
        except (OSError, UnicodeError) as error:
            answers.put(([], getattr(error, "strerror", None) or str(error)))

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=_RESOLVE_SECONDS)
    except queue.Empty:
        return [], f"no answer in {_RESOLVE_SECONDS:.0f} s"


def _check_ports() -> Check:
    """Several ports are listened on and connected to, by way of this machine alone."""
    try:
        with contextlib.ExitStack() as sockets:
            servers = [sockets.enter_context(socket.socket()) for _ in range(_NUM_PORTS)]
            for server in servers:
                server.bind(("127.0.0.1", 0))
                server.listen()
            numbers = [server.getsockname()[1] for server in servers]
            for number in numbers:
                sockets.enter_context(socket.create_connection(("127.0.0.1", number), timeout=5))
    except OSError as error:
        return Check(
            SECTION, "ports", FAILED,
            f"processes on this machine cannot connect to each other: {error.strerror or error}",
            "allow connections over the loopback interface (ip link set lo up; a firewall).",
        )  # fmt: skip
    found = f"{_NUM_PORTS} free ones could be used ({', '.join(map(str, numbers))})"
    return Check(SECTION, "ports", OK, found, facts={"ports": numbers})
