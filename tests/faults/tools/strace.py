"""System calls of a process: listed, and faults put into them, by strace."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from faults.tools.runs import environment

# All by which a program changes what is on a disk.
CHANGING = (
    "openat", "mkdir", "write", "ftruncate", "fsync", "fdatasync", "rename", "renameat",
    "renameat2", "unlink", "unlinkat", "rmdir",
)  # fmt: skip
_CALL = re.compile(r"(?P<task>\d+) +(?P<name>\w+)\((?P<text>.*)")


@dataclasses.dataclass(frozen=True)
class Call:
    """A system call: the thread that made it, its name, and its arguments and result as text."""

    task: int
    name: str
    text: str

    def paths(self) -> list[Path]:
        """Returns the paths among its arguments; of a descriptor, what it stands for."""
        return [Path(path) for path in re.findall(r'[<"](/[^>"]*)[>"]', self.text)]


def prefix(*options: str) -> tuple[str, ...]:
    """Returns the words before a command that is to run under strace, or skips the test."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace, which is not installed")
    words = (strace, "-f", "-qq", *options)
    tried = subprocess.run([*words, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.strip()}")
    return words


def calls(command: Sequence[str], log: Path, names: Sequence[str] = CHANGING) -> list[Call]:
    """Runs a command that must succeed, and returns its calls in their order.

    Args:
        command: what to run.
        log: a file for strace.
        names: of the calls.
    """
    words = prefix("-y", "-s", "0", "-e", f"trace={','.join(names)}", "-o", str(log))
    done = subprocess.run([*words, *command], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr.strip()[-300:]}"
    found = (_CALL.match(line) for line in log.read_text(errors="replace").splitlines())
    return [Call(int(call["task"]), call["name"], call["text"]) for call in found if call]


def killing(
    process: subprocess.Popen, name: str, nth: int
) -> contextlib.AbstractContextManager[None]:
    """Within the block a running process is killed where one of its threads makes a call nth."""
    return _injecting(process, name, f"signal=SIGKILL:when={nth}")


def slowed(
    process: subprocess.Popen, name: str, seconds: float
) -> contextlib.AbstractContextManager[None]:
    """Within the block each call of a name takes a running process so much longer."""
    return _injecting(process, name, f"delay_enter={1000 * seconds:.0f}ms")


@contextlib.contextmanager
def _injecting(process: subprocess.Popen, name: str, fault: str) -> Iterator[None]:
    words = prefix("-e", f"trace={name}", "-e", f"inject={name}:{fault}", "-o", "/dev/null")
    strace = subprocess.Popen([*words, "-p", str(process.pid)], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        strace.terminate()
        strace.wait()


def killed_at(name: str, nth: int) -> tuple[str, ...]:
    """Returns the words before a command that is killed as it makes a call the nth time."""
    return prefix("-e", f"trace={name}", "-e", f"inject={name}:signal=SIGKILL:when={nth}", "-o",
                  "/dev/null")  # fmt: skip
