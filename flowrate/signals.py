"""Being asked to stop: a first signal means save and leave, a second one means leave at once.

Schedulers ask more than once: Slurm signals a job's steps, and srun, signalled too, passes it on to
them. A signal right after the first one is the same request, unless it is Ctrl-C.

Python handles signals on the main thread alone, and not before native code returns, which for a
compilation may be a minute, longer than schedulers wait. So a second thread receives them too, and
does what the main thread would have done where that cannot.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from flowrate.errors import FlowrateError, Preempted

# SIGUSR1 is what Slurm can be told to send before the time is over.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_ECHO_SECONDS = 5.0
# A second Ctrl-C takes a person longer; sooner, a child just forked has told of the first one.
_LEAST_SECONDS_BETWEEN = 0.2
# After so long the main thread does not answer; it takes milliseconds where it can.
_MOST_NATIVE_SECONDS = 2.0
_MOST_NATIVE_SECONDS_AT_ONCE = 1.0
_LOOK_SECONDS = 0.25
_AT_ONCE = "stopped by a second signal; what was done since the last checkpoint is lost."


class StopRequest:
    """Remembers that a signal came. Until `arm` is called there is nothing to save, so it exits.

    Attributes:
        signal_name: the signal that came, or None.
        before_leaving: is called when a signal ends the process at once, with the exit status.
        give_up: ends the process with an error, from any thread.
    """

    def __init__(self) -> None:
        self.signal_name: str | None = None
        self.before_leaving: Callable[[int], None] = lambda exit_code: None
        self.give_up: Callable[[FlowrateError], None] = lambda error: os._exit(error.exit_code)
        self._is_leaving = False
        self._asked_at = 0.0
        self._armed = False
        self._has_trained: Callable[[], bool] = lambda: True
        self._save: Callable[[str], None] | None = None
        self._save_lock = threading.Lock()
        self._listener: threading.Thread | None = None
        self._nothing_to_save = "stopped before the first step; there is nothing to save."

    def install(self) -> None:
        """Handles the signals for the rest of the process; only the main thread may call this.

        Whoever replaces a handler takes that signal over: the second thread leaves it alone.
        """
        for number in _SIGNALS:
            signal.signal(number, self._handle)
        if self._listener is None:
            heard, told = os.pipe()
            os.set_blocking(told, False)
            signal.set_wakeup_fd(told, warn_on_full_buffer=False)
            self._listener = threading.Thread(
                target=self._listen, args=(heard,), name="signals", daemon=True
            )
            self._listener.start()

    def arm(self, has_trained: Callable[[], bool] = lambda: True) -> None:
        """From now on a first signal is only remembered: the loop saves and leaves.

        Args:
            has_trained: tells whether there is anything to save. Until then the loop is not waited
                for longer than 2 seconds.
        """
        self._has_trained = has_trained
        self._armed = True

    @contextlib.contextmanager
    def saved_meanwhile(self, save: Callable[[str], None]) -> Iterator[None]:
        """Within the block, native code is not waited for longer than 2 seconds.

        Args:
            save: is given the signal's name; saves what there is, on another thread, while the
                block goes on, and raises what the process is to end with: Preempted, or a reason
                why it could not. Errors of other kinds are left to the main thread's own try.
        """
        self._save = save
        try:
            yield
        finally:
            with self._save_lock:  # For ever where a save is under way: the process ends with it.
                self._save = None

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
            self._leave(name, _AT_ONCE)

    def _listen(self, heard: int) -> None:
        """Leaves where `_handle`, on the main thread, would have, but is not come to."""
        first_at = second_at = float("inf")
        first = second = signal.SIGTERM
        while True:
            is_idle = first_at == float("inf")
            ready, _, _ = select.select([heard], [], [], None if is_idle else _LOOK_SECONDS)
            now = time.monotonic()
            number = os.read(heard, 1)[0] if ready else 0
            if number not in _SIGNALS or signal.getsignal(number) != self._handle:
                pass
            elif is_idle:
                first, first_at = signal.Signals(number), now
            elif now - first_at >= _echo_seconds(number):
                second, second_at = signal.Signals(number), min(second_at, now)
            if now - second_at > _MOST_NATIVE_SECONDS_AT_ONCE:
                self._leave(second.name, _AT_ONCE)
            if now - first_at > _MOST_NATIVE_SECONDS:
                if not (self._armed and self._has_trained()):
                    self._leave(first.name, self._nothing_to_save)
                if self._save and not self._save_lock.locked():
                    # On a thread of its own: this one goes on to hear of a second signal.
                    threading.Thread(
                        target=self._save_and_leave, args=(first.name,), daemon=True
                    ).start()

    def _save_and_leave(self, name: str) -> None:
        with self._save_lock, contextlib.suppress(Exception):
            save, self._save = self._save, None
            try:
                if save:
                    save(name)
            except FlowrateError as error:
                self.give_up(error)

    def _leave(self, name: str, message: str) -> None:
        # Not an exception: one raised inside an import or a native call may be swallowed there.
        # What is half-written is a .tmp that the next start sweeps away.
        if not self._is_leaving:  # A further signal does not wait for what the first still does.
            self._is_leaving = True
            with contextlib.suppress(Exception):
                os.write(sys.stderr.fileno(), f"\n{name}: {message}\n".encode())
                self.before_leaving(Preempted.exit_code)
        os._exit(Preempted.exit_code)


def _echo_seconds(number: int) -> float:
    return _LEAST_SECONDS_BETWEEN if number == signal.SIGINT else _ECHO_SECONDS
