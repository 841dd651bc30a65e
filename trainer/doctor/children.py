"""Child processes: for what may break, hang or be killed; none outlives the doctor."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flowrate import processes
from flowrate.environment import CHECKOUT
from flowrate.processes import Ended, last_line

__all__ = ["Ended", "ask", "last_line", "run"]

# For a launcher to end its own children after a signal.
_LEAVE_SECONDS = 15


def run(
    words: Sequence[str],
    *,
    timeout_seconds: float,
    folder: Path = CHECKOUT,
    environment: Mapping[str, str] | None = None,
    **options: Any,
) -> Ended:
    """Runs `python -m WORDS` and waits for it; ends all it has started if the time is up.

    Args:
        words: a module, and its arguments.
        timeout_seconds: how long it may take.
        folder: the one it runs in.
        environment: variables besides the doctor's own.
        options: as for flowrate.processes.run.
    """
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    return processes.run(
        [sys.executable, "-m", *words],
        timeout_seconds=timeout_seconds, grace_seconds=_LEAVE_SECONDS, cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **(environment or {})},
        **options,
    )  # fmt: skip


def ask(words: Sequence[str], *, timeout_seconds: float) -> tuple[Any, Ended]:
    """Runs a child whose last line is JSON; returns that, None where there is none, and the child.

    Args:
        words, timeout_seconds: as for `run`.
    """
    ended = run(words, timeout_seconds=timeout_seconds, stderr=subprocess.PIPE)
    if ended.exit_code == 0:
        with contextlib.suppress(ValueError):
            return json.loads(last_line(ended.output)), ended
    return None, ended
