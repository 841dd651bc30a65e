"""Watches the other workers: each keeps `status/worker-N.json`, and who falls silent is named.

TensorFlow's collectives end with an error some seconds after a worker is gone, or wait for ever
where it has only stopped; neither says who it was, and why. The files lie in the run directory,
which all workers see.

A file names the launch of the run (trainer/run_dir/launch_id.py) and the process that writes it.
A worker that sees a later launch of the same job leaves. A worker that sees another process in the
place of a connected one, or finds one connected when it starts, names it and leaves.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowrate.errors import ClusterError, FlowrateError, PeerLost, Preempted
from trainer.distributed.cluster import Cluster
from trainer.distributed.stragglers import StragglerWatch
from trainer.run_dir.launch_id import Attempt, find_attempt

_BEAT_SECONDS = 1.0
# Of the other's beats: more than a busy machine or a slow network file system holds up.
_SILENCE_SECONDS = 20.0
# Who has not looked for so long, held up itself, cannot say that another was silent.
_BLINK_SECONDS = 5.0
# For the others to say their last words, once TensorFlow has said that something is wrong.
_LAST_WORDS_SECONDS = 5.0


class PeerWatch:
    """Reports to the others that this worker lives, and ends it when one of them does not.

    Args:
        folder: `status` in the run directory.
        cluster: the workers.
        facts: returns what to report of this worker: its phase and step.
        give_up: called once, from the watching thread, with the error that names who is gone; it
            must end the process: the main thread may be waiting for ever.
        now: the time in seconds, from any start.
    """

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        facts: Callable[[], dict[str, Any]],
        give_up: Callable[[FlowrateError], object],
        now: Callable[[], float] = time.monotonic,
    ):
        self._folder = folder
        self._cluster = cluster
        self._facts = facts
        self._give_up = give_up
        self._launch = find_attempt(os.environ)
        self._began = time.time()
        self._beats = 0
        self._ending: dict[str, Any] = {}
        self._peers = {
            index: _Peer(self._path(index), self._launch, self._is_connected, now)
            for index in range(cluster.num_workers)
            if index != cluster.index
        }
        self._stragglers = StragglerWatch(
            cluster.describe, lambda line: print(f"warning: {line}", file=sys.stderr, flush=True)
        )
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="peers", daemon=True)

    def start(self) -> None:
        """Begins to write and to watch."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._beat()
        self._thread.start()

    def end(self, exit_code: int, error: str | None) -> None:
        """Says how this worker ends; watches no longer."""
        self._is_over.set()
        self._ending = {"exit_code": exit_code, "error": error}
        self._beat()

    def find_lost(self, is_certain: bool) -> PeerLost | None:
        """Returns who is gone, after TensorFlow has met an error; waits for last words.

        Args:
            is_certain: whether somebody must be gone; else None is an answer.
        """
        end = time.monotonic() + _LAST_WORDS_SECONDS
        self._is_over.set()
        while time.monotonic() < end:
            if lost := self._lost(ends_well=(0,)):
                return lost
            time.sleep(_BEAT_SECONDS / 4)
        silent = max(self._peers, key=lambda index: self._peers[index].silence_seconds)
        return self._describe_lost(silent, "TensorFlow lost the connection") if is_certain else None

    def _describe_lost(self, index: int, what: str) -> PeerLost:
        """Returns the error that names a lost worker, what befell it, and its last words."""
        status = self._peers[index].status
        words = status.get("error")
        where = _describe_place(status) if status else "its start"
        said = f": {words}" if words else f" (last seen in {where})"
        return PeerLost(f"lost {self._cluster.describe(index)}: {what}{said}")

    def look(self) -> FlowrateError | None:
        """Writes the status and checks the others once; returns the error to end with, if any."""
        own = _launch_of(_read(self._path(self._cluster.index)))
        if self._launch.is_before(own):
            return ClusterError(
                f"a later start of this run ({own}) has taken over; this worker leaves without "
                "writing."
            )
        self._beat()
        # A worker that has saved and left (143) leaves the others to save and leave.
        lost = self._lost(ends_well=(0, Preempted.exit_code))
        if not lost and self._cluster.is_chief:
            self._look_for_stragglers()
        return lost

    def _run(self) -> None:
        while not self._is_over.wait(_BEAT_SECONDS):
            if (error := self.look()) and not self._is_over.is_set():
                self._give_up(error)
                return

    def _look_for_stragglers(self) -> None:
        pace = {index: peer.status for index, peer in self._peers.items()}
        pace[self._cluster.index] = self._facts()
        name = "busy_seconds_per_step"
        self._stragglers.look({i: each[name] for i, each in pace.items() if each.get(name)})

    def _is_connected(self) -> bool:
        return bool(self._facts().get("is_connected"))

    def _beat(self) -> None:
        with self._lock:
            self._beats += 1
            status = {
                "worker": self._cluster.index, "address": self._cluster.address,
                "attempt": str(self._launch), "host": platform.node(), "pid": os.getpid(),
                "began": self._began,
                "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
                "beats": self._beats, "time": time.time(), **self._facts(), **self._ending,
            }  # fmt: skip
            path = self._path(self._cluster.index)
            temporary = path.with_suffix(".tmp")
            with contextlib.suppress(OSError):  # A full disk is reported where it matters.
                temporary.write_text(json.dumps(status))
                temporary.replace(path)

    def _lost(self, ends_well: tuple[int, ...]) -> PeerLost | None:
        for index, peer in self._peers.items():
            peer.look()
            if peer.stranger:
                return PeerLost(
                    f"{self._cluster.describe(index)} is of another start of this run: it was in "
                    f"{_describe_place(peer.stranger)}, when this worker began; end all workers "
                    "and restart all."
                )
            exit_code = peer.status.get("exit_code")
            if peer.replaced:
                return self._describe_lost(index, peer.replaced)
            if exit_code in ends_well:
                continue
            if exit_code == PeerLost.exit_code:
                return PeerLost(peer.status.get("error"))  # It has found who was lost first.
            if exit_code is not None:
                return self._describe_lost(index, f"it ended with status {exit_code}")
            if peer.is_silent:
                return self._describe_lost(index, f"no sign of life for {_SILENCE_SECONDS:.0f} s")
        return None

    def _path(self, index: int) -> Path:
        return self._folder / f"{self._cluster.name(index).replace(' ', '-')}.json"


