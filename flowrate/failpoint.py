"""Failpoints: a fault at a named place, for those who test what becomes of a run.

    FLOWRATE_FAULT=step:3:kill python -m trainer.main ...

lets the third `reach("step")` of the process kill it. Unset, a failpoint does nothing; more than
one are separated by commas. Faults are the same on every worker that is given the variable.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable

from flowrate.errors import ConfigError

VARIABLE = "FLOWRATE_FAULT"
POINTS = ("import", "data", "build", "compile", "step", "evaluate", "save", "finish", "report")


@dataclasses.dataclass(frozen=True)
class Fault:
    """What happens at the `nth` time that a point is reached, 1-based."""

    point: str
    nth: int
    action: str
    argument: str = ""


def parse(text: str) -> tuple[Fault, ...]:
    """Reads the variable: `POINT[:NTH]:ACTION`, where an action may be `sleep=SECONDS`.

    Raises:
        ConfigError: it does not read so, or there is no such point or action.
    """
    return tuple(_parse_one(part.strip()) for part in text.split(",") if part.strip())


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
    for fault in parse(text):
        if fault.point == point and fault.nth == _counts[point]:
            _ACTIONS[fault.action](fault.argument)


def _parse_one(text: str) -> Fault:
    point, *middle, last = text.split(":") if ":" in text else (text, "")
    action, _, argument = last.partition("=")
    nth = middle[0] if len(middle) == 1 else "1"
    is_readable = point in POINTS and action in _ACTIONS and len(middle) <= 1 and nth.isdecimal()
    if not is_readable or (action == "sleep" and not _is_number(argument)):
        raise ConfigError(
            f"{VARIABLE}={text}: write POINT:ACTION or POINT:NTH:ACTION; points: "
            f"{', '.join(POINTS)}; actions: {', '.join(_ACTIONS)}, the last as sleep=SECONDS."
        )
    return Fault(point, int(nth), action, argument)


def _is_number(text: str) -> bool:
    try:
        return float(text) >= 0
    except ValueError:
        return False


def _out_of_memory(_: str) -> None:
    raise MemoryError("by a failpoint")


def _resource_exhausted(_: str) -> None:
    import tensorflow as tf

    raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor, by a failpoint")


def _error(_: str) -> None:
    raise RuntimeError("by a failpoint")


_counts: dict[str, int] = {}
_ACTIONS: dict[str, Callable[[str], None]] = {
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "term": lambda _: os.kill(os.getpid(), signal.SIGTERM),
    "interrupt": lambda _: os.kill(os.getpid(), signal.SIGINT),
    "usr1": lambda _: os.kill(os.getpid(), signal.SIGUSR1),
    "stop": lambda _: os.kill(os.getpid(), signal.SIGSTOP),
    "error": _error,
    "out_of_memory": _out_of_memory,
    "resource_exhausted": _resource_exhausted,
    "sleep": lambda seconds: time.sleep(float(seconds)),
}
