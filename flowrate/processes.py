"""Child processes: none outlives this one, none waits for a reader of what it prints.

Each child leads a session of its own: Ctrl-C is this process's to pass on, and what the child
starts is ended with it. Whatever ends this process, SIGKILL too, Linux sends its children SIGTERM,
so that they save. Linux means the thread that starts a child: start children from one that lasts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_TIE = Path(__file__).with_name("tie.py")
# Between two looks at the children.
POLL_SECONDS = 0.1
_WATCH_SECONDS = 0.2
# For the last lines to be shown, where nobody reads them.
_SHOW_SECONDS = 5.0
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclasses.dataclass(frozen=True)
class Ended:
    """A child that has ended.

    Attributes:
        exit_code: as Python gives it, below zero for a signal; None where it was ended here.
        output: what it printed, standard error too unless that was kept apart.
        errors: its standard error, where kept apart.
    """

    exit_code: int | None
    output: str
    errors: str = ""

    def how(self) -> str:
        """Returns in a few words how it ended."""
        if self.exit_code is None:
            return "did not end in time"
        if self.exit_code < 0:
            return f"was killed by {signal.Signals(-self.exit_code).name}"
        return f"ended with status {self.exit_code}"


def last_line(text: str) -> str:
    """Returns the last line that is not empty, or an empty string."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def start(command: Sequence[str], **options: Any) -> subprocess.Popen:
    """Starts a child that ends when this process does.

    Args:
        command: the program and its words.
        options: of subprocess.Popen.
    """
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", str(_TIE), str(os.getpid()), *command]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)


def run(
    command: Sequence[str],
    *,
    timeout_seconds: float,
    grace_seconds: float = 0.0,
    should_end: Callable[[int], bool] = lambda pid: False,
    **options: Any,
) -> Ended:
    """Runs a child to its end; nothing that it has started is left.

    Args:
        command: the program and its words.
        timeout_seconds: how long it may take.
        grace_seconds: from SIGTERM to SIGKILL, where it is ended.
        should_end: is given its process now and then; returns whether to end it.
        options: of subprocess.Popen; unless they say otherwise both outputs are kept, as one.
    """
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options}
    process = start(command, text=True, errors="replace", **given)
    deadline = time.monotonic() + timeout_seconds
    try:
        while True:
            left = deadline - time.monotonic()
            try:
                output, errors = process.communicate(timeout=max(0, min(left, _WATCH_SECONDS)))
                return Ended(process.returncode, output or "", errors or "")
            except subprocess.TimeoutExpired:
                if process.poll() is not None:  # What it left behind holds the pipe open.
                    send(process, signal.SIGKILL)
                if left <= 0 or should_end(process.pid):
                    break
        end(process, grace_seconds)
        output, errors = process.communicate()
        return Ended(None, output or "", errors or "")
    finally:
        end(process, grace_seconds)


def end(process: subprocess.Popen, grace_seconds: float = 0.0) -> None:
    """Ends a child and all that it has started; returns when it is gone."""
    started = descendants(process.pid)
    if grace_seconds and process.poll() is None:
        send(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=grace_seconds)
    send(process, signal.SIGKILL)
    for child in started:  # Those that lead sessions of their own.
        with contextlib.suppress(Exception):  # Gone already.
            child.kill()
    process.wait()


