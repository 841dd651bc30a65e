"""Runs the process of a measurement to its end, whatever that end is."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil

from flowrate.environment import (
    available_memory_bytes,
    num_out_of_memory_kills,
    total_memory_bytes,
)

ROOT = Path(__file__).resolve().parents[2]
# When less than this share of the memory is left, the process is stopped: sooner or later the
# system would kill one, and not always the one that asked for too much.
_MEMORY_RESERVE = 0.02
_WATCH_SECONDS = 0.2


@dataclasses.dataclass(frozen=True)
class Failure:
    """How a process failed: the `status` and the `error` of its row."""

    status: str
    error: str


def run_to_end(command: list[str], timeout_seconds: float) -> Failure | None:
    """Runs a command in the checkout; returns None where it ended with status 0.

    What it started ends with it. It is killed after so many seconds, and where it leaves the
    machine without memory. What it prints is not shown.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    kills_before = num_out_of_memory_kills()
    process = watch = None
    try:
        with _interrupts_put_off():  # In the middle of this, nobody would know of the process.
            # A session of its own: what it started goes with it.
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
                start_new_session=True,
            )  # fmt: skip
            watch = _MemoryWatch(process)
        _, errors = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        _kill(process)
        process.communicate()
        return Failure("failed", f"killed after {timeout_seconds:.0f} s: {shlex.join(command[:4])}")
    except BaseException:  # Ctrl-C: nothing is left running.
        if process:
            _kill(process)
            process.communicate()
        raise
    finally:
        if watch:
            watch.end()
    if process.returncode == 0:
        return None
    if process.returncode == -signal.SIGKILL:
        # First: where the system was faster, the watch has seen what it left.
        if num_out_of_memory_kills() > kills_before:
            return Failure("out_of_memory", "killed by the system, which had no memory left")
        if watch.largest_bytes:
            held = f"{watch.largest_bytes / 2**30:.1f} GiB"
            return Failure(
                "out_of_memory", f"stopped with {held} held and none left on the machine"
            )
        return Failure("failed", "killed by signal 9, from outside")
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    said = lines[-1] if lines else "nothing was said"
    return Failure("failed", f"exit status {process.returncode}: {said}"[:500])


@contextlib.contextmanager
def _interrupts_put_off() -> Iterator[None]:
    """Lets a Ctrl-C within the block take effect at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:  # As if it came now: a background job, which ignores it, goes on doing so.
            signal.raise_signal(signal.SIGINT)


class _MemoryWatch:
    """Kills a process when the machine's memory runs out.

    Attributes:
        largest_bytes: what it and its children held then; 0 where it never came to that.
    """

    def __init__(self, process: subprocess.Popen):
        self.largest_bytes = 0
        self._process = process
        self._reserve_bytes = _MEMORY_RESERVE * total_memory_bytes()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory watch", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stops watching."""
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(_WATCH_SECONDS):
            if available_memory_bytes() < self._reserve_bytes:
                self.largest_bytes = _resident_bytes(self._process.pid)
                _kill(self._process)
                return


def _resident_bytes(pid: int) -> int:
    """Returns the memory that a process and its children hold; at least 1."""
    try:
        family = [psutil.Process(pid), *_descendants(pid)]
        return max(1, sum(each.memory_info().rss for each in family))
    except psutil.NoSuchProcess:
        return 1


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill(process: subprocess.Popen) -> None:
    """Kills the process and what it started; it may have ended by itself."""
    for child in _descendants(process.pid):  # Some may lead groups of their own.
        with contextlib.suppress(psutil.Error):
            child.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
