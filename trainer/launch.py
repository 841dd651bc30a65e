"""Trains with several processes on this machine: `scripts/launch --workers=4 -- --dataset=mnist`.

Each worker is `python -m trainer.main` with a TF_CONFIG of its own. They begin together and end
together: where one fails, all are ended, and all begin again from the last checkpoint.
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
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from flowrate import options
from flowrate.errors import ConfigError, FlowrateError, PeerLost, Preempted
from flowrate.options import option
from trainer.attempt import Attempt
from trainer.config import TrainConfig
from trainer.run_dir import default_name

USAGE = """Trains with several processes on this machine.

    scripts/launch --workers=N [--max_restarts=N] -- FLAGS OF trainer.main"""

_STRATEGY = "multi_worker_mirrored"
# A worker that is left behind finds out by itself within this time (trainer/peers.py).
_LEAVE_SECONDS = 30.0
# For a worker to save after SIGTERM.
_GRACE_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 30.0
_POLL_SECONDS = 0.1
# From here on a status says: try again.
_FIRST_RETRYABLE = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaunchConfig:
    """What was asked of the launcher."""

    workers: int = option(
        2, group="Launch", lower_bound=1, upper_bound=64, help="Processes to train with."
    )
    max_restarts: int = option(
        3, group="Launch", lower_bound=0, upper_bound=1000,
        help="How often all begin again after one was lost.",
    )  # fmt: skip

    def __post_init__(self):
        options.check(self)


def main(argv: Sequence[str]) -> int:
    """Runs the launcher; returns the exit status of the cause (flowrate/errors.py)."""
    try:
        own, trainers = split(argv)
        config = options.parse(LaunchConfig, own)
        if config is None:
            print(options.render_help(LaunchConfig, USAGE))
            return 0
        flags, run_dir = complete(trainers)
    except FlowrateError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    hosts = [Host()] * config.workers
    return _Launch(config, ["trainer.main", *flags], run_dir, hosts).run()


def run_once(program: Sequence[str], run_dir: Path, hosts: Sequence[Host]) -> Failure | None:
    """Runs a program as the workers of one run, to its end; None where all ended well.

    Args:
        program: a module, and the words of its command line.
        run_dir: where logs/worker-N.log go.
        hosts: one for each worker.
    """
    config = LaunchConfig(workers=len(hosts), max_restarts=0)
    return _Launch(config, program, run_dir, hosts).run_once()


@dataclasses.dataclass(frozen=True)
class Host:
    """Where a worker runs.

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


