"""The workers of a run find each other, before TensorFlow connects them.

Each listens at its own address and greets those who call, and calls the others until it has heard
from all of them, either way. A greeting names the worker and its launch, so a worker of another
launch, another run or another program counts as missing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

from flowrate.errors import ClusterError
from trainer.distributed.cluster import Cluster
from trainer.distributed.preflight import split_address
from trainer.run_dir.launch_id import find_attempt

_LOOK_SECONDS = 0.25
_CONNECT_SECONDS = 2.0
# A machine under load takes its time to answer.
_ANSWER_SECONDS = 10.0
_LONGEST_GREETING = 1000


def wait_for_all(cluster: Cluster, timeout_seconds: float) -> None:
    """Waits until every worker has been heard from.

    Raises:
        ClusterError: the time is over; names who is missing.
    """
    end = time.monotonic() + timeout_seconds
    with _greeter(cluster) as greeter:
        while missing := greeter.missing():
            for index in missing:
                greeter.call(index)
            if greeter.missing() and time.monotonic() > end:
                raise ClusterError(greeter.describe_missing(timeout_seconds))
            time.sleep(_LOOK_SECONDS)


class _Greeter(socketserver.ThreadingTCPServer):
    """Listens at this worker's port, on all interfaces as TensorFlow does."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, cluster: Cluster):
        super().__init__(("0.0.0.0", split_address(cluster.address)[1]), _Answer)
        launch = find_attempt(os.environ)
        self._cluster = cluster
        self._greetings = {
            f"flowrate worker {index} of {cluster.num_workers}, {launch}\n".encode(): index
            for index in range(cluster.num_workers)
        }
        self.greeting = list(self._greetings)[cluster.index]
        self._heard = {cluster.index}
        # Where something answers, but not as a worker of this launch that is starting.
        self._others: set[int] = set()

    def missing(self) -> list[int]:
        """Returns the workers that have not been heard from."""
        return [index for index in range(self._cluster.num_workers) if index not in self._heard]

    def call(self, index: int) -> None:
        """Greets a worker, and takes its answer if there is one."""
        address = split_address(self._cluster.addresses[index])
        with (
            contextlib.suppress(OSError),
            socket.create_connection(address, timeout=_CONNECT_SECONDS) as connection,
        ):
            connection.settimeout(_ANSWER_SECONDS)
            connection.sendall(self.greeting)
            self._others.add(index)
            with connection.makefile("rb") as answer:
                self.hear(answer.readline(_LONGEST_GREETING))

    def hear(self, line: bytes) -> None:
        """Takes a line that somebody has sent; of a port scan, or of a probe, it is no greeting."""
        if line in self._greetings:
            self._heard.add(self._greetings[line])

    def describe_missing(self, waited_seconds: float) -> str:
        """Returns the message for when the time is over."""
        missing = self.missing()
        silent = [index for index in missing if index not in self._others]
        said = f"waited {waited_seconds:.0f} s for {self._cluster.num_workers} workers: "
        who = ", ".join(map(self._cluster.describe, silent or missing))
        if silent:
            return f"{said}{who} did not answer; start all workers, and let them reach each other."
        return (
            f"{said}{who} answered, but not as a worker that is starting: another start of the "
            "run, or another program; end it and restart all workers."
        )


class _Answer(socketserver.StreamRequestHandler):
    timeout = _ANSWER_SECONDS
    server: _Greeter

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(self.server.greeting)
            self.server.hear(self.rfile.readline(_LONGEST_GREETING))


@contextlib.contextmanager
def _greeter(cluster: Cluster) -> Iterator[_Greeter]:
    with _Greeter(cluster) as greeter:
        thread = threading.Thread(target=greeter.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield greeter
        finally:
            greeter.shutdown()
            thread.join()
