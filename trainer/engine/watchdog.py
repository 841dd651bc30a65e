"""Says what takes long: a compilation every 30 s, and a step that has stalled, with where it is.

A thread that looks once a second at what the engine is doing, and costs it nothing. No TensorFlow
here.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowrate.errors import Stalled

_LOOK_SECONDS = 1.0
_REPORT_SECONDS = 30.0
# Of a call that has run before: what is beyond its usual time and beyond this.
_LEAST_STALL_SECONDS = 60.0
_STALL_FACTOR = 10.0


@dataclasses.dataclass(frozen=True)
class Doing:
    """What an engine is doing.

    Attributes:
        what: `compiling`, `training` or `waiting for examples`.
        first, last: steps, 1-based.
        usual_seconds: that it should take, as far as is known.
        began: time.monotonic().
    """

    what: str
    first: int
    last: int
    usual_seconds: float = 0.0
    began: float = dataclasses.field(default_factory=time.monotonic)


class Watchdog:
    """Watches an engine until it is closed.

    Args:
        engine: whose attribute `doing` is a Doing, or None.
        stacks_path: takes where all threads are, once something stalls.
        tell: takes a line for the user.
        stall_timeout_seconds: after which a call is given up; 0: never.
        give_up: ends the process with an error; called on the watchdog's thread.
    """

    def __init__(
        self,
        engine: Any,
        stacks_path: Path,
        tell: Callable[[str], None],
        stall_timeout_seconds: float,
        give_up: Callable[[Stalled], None],
    ):
        self._engine = engine
        self._stacks_path = stacks_path
        self._tell = tell
        self._stall_timeout_seconds = stall_timeout_seconds
        self._give_up = give_up
        self._told: Doing | None = None
        self._tell_at = 0.0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the watching."""
        self._closed.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            doing = self._engine.doing
            if doing is not None:
                self._look(doing, time.monotonic() - doing.began)

    def _look(self, doing: Doing, seconds: float) -> None:
        if doing is not self._told:
            self._told, self._tell_at = doing, _patience_seconds(doing)
        is_call = doing.what != "waiting for examples"  # Which may be as slow as the files are.
        if is_call and 0 < self._stall_timeout_seconds < seconds:
            self._write_stacks()
            self._give_up(
                Stalled(
                    f"{doing.what} {_steps(doing)} has taken {seconds:.0f} s, more than "
                    f"--stall_timeout={self._stall_timeout_seconds:g}; where each thread is: "
                    f"{self._stacks_path}. Begin again with the same command."
                )
            )
        elif seconds >= self._tell_at:
            self._tell_at = seconds + _REPORT_SECONDS
            if doing.what == "compiling":
                self._tell(f"still compiling, {seconds:.0f} s")
            else:
                self._write_stacks()
                self._tell(
                    f"{doing.what} {_steps(doing)} has taken {seconds:.0f} s so far; where each "
                    f"thread is: {self._stacks_path}"
                )

    def _write_stacks(self) -> None:
        with self._stacks_path.open("w", encoding="utf-8") as file:
            faulthandler.dump_traceback(file, all_threads=True)


def _patience_seconds(doing: Doing) -> float:
    if doing.what == "compiling":
        return _REPORT_SECONDS
    return max(_LEAST_STALL_SECONDS, _STALL_FACTOR * doing.usual_seconds)


def _steps(doing: Doing) -> str:
    if doing.first == doing.last:
        return f"step {doing.first:,}"
    return f"steps {doing.first:,} to {doing.last:,}"