def send(process: subprocess.Popen, number: int) -> None:
    """Sends a signal to a child and to what it has started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def descendants(pid: int) -> list[Any]:
    """Returns what a process has started, each a psutil.Process; without psutil, nothing."""
    try:
        import psutil

        return psutil.Process(pid).children(recursive=True)
    except Exception:  # Not installed, or the process is gone.
        return []


class Group:
    """Children that are started together and ended together.

    What each prints is kept in a file, and shown line by line with the child's name for as long as
    somebody reads it: no child waits for a reader. Used once, in `with`, which kills at its end.

    Args:
        log_dir: where the files lie: NAME.log, with a dash for each space.
        leave_seconds: after a first failure, how long the others have to end by themselves.
        grace_seconds: from SIGTERM to SIGKILL for those that have not.
    """

    def __init__(self, log_dir: Path, leave_seconds: float = 30.0, grace_seconds: float = 5.0):
        self._log_dir = log_dir
        self._leave_seconds, self._grace_seconds = leave_seconds, grace_seconds
        self._running: dict[str, subprocess.Popen] = {}
        self._all: list[subprocess.Popen] = []
        self._shown = _Shown()

    def __enter__(self) -> Group:
        self._shown.start()
        return self

    def __exit__(self, *_) -> None:
        self.kill()
        self._shown.end()

    def kill(self) -> None:
        """Kills all, and what those have started that have ended."""
        for process in self._all:
            end(process)
        self._all, self._running = [], {}

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts a child, or starts it again.

        Args:
            name: by which it is known.
            command: the program and its words.
            environment: of its own, beside this process's.
        """
        self._log_dir.mkdir(parents=True, exist_ok=True)
        path = self._log_dir / f"{name.replace(' ', '-')}.log"
        with path.open("ab") as log:
            self._shown.follow(path, name)
            process = start(
                command, env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
            )
        self._running[name] = process
        self._all.append(process)

    def say(self, line: str) -> None:
        """Shows a line of this process's own."""
        self._shown.say(line)

    def send(self, number: int) -> None:
        """Sends a signal to all."""
        for process in list(self._running.values()):
            send(process, number)

    def wait(self) -> list[tuple[str, int]]:
        """Waits until all have ended; returns the name and status of those that failed, in order.

        A status is as a shell gives it: 128 and the signal's number where one was killed.
        """
        failures: list[tuple[str, int]] = []
        deadline = math.inf
        while self._running:
            for name, process in list(self._running.items()):
                if process.poll() is None:
                    continue
                del self._running[name]
                code = process.returncode if process.returncode >= 0 else 128 - process.returncode
                if not code:
                    continue
                failures.append((name, code))
                deadline = min(deadline, time.monotonic() + self._leave_seconds)
            if failures:
                self._kill_stopped()
            if time.monotonic() > deadline:
                self._end_all()
            time.sleep(POLL_SECONDS)
        return failures

    def _end_all(self) -> None:
        self.send(signal.SIGTERM)
        deadline = time.monotonic() + self._grace_seconds
        while time.monotonic() < deadline and any(
            process.poll() is None for process in self._running.values()
        ):
            time.sleep(POLL_SECONDS)
        self.send(signal.SIGKILL)

    def _kill_stopped(self) -> None:
        """Kills those that a signal has stopped: they would not find out that others are lost."""
        import psutil

        for process in self._running.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                if psutil.Process(process.pid).status() == psutil.STATUS_STOPPED:
                    send(process, signal.SIGKILL)


@contextlib.contextmanager
def stop_signals(handle: Callable[[int], None]) -> Iterator[None]:
    """Within the block SIGINT, SIGTERM and SIGHUP are given to `handle`; after it as before.

    SIGHUP only where it is not ignored, as it is under nohup.
    """
    before = {number: signal.getsignal(number) for number in _STOPPING}
    for number, handler in before.items():
        if number != signal.SIGHUP or handler != signal.SIG_IGN:
            signal.signal(number, lambda number, _: handle(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Shown:
    """Shows the lines of growing files, in a thread of its own: only that waits for a reader."""

    def __init__(self) -> None:
        self._files: dict[Path, tuple[str, int]] = {}
        self._lines: deque[str] = deque()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Shows the rest, for as long as that may take."""
        self._is_over.set()
        self._thread.join(_SHOW_SECONDS)

    def follow(self, path: Path, name: str) -> None:
        """Shows what comes into a file from now on."""
        self._files.setdefault(path, (name, path.stat().st_size))

    def say(self, line: str) -> None:
        self._lines.append(f"{line}\n")

    def _run(self) -> None:
        # A reader that left is no reason to end: what it does not see is in the files.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            is_over = False
            while not is_over:
                is_over = self._is_over.wait(POLL_SECONDS)
                own = len(self._lines)  # What this process said after what it saw.
                for path in list(self._files):
                    self._show(path, is_over)
                for _ in range(own):
                    _write(self._lines.popleft())

    def _show(self, path: Path, is_over: bool) -> None:
        name, place = self._files[path]
        with path.open("rb") as file:
            file.seek(place)
            data = file.read()
        if not is_over:  # Of a line that is half written, the rest comes later.
            data = data[: data.rfind(b"\n") + 1]
        self._files[path] = name, place + len(data)
        lines = data.decode(errors="replace").splitlines()
        if lines:
            _write("".join(f"[{name}] {line}\n" for line in lines))


def _write(text: str) -> None:
    """Writes to standard output; not by print, whose lock a write that waits would keep."""
    data = text.encode(sys.stdout.encoding, errors="backslashreplace")
    while data:
        data = data[os.write(sys.stdout.fileno(), data) :]
