"""Child processes: for what may break, hang or be killed; none outlives the doctor."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# For a launcher to end its own children after a signal.
_LEAVE_SECONDS = 15
_STOPPING = (signal.SIGINT, signal.SIGTERM)


@dataclasses.dataclass(frozen=True)
class Ended:
    """A child that has ended.

    Attributes:
        exit_code: as Python gives it, below zero for a signal; None where the time was up.
        output: what it printed, standard error too unless kept apart.
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


def run(
    words: Sequence[str],
    *,
    timeout_seconds: float,
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    apart: bool = False,
) -> Ended:
    """Runs `python -m WORDS` and waits for it; ends all it has started if the time is up.

    Args:
        words: a module, and its arguments.
        timeout_seconds: how long it may take.
        folder: the one it runs in.
        environment: variables besides the doctor's own.
        apart: keep standard error apart from standard output.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(environment or {})},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if apart else subprocess.STDOUT,
        text=True, errors="replace",
        # A session of its own: Ctrl-C is ours to pass on, and what it started goes with it.
        start_new_session=True,
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=timeout_seconds)
        return Ended(process.returncode, output, errors or "")
    except subprocess.TimeoutExpired:
        _end(process)
        output, errors = process.communicate()
        return Ended(None, output, errors or "")
    finally:
        _end(process)


def ask(words: Sequence[str], *, timeout_seconds: float, **options: Any) -> tuple[Any, Ended]:
    """Runs a child whose last line is JSON; returns that, None where there is none, and the child.

    Args:
        words, timeout_seconds, options: as for `run`.
    """
    ended = run(words, timeout_seconds=timeout_seconds, apart=True, **options)
    lines = ended.output.strip().splitlines()
    if ended.exit_code == 0 and lines:
        with contextlib.suppress(ValueError):
            return json.loads(lines[-1]), ended
    return None, ended


def last_line(text: str) -> str:
    """Returns the last line that is not empty, or an empty string."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _end(process: subprocess.Popen) -> None:
    """Ends a child and all that it has started; returns when they are gone."""
    if process.poll() is not None:
        return
    with _uninterrupted():
        _end_running(process)


def _end_running(process: subprocess.Popen) -> None:
    started = _descendants(process.pid)
    # trainer.launch kills its workers, who have sessions of their own, at the second signal.
    for _ in range(2):
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_LEAVE_SECONDS / 10)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_LEAVE_SECONDS)
    _signal(process, signal.SIGKILL)
    for child in started:
        with contextlib.suppress(Exception):  # Gone already.
            child.kill()
    process.wait()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Within the block a further Ctrl-C is not heard: what was started is ended first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _descendants(pid: int) -> list[Any]:
    try:
        import psutil

        return psutil.Process(pid).children(recursive=True)
    except (
        Exception
    ):  # Without psutil, or gone already: the child's own group is ended all the same.
        return []


def _signal(process: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
