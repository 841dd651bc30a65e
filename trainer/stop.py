"""Being asked to stop: a first signal means save and leave, a second one means leave at once.

Schedulers ask more than once: Slurm signals a job's steps, and srun, told so too, signals them
again. What comes on the heels of the first signal is the same request, unless it is Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

from flowrate.errors import Preempted

# SIGUSR1 is what Slurm can be told to send before the time is over.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_ECHO_SECONDS = 5.0


class StopRequest:
    """Remembers that a signal came. Until `arm` is called there is nothing to save, so it exits.

    Attributes:
        signal_name: the signal that came, or None.
        before_leaving: is called when a signal ends the process at once, with the exit status.
    """

    def __init__(self):
        self.signal_name: str | None = None
        self.before_leaving: Callable[[int], None] = lambda exit_code: None
        self._is_leaving = False
        self._asked_at = 0.0
        self._armed = False
        self._nothing_to_save = "stopped before the first step; there is nothing to save."

    def install(self) -> None:
        """Handles the signals from now on; only the main thread may call this."""
        for number in _SIGNALS:
            signal.signal(number, self._handle)

    def arm(self) -> None:
        """From now on a first signal is only remembered: the loop saves and leaves."""
        self._armed = True

    def disarm(self, saved_at: str) -> None:
        """From now on a signal exits at once: all there is to save is saved, at `saved_at`.

        So does one that has come before, while the last of it was being saved.
        """
        self._armed = False
        self._nothing_to_save = f"stopped after the last step; its state is saved in {saved_at}."
        if self.signal_name:
            self._leave(self.signal_name, self._nothing_to_save)

    def __bool__(self) -> bool:
        return self.signal_name is not None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if not self._armed:
            self._leave(name, self._nothing_to_save)
        if self.signal_name is None:
            self.signal_name, self._asked_at = name, time.monotonic()
        elif number == signal.SIGINT or time.monotonic() - self._asked_at >= _ECHO_SECONDS:
            self._leave(
                name, "stopped by a second signal; what was done since the last checkpoint is lost."
            )

    def _leave(self, name: str, message: str) -> None:
        # Not an exception: one raised inside an import or a native call may be swallowed there.
        # What is half-written is a .tmp that the next start sweeps away.
        if not self._is_leaving:  # A further signal does not wait for what the first still does.
            self._is_leaving = True
            with contextlib.suppress(Exception):
                os.write(sys.stderr.fileno(), f"\n{name}: {message}\n".encode())
                self.before_leaving(Preempted.exit_code)
        os._exit(Preempted.exit_code)