class _Launch:
    """The workers of one run, over all its starts."""

    def __init__(
        self, config: LaunchConfig, program: Sequence[str], run_dir: Path, hosts: Sequence[Host]
    ):
        self._config = config
        self._program = program
        self._run_dir = run_dir
        self._hosts = hosts
        self._processes: list[subprocess.Popen] = []
        self._signals = 0
        self._attempt = Attempt()

    def run(self) -> int:
        """Starts the workers, again where that may help; returns the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)
        for attempt in range(self._config.max_restarts + 1):
            self._attempt = Attempt(_job_name(), (attempt,))
            failure = self.run_once()
            if failure is None:
                return 0
            if self._signals:
                return Preempted.exit_code
            self._tell(f"worker {failure.worker} failed first, with status {failure.exit_code}.")
            is_last = attempt == self._config.max_restarts
            if failure.exit_code < _FIRST_RETRYABLE or is_last:
                return failure.exit_code
            pause = min(2.0**attempt, _LONGEST_PAUSE_SECONDS)
            self._tell(
                f"all {self._config.workers} workers begin again from the last checkpoint in "
                f"{pause:.0f} s (restart {attempt + 1} of {self._config.max_restarts})."
            )
            if not self._pause(pause):
                return Preempted.exit_code
        raise AssertionError("unreachable")

    def run_once(self) -> Failure | None:
        """Starts the workers and waits for them; returns the first that failed, if any."""
        # What the workers of an earlier start said is no news.
        shutil.rmtree(self._run_dir / "status", ignore_errors=True)
        ports = _free_ports(len(self._hosts))
        addresses = [f"{host.address}:{port}" for host, port in zip(self._hosts, ports)]
        readers = []
        try:
            for index in range(len(self._hosts)):
                process = self._start(index, addresses)
                self._processes.append(process)
                reader = threading.Thread(target=self._pass_on, args=(index, process.stdout))
                reader.start()
                readers.append(reader)
            return self._wait()
        finally:
            for process in self._processes:
                _kill_group(process, signal.SIGKILL)
                process.wait()
            for reader in readers:
                reader.join()
            self._processes = []

    def _start(self, index: int, addresses: list[str]) -> subprocess.Popen:
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        return subprocess.Popen(
            [*self._hosts[index].command, sys.executable, "-m", *self._program],
            env={
                **os.environ, "TF_CONFIG": json.dumps(config),
                "FLOWRATE_ATTEMPT": str(self._attempt),
            },
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace",
            # A session of its own: Ctrl-C is ours to pass on, and what it started goes with it.
            start_new_session=True,
        )  # fmt: skip

    def _wait(self) -> Failure | None:
        """Waits until all have ended; returns the first that failed for a reason of its own."""
        running = dict(enumerate(self._processes))
        failures: list[Failure] = []
        deadline = None
        while running:
            for index, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[index]
                if process.returncode:
                    failures.append(Failure(index, _exit_code(process)))
                    deadline = deadline or time.monotonic() + _LEAVE_SECONDS
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

    def _pass_on(self, index: int, lines: Iterator[str]) -> None:
        """Shows a worker's lines, with its name, and keeps them in logs/worker-N.log."""
        folder = self._run_dir / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"worker-{index}.log").open("a", encoding="utf-8") as log:
            for line in lines:
                log.write(line)
                log.flush()
                print(f"[worker {index}] {line}", end="", flush=True)

    def _handle(self, number: int, frame) -> None:
        """First: all save and leave. Second: all are killed."""
        self._signals += 1
        for process in self._processes:
            _kill_group(process, signal.SIGTERM if self._signals == 1 else signal.SIGKILL)

    def _pause(self, seconds: float) -> bool:
        """Returns whether the time went by without a signal."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._signals:
            time.sleep(_POLL_SECONDS)
        return not self._signals

    def _tell(self, line: str) -> None:
        print(f"[launch] {line}", flush=True)


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the launcher's words, program name first, and the trainer's."""
    if "--" not in argv:
        stray = [word for word in argv[1:] if word.lstrip("-") not in ("help", "h")]
        if stray and not any(word.startswith(("--workers", "--max_restarts")) for word in stray):
            raise ConfigError(f"{stray[0]}: give the flags of trainer.main after `--`.")
        return list(argv), []
    place = list(argv).index("--")
    return list(argv[:place]), list(argv[place + 1 :])


def complete(flags: list[str]) -> tuple[list[str], Path]:
    """Checks the trainer's flags; returns them with what several workers need, and the run_dir.

    Raises:
        ConfigError: the trainer would not take them.
    """
    name = "--strategy="
    asked = [flag for flag in flags if flag.startswith(name)]
    if any(flag != name + _STRATEGY for flag in asked):
        raise ConfigError(f"{asked[-1]}: several processes train with {name}{_STRATEGY}.")
    flags = [flag for flag in flags if flag not in asked]
    config = options.parse(TrainConfig, ["trainer.main", *flags])
    if config is None:
        raise ConfigError("--help: see python -m trainer.main --help.")
    if not config.run_dir:
        flags = [*flags, f"--run_dir={default_name(config)}"]
    flags = [*flags, name + _STRATEGY]
    config = options.parse(TrainConfig, ["trainer.main", *flags])
    return flags, Path(config.run_dir).expanduser().absolute()


def _job_name() -> str:
    """Returns a name that no other launcher has, on whatever machine."""
    began = psutil.Process().create_time()
    return f"scripts/launch {os.getpid()} on {platform.node()} since {began:.2f}"


def _free_ports(count: int) -> list[int]:
    """Returns ports that nothing listens on now."""
    with contextlib.ExitStack() as sockets:
        held = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]


def _exit_code(process: subprocess.Popen) -> int:
    """Returns the exit status as a shell gives it: 128 and the signal's number where killed."""
    return process.returncode if process.returncode > 0 else 128 - process.returncode


def _kill_group(process: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
