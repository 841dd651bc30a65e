"""The processes of one run on this machine: started together, and ended together.

Each gets a TF_CONFIG of its own. Where one fails, all are ended, and all begin again from the last
checkpoint.
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
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import psutil

from flowrate.errors import PeerLost, Preempted
from trainer.run_dir.launch_id import Attempt

# A worker that is left behind finds out by itself within this time (trainer/distributed/peers.py).
_LEAVE_SECONDS = 30.0
# For a worker to flush its records after SIGTERM; with another one lost, it cannot save.
_GRACE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 30.0
_POLL_SECONDS = 0.1
# From here on a status says: try again.
_FIRST_RETRYABLE = 128


@dataclasses.dataclass(frozen=True)
class Task:
    """A process of the run, as TF_CONFIG knows it."""

    job: str
    index: int

    @property
    def name(self) -> str:
        return f"{self.job} {self.index}"


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
    """The first process that failed, and how."""

    task: Task
    exit_code: int


class ProcessGroup:
    """The processes of one run, over all its starts.

    Args:
        program: a module, and the words of its command line.
        run_dir: where logs/worker-N.log go.
        tasks: the processes.
        hosts: one for each; without, all run here.
        max_restarts: how often all begin again.
    """

    def __init__(
        self,
        program: Sequence[str],
        run_dir: Path,
        tasks: Sequence[Task],
        hosts: Sequence[Host] = (),
        max_restarts: int = 0,
    ):
        self._program = program
        self._run_dir = run_dir
        self._hosts = dict(zip(tasks, hosts or [Host()] * len(tasks)))
        self._max_restarts = max_restarts
        self._processes: dict[Task, subprocess.Popen] = {}
        self._readers: list[threading.Thread] = []
        self._addresses: dict[str, list[str]] = {}
        self._attempt = Attempt(_job_name(), (0,))
        self._signals = 0

    def run(self) -> int:
        """Starts the processes, again where that may help; returns the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)
        for attempt in range(self._max_restarts + 1):
            self._attempt = dataclasses.replace(self._attempt, number=(attempt,))
            failure = self.run_once()
            if failure is None:
                return 0
            if self._signals:
                return Preempted.exit_code
            self._tell(f"{failure.task.name} failed first, with status {failure.exit_code}.")
            is_last = attempt == self._max_restarts
            if failure.exit_code < _FIRST_RETRYABLE or is_last:
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
        # What the workers of an earlier start said is no news.
        shutil.rmtree(self._run_dir / "status", ignore_errors=True)
        self._addresses = {task.job: [] for task in self._hosts}
        for (task, host), port in zip(self._hosts.items(), free_ports(len(self._hosts))):
            self._addresses[task.job].append(f"{host.address}:{port}")
        try:
            for task in self._hosts:
                self._start(task)
            return self._wait()
        finally:
            for process in self._processes.values():
                _kill_group(process, signal.SIGKILL)
                process.wait()
            for reader in self._readers:
                reader.join()
            self._processes, self._readers = {}, []

    def _start(self, task: Task) -> None:
        """Starts a process, and what passes on its lines."""
        config = {"cluster": self._addresses, "task": {"type": task.job, "index": task.index}}
        process = subprocess.Popen(
            [*self._hosts[task].command, sys.executable, "-m", *self._program],
            env={
                **os.environ, "TF_CONFIG": json.dumps(config),
                "FLOWRATE_ATTEMPT": str(self._attempt),
            },
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace",
            # A session of its own: Ctrl-C is ours to pass on, and what it started goes with it.
            start_new_session=True,
        )  # fmt: skip
        reader = threading.Thread(target=self._pass_on, args=(task, process.stdout))
        reader.start()
        self._readers.append(reader)
        self._processes[task] = process

    def _wait(self) -> Failure | None:
        """Waits until all have ended; returns the first that failed for a reason of its own."""
        running = dict(self._processes)
        failures: list[Failure] = []
        deadline = None
        while running:
            for task, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[task]
                if not process.returncode:
                    continue
                failures.append(Failure(task, _exit_code(process)))
                deadline = deadline or time.monotonic() + _LEAVE_SECONDS
            if failures:
                _kill_stopped(running.values())
            if running and deadline and time.monotonic() > deadline:
                self._end(list(running.values()))
            time.sleep(_POLL_SECONDS)
        # Who lost another worker is not the cause.
        causes = [failure for failure in failures if failure.exit_code != PeerLost.exit_code]
        return next(iter(causes or failures), None)

    def _end(self, processes: list[subprocess.Popen]) -> None:
        for process in processes:
            _kill_group(process, signal.SIGTERM)
        end = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < end and any(process.poll() is None for process in processes):
            time.sleep(_POLL_SECONDS)
        for process in processes:
            _kill_group(process, signal.SIGKILL)

    def _pass_on(self, task: Task, lines: Iterator[str]) -> None:
        """Shows a process's lines, with its name, and keeps them in logs/worker-N.log."""
        folder = self._run_dir / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{task.name.replace(' ', '-')}.log"
        with path.open("a", encoding="utf-8") as log:
            for line in lines:
                log.write(line)
                log.flush()
                print(f"[{task.name}] {line}", end="", flush=True)

    def _handle(self, number: int, frame) -> None:
        """First: all save and leave. Second: all are killed."""
        self._signals += 1
        for process in self._processes.values():
            _kill_group(process, signal.SIGTERM if self._signals == 1 else signal.SIGKILL)

    def _pause(self, seconds: float) -> bool:
        """Returns whether the time went by without a signal."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._signals:
            time.sleep(_POLL_SECONDS)
        return not self._signals

    def _tell(self, line: str) -> None:
        print(f"[launch] {line}", flush=True)


def _job_name() -> str:
    """Returns a name that no other launcher has, on whatever machine."""
    began = psutil.Process().create_time()
    return f"scripts/launch {os.getpid()} on {platform.node()} since {began:.2f}"


def free_ports(count: int) -> list[int]:
    """Returns ports that nothing listens on now."""
    with contextlib.ExitStack() as sockets:
        held = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]


def _exit_code(process: subprocess.Popen) -> int:
    """Returns the exit status as a shell gives it: 128 and the signal's number where killed."""
    return process.returncode if process.returncode > 0 else 128 - process.returncode


def _kill_stopped(processes: Iterable[subprocess.Popen]) -> None:
    """Kills those that a signal has stopped: they would not find out that others are lost."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(process.pid).status() == psutil.STATUS_STOPPED:
                _kill_group(process, signal.SIGKILL)


def _kill_group(process: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