class _Peer:
    """What is known of another worker by its file; clocks of other machines are not trusted.

    Attributes:
        status: its newest since this worker started; empty where it has given none.
        stranger: its status from before this worker started, where it was connected then and still
            runs: this worker cannot join it. Empty otherwise.
        replaced: why it is lost, where another process took its place; empty otherwise.
    """

    def __init__(
        self,
        path: Path,
        launch: Attempt,
        is_connected: Callable[[], bool],
        now: Callable[[], float],
    ):
        self._path = path
        self._launch = launch
        self._is_connected = is_connected
        self._now = now
        # What lies there from an earlier launch of the run says nothing.
        self._before = _read(path)
        self._looked = self._changed = now()
        self.status: dict[str, Any] = {}
        self.stranger: dict[str, Any] = {}
        self.replaced = ""

    @property
    def silence_seconds(self) -> float:
        """Since its file last changed, or since this worker started."""
        return self._now() - self._changed

    @property
    def is_silent(self) -> bool:
        """Whether it has been heard from, and no longer is."""
        return bool(self.status) and self.silence_seconds > _SILENCE_SECONDS

    def look(self) -> None:
        """Takes its newest status in."""
        now = self._now()
        if now - self._looked > _BLINK_SECONDS:
            self._changed = now
        self._looked = now
        status = _read(self._path)
        launch = _launch_of(status)
        if status in ({}, self._before, self.status) or launch.is_before(self._launch):
            return  # A worker of an earlier launch leaves as soon as it sees this one.
        if self._launch.is_before(launch):
            self.replaced = f"a later start of this run ({launch}) took its place"
        elif self._before.get("is_connected") and _is_same_process(status, self._before):
            self.stranger = self._before
        elif launch == self._launch and not self.replaced:
            if self._was_at_work() and not _is_same_process(status, self.status):
                self.replaced = "it was started again, alone"
            else:
                self.status, self.stranger, self._changed = status, {}, now

    def _was_at_work(self) -> bool:
        # A worker that this one is connected to was connected too, even if it has not reported it.
        is_connected = self.status.get("is_connected") or (self.status and self._is_connected())
        return bool(is_connected) and "exit_code" not in self.status


def _describe_place(status: dict[str, Any]) -> str:
    return f"{status.get('phase')}, step {status.get('step')}"


def _launch_of(status: dict[str, Any]) -> Attempt:
    return Attempt.parse(str(status.get("attempt", "")))


def _is_same_process(status: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(status.get(name) == other.get(name) for name in ("host", "pid", "began"))


def _read(path: Path) -> dict[str, Any]:
    try:
        status = json.loads(path.read_text())
        return status if isinstance(status, dict) else {}
    except (OSError, ValueError):
        return {}
