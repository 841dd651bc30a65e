"""Trains with several processes on this machine: `scripts/launch --workers=4 -- --dataset=mnist`.

Each worker is `python -m trainer.main` with a TF_CONFIG of its own. They begin together and end
together: where one fails, all are ended, and all begin again from the last checkpoint. Only a lost
worker of --strategy=parameter_server, without whom the others go on, is started again by itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from flowrate import options
from flowrate.errors import ConfigError, FlowrateError, PeerLost, Preempted
from flowrate.options import option
from trainer.config import TrainConfig
from trainer.run_dir import default_name

USAGE = """Trains with several processes on this machine.

    scripts/launch --workers=N [--ps=N] [--max_restarts=N] -- FLAGS OF trainer.main"""

_STRATEGY, _ASYNCHRONOUS = "multi_worker_mirrored", "parameter_server"
# A worker that is left behind finds out by itself within this time (trainer/peers.py).
_LEAVE_SECONDS = 30.0
# For a worker to save after SIGTERM.
_GRACE_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 30.0
_POLL_SECONDS = 0.1
# From here on a status says: try again.
_FIRST_RETRYABLE = 128


@dataclasses.dataclass(frozen=True)
class _Task:
    """A process of the run, as TF_CONFIG knows it."""

    job: str
    index: int

    @property
    def name(self) -> str:
        return self.job if self.job == "chief" else f"{self.job} {self.index}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaunchConfig:
    """What was asked of the launcher."""

    workers: int = option(
        2, group="Launch", lower_bound=1, upper_bound=64, help="Processes to train with."
    )
    ps: int = option(
        0, group="Launch", lower_bound=0, upper_bound=64,
        help="Parameter servers, of --strategy=parameter_server.",
    )  # fmt: skip
    max_restarts: int = option(
        3, group="Launch", lower_bound=0, upper_bound=1000,
        help="How often all begin again after one was lost.",
    )  # fmt: skip

    def __post_init__(self):
        options.check(self)

    def tasks(self) -> list[_Task]:
        """Returns the processes to start."""
        workers = [_Task("worker", index) for index in range(self.workers)]
        if not self.ps:
            return workers
        return [_Task("chief", 0), *workers, *(_Task("ps", index) for index in range(self.ps))]


def main(argv: Sequence[str]) -> int:
    """Runs the launcher; returns the exit status of the cause (flowrate/errors.py)."""
    try:
        own, trainers = split(argv)
        config = options.parse(LaunchConfig, own)
        if config is None:
            print(options.render_help(LaunchConfig, USAGE))
            return 0
        flags, run_dir = complete(trainers, config.ps)
    except FlowrateError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return _Launch(config, flags, run_dir).run()


@dataclasses.dataclass
class _Failure:
    """The first process that failed, and how."""

    task: _Task
    exit_code: int


class _Launch:
    """The processes of one run, over all its starts."""

    def __init__(self, config: LaunchConfig, flags: list[str], run_dir: Path):
        self._config = config
        self._flags = flags
        self._run_dir = run_dir
        self._processes: dict[_Task, subprocess.Popen] = {}
        self._readers: list[threading.Thread] = []
        self._addresses: dict[str, list[str]] = {}
        self._worker_restarts = 0
        self._signals = 0

    def run(self) -> int:
        """Starts the workers, again where that may help; returns the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)
        for attempt in range(self._config.max_restarts + 1):
            failure = self._run_once()
            if failure is None:
                return 0
            if self._signals:
                return Preempted.exit_code
            self._tell(f"{failure.task.name} failed first, with status {failure.exit_code}.")
            is_last = attempt == self._config.max_restarts
            if failure.exit_code < _FIRST_RETRYABLE or is_last:
                return failure.exit_code
            pause = min(2.0**attempt, _LONGEST_PAUSE_SECONDS)
            self._tell(
                f"all {len(self._config.tasks())} processes begin again from the last checkpoint "
                f"in {pause:.0f} s (restart {attempt + 1} of {self._config.max_restarts})."
            )
            if not self._pause(pause):
                return Preempted.exit_code
        raise AssertionError("unreachable")

    def _run_once(self) -> _Failure | None:
        # What the workers of an earlier start said is no news.
        shutil.rmtree(self._run_dir / "status", ignore_errors=True)
        tasks = self._config.tasks()
        self._addresses = {task.job: [] for task in tasks}
        for task, port in zip(tasks, _free_ports(len(tasks))):
            self._addresses[task.job].append(f"127.0.0.1:{port}")
        try:
            for task in tasks:
                self._start(task)
            return self._wait()
        finally:
            for process in self._processes.values():
                _kill_group(process, signal.SIGKILL)
                process.wait()
            for reader in self._readers:
                reader.join()
            self._processes, self._readers = {}, []

    def _start(self, task: _Task) -> subprocess.Popen:
        """Starts a process, and what passes on its lines."""
        config = {
            "cluster": self._addresses, "task": {"type": task.job, "index": task.index},
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "trainer.main", *self._flags],
            env={**os.environ, "TF_CONFIG": json.dumps(config)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace",
            # A session of its own: Ctrl-C is ours to pass on, and what it started goes with it.
            start_new_session=True,
        )  # fmt: skip
        reader = threading.Thread(target=self._pass_on, args=(task, process.stdout))
        reader.start()
        self._readers.append(reader)
        self._processes[task] = process
        return process

    def _wait(self) -> _Failure | None:
        """Waits until all have ended; returns the first that failed for a reason of its own."""
        running = dict(self._processes)
        failures: list[_Failure] = []
        deadline = None
        while running:
            for task, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[task]
                if not process.returncode:
                    continue
                exit_code = _exit_code(process)
                if not failures and self._may_start_again(task, exit_code, running):
                    running[task] = self._start(task)
                    continue
                failures.append(_Failure(task, exit_code))
                deadline = deadline or time.monotonic() + _LEAVE_SECONDS
            if running and deadline and time.monotonic() > deadline:
                self._end(list(running.values()))
            time.sleep(_POLL_SECONDS)
        # Who lost another worker is not the cause.
        causes = [failure for failure in failures if failure.exit_code != PeerLost.exit_code]
        return next(iter(causes or failures), None)

    def _may_start_again(self, task: _Task, exit_code: int, running) -> bool:
        """Returns whether a lost process can be started again by itself, and counts it."""
        chief = _Task("chief", 0)
        if task.job != "worker" or chief not in running or self._signals:
            return False
        # Where the chief has ended, or lost a parameter server, its status follows at once.
        is_cause = exit_code not in (PeerLost.exit_code, Preempted.exit_code)
        if exit_code < _FIRST_RETRYABLE or not is_cause:
            return False
        if self._worker_restarts == self._config.max_restarts:
            return False
        self._worker_restarts += 1
        self._tell(
            f"{task.name} ended with status {exit_code}; it is started again, the others go on "
            f"(restart {self._worker_restarts} of {self._config.max_restarts})."
        )
        return True

    def _end(self, processes: list[subprocess.Popen]) -> None:
        for process in processes:
            _kill_group(process, signal.SIGTERM)
        end = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < end and any(process.poll() is None for process in processes):
            time.sleep(_POLL_SECONDS)
        for process in processes:
            _kill_group(process, signal.SIGKILL)

    def _pass_on(self, task: _Task, lines: Iterator[str]) -> None:
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


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the launcher's words, program name first, and the trainer's."""
    if "--" not in argv:
        stray = [word for word in argv[1:] if word.lstrip("-") not in ("help", "h")]
        if stray and not any(
            word.startswith(("--workers", "--ps", "--max_restarts")) for word in stray
        ):
            raise ConfigError(f"{stray[0]}: give the flags of trainer.main after `--`.")
        return list(argv), []
    place = list(argv).index("--")
    return list(argv[:place]), list(argv[place + 1 :])


def complete(flags: list[str], num_parameter_servers: int = 0) -> tuple[list[str], Path]:
    """Checks the trainer's flags; returns them with what several workers need, and the run_dir.

    Raises:
        ConfigError: the trainer would not take them, or they do not fit the launcher's.
    """
    name = "--strategy="
    asked = [flag for flag in flags if flag.startswith(name)]
    strategy = asked[-1].removeprefix(name) if asked else _STRATEGY
    if strategy not in (_STRATEGY, _ASYNCHRONOUS) or len(set(asked)) > 1:
        raise ConfigError(
            f"{asked[-1]}: several processes train with {name}{_STRATEGY} or {_ASYNCHRONOUS}."
        )
    if strategy == _ASYNCHRONOUS and not num_parameter_servers:
        raise ConfigError(
            f"{name}{_ASYNCHRONOUS} needs parameter servers; give --ps=1 before `--`."
        )
    if strategy == _STRATEGY and num_parameter_servers:
        raise ConfigError(
            f"--ps={num_parameter_servers}: parameter servers are of use with "
            f"{name}{_ASYNCHRONOUS} only."
        )
    flags = [flag for flag in flags if flag not in asked]
    config = options.parse(TrainConfig, ["trainer.main", *flags])
    if config is None:
        raise ConfigError("--help: see python -m trainer.main --help.")
    if not config.run_dir:
        flags = [*flags, f"--run_dir={default_name(config)}"]
    flags = [*flags, name + strategy]
    config = options.parse(TrainConfig, ["trainer.main", *flags])
    return flags, Path(config.run_dir).expanduser().absolute()


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
