"""Failpoints: a fault at a named place, for those who test what becomes of a run.

    FLOWRATE_FAULT=step:3:kill python -m trainer.main ...

lets the third `reach("step")` of the process kill it. Unset, a failpoint does nothing; more than
one are separated by commas. Faults are the same on every worker that is given the variable.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable

from flowrate.errors import ConfigError

VARIABLE = "FLOWRATE_FAULT"
POINTS = ("import", "data", "build", "compile", "step", "evaluate", "save", "finish", "report")
_FAULT = re.compile(r"(\w+)(?::(\d+))?:(\w+)(?:=([\d.]+))?")


def parse(text: str) -> list[tuple[str, int, Callable[[], None]]]:
    """Reads the variable: `POINT[:NTH]:ACTION`, where an action may be `sleep=SECONDS`.

    Returns:
        For each fault the point, the number of the arrival there, from 1, and what happens then.

    Raises:
        ConfigError: it does not read so, or there is no such point or action.
    """
    return [_parse_one(part.strip()) for part in text.split(",") if part.strip()]


def reach(point: str) -> None:
    """Says that the process is at a point; the fault that is set for it happens now.

    Raises:
        ConfigError: the variable cannot be read.
        Exception: the one that the fault is.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return
    _counts[point] = _counts.get(point, 0) + 1
    for at, nth, act in parse(text):
        if (at, nth) == (point, _counts[point]):
            act()


def _parse_one(text: str) -> tuple[str, int, Callable[[], None]]:
    found = _FAULT.fullmatch(text)
    point, nth, action, seconds = found.groups() if found else [""] * 4
    if point in POINTS and action in _ACTIONS and not seconds:
        return point, int(nth or 1), _ACTIONS[action]
    if point in POINTS and action == "sleep" and seconds:
        return point, int(nth or 1), lambda: time.sleep(float(seconds))
    raise ConfigError(
        f"{VARIABLE}={text}: write POINT:ACTION or POINT:NTH:ACTION; points: {', '.join(POINTS)}; "
        f"actions: {', '.join(_ACTIONS)}, sleep, the last as sleep=SECONDS."
    )


def _raise_error() -> None:
    raise RuntimeError("by a failpoint")


def _run_out_of_memory() -> None:
    raise MemoryError("by a failpoint")


def _exhaust_resources() -> None:
    import tensorflow as tf

    raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor, by a failpoint")


def _send(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


_counts: dict[str, int] = {}
_ACTIONS: dict[str, Callable[[], None]] = {
    "kill": _send(signal.SIGKILL),
    "term": _send(signal.SIGTERM),
    "interrupt": _send(signal.SIGINT),
    "usr1": _send(signal.SIGUSR1),
    "stop": _send(signal.SIGSTOP),
    "error": _raise_error,
    "out_of_memory": _run_out_of_memory,
    "resource_exhausted": _exhaust_resources,
}
