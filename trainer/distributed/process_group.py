"""The processes of one run on this machine, each with a TF_CONFIG of its own.

Where one fails, all are ended, and all begin again from the last checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from flowrate import processes
from flowrate.errors import FIRST_RETRYABLE_EXIT_CODE, PeerLost, Preempted
from trainer.run_dir.launch_id import Attempt

_LONGEST_PAUSE_SECONDS = 30.0


@dataclasses.dataclass(frozen=True)
class Host:
    """Where a process runs.

    Attributes:
        address: by which the others reach it.
        command: the words before its command that bring it there.
    """

    address: str = "127.0.0.1"
    command: tuple[str, ...] = ()


@dataclasses.dataclass
class Failure:
    """The first worker that failed, and how."""

    worker: int
    exit_code: int

    @property
    def name(self) -> str:
        return _name(self.worker)


class ProcessGroup:
    """The processes of one run, over all its starts.

    Args:
        program: a module, and the words of its command line.
        run_dir: where logs/worker-N.log go.
        num_workers: how many processes.
        hosts: one for each; without, all run here.
        max_restarts: how often all begin again.
    """

    def __init__(
        self,
        program: Sequence[str],
        run_dir: Path,
        num_workers: int,
        hosts: Sequence[Host] = (),
        max_restarts: int = 0,
    ):
        self._program = program
        self._run_dir = run_dir
        self._hosts = hosts or [Host()] * num_workers
        self._max_restarts = max_restarts
        self._attempt = Attempt(_job_name(), (0,))
        self._group = processes.Group(run_dir / "logs")
        self._signals = 0

    def run(self) -> int:
        """Starts the processes, again where that may help; returns the exit status."""
        with processes.stop_signals(self._stop), self._group:
            for attempt in range(self._max_restarts + 1):
                self._attempt = dataclasses.replace(self._attempt, number=(attempt,))
                failure = self._run_once()
                if failure is None:
                    return 0
                if self._signals:
                    return Preempted.exit_code
                self._tell(f"{failure.name} failed first, with status {failure.exit_code}.")
                if failure.exit_code < FIRST_RETRYABLE_EXIT_CODE or attempt == self._max_restarts:
                    return failure.exit_code
                pause = min(2.0**attempt, _LONGEST_PAUSE_SECONDS)
                self._tell(
                    f"all {len(self._hosts)} processes begin again from the last checkpoint in "
                    f"{pause:.0f} s (restart {attempt + 1} of {self._max_restarts})."
                )
                if not self._pause(pause):
                    return Preempted.exit_code
        raise AssertionError("unreachable")

    def run_once(self) -> Failure | None:
        """Starts the processes and waits for them; returns the first that failed, if any."""
        with self._group:
            return self._run_once()

    def _run_once(self) -> Failure | None:
        # What the workers of an earlier start said is no news.
        shutil.rmtree(self._run_dir / "status", ignore_errors=True)
        ports = free_ports(len(self._hosts))
        addresses = [f"{host.address}:{port}" for host, port in zip(self._hosts, ports)]
        try:
            for worker, host in enumerate(self._hosts):
                task = {"type": "worker", "index": worker}
                config = {"cluster": {"worker": addresses}, "task": task}
                self._group.start(
                    _name(worker),
                    [*host.command, sys.executable, "-m", *self._program],
                    {"TF_CONFIG": json.dumps(config), "FLOWRATE_ATTEMPT": str(self._attempt)},
                )
            failures = self._group.wait()
        finally:
            self._group.kill()
        # Who lost another worker is not the cause.
        causes = [each for each in failures if each[1] != PeerLost.exit_code]
        workers = {_name(worker): worker for worker in range(len(self._hosts))}
        for name, exit_code in causes or failures:
            return Failure(workers[name], exit_code)
        return None

    def _stop(self, number: int) -> None:
        """First: all save and leave. Second: all are killed."""
        self._signals += 1
        self._group.send(signal.SIGTERM if self._signals == 1 else signal.SIGKILL)

    def _pause(self, seconds: float) -> bool:
        """Returns whether the time went by without a signal."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._signals:
            time.sleep(processes.POLL_SECONDS)
        return not self._signals

    def _tell(self, line: str) -> None:
        self._group.say(f"[launch] {line}")


def _name(worker: int) -> str:
    return f"worker {worker}"


def _job_name() -> str:
    """Returns a name that no other launcher has, on whatever machine."""
    return f"scripts/launch {os.getpid()} on {platform.node()} since {time.time():.2f}"


def free_ports(count: int) -> list[int]:
    """Returns ports that nothing listens on now."""
    with contextlib.ExitStack() as sockets:
        held = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
