"""The highest memory of a command, whatever the process that starts it holds itself.

    python -I -S tests/faults/tools/peak.py FILE COMMAND...

Runs the command, writes the KiB into FILE, and ends with the command's status. What the system
tells of a process (getrusage(2), ru_maxrss) begins with what its parent held when it forked, and
exec does not forget it: a child of a Python of 2 GiB is told of with 2 GiB. So a process that holds
next to nothing stands between.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_measured(
    command: list[str], peak_path: Path, timeout_seconds: float, **options: Any
) -> tuple[int, float]:
    """Runs a command; returns its status, and the most memory that it held, in MiB.

    Args:
        command: Its words.
        peak_path: A file to make.
        timeout_seconds: After so long the command, and all that it started, is killed.
        **options: As of subprocess.Popen.

    Raises:
        subprocess.TimeoutExpired: It was killed.
    """
    words = [sys.executable, "-I", "-S", __file__, str(peak_path), *command]
    with subprocess.Popen(words, start_new_session=True, **options) as process:
        try:
            status = process.wait(timeout_seconds)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return status, int(peak_path.read_text()) / 2**10


def forget_peak() -> None:
    """Lets the system count the highest memory of this process anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def resident_mebibytes(pid: int | str = "self") -> float:
    """Returns the memory that a process holds, by default this one.

    Raises:
        OSError, KeyError: it has ended.
    """
    return _status_mebibytes("VmRSS", pid)


def peak_mebibytes() -> float:
    """Returns the most memory that this process has held since forget_peak."""
    return _status_mebibytes("VmHWM")


def _status_mebibytes(name: str, pid: int | str = "self") -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 2**10
    raise KeyError(name)


def main(peak_path: str, *command: str) -> int:
    """Runs the command."""
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    Path(peak_path).write_text(str(usage.ru_maxrss))
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
