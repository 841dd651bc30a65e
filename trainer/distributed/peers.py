"""Watches the other workers: each keeps `status/worker-N.json`, and who falls silent is named.

TensorFlow's collectives end with an error some seconds after a worker is gone, or wait for ever
where it has only stopped; neither says who it was, and why. The files lie in the run directory,
which all workers see.
"""

from __future__ import annotations

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
# For the workers of an earlier start, cut off, to be followed by those of this one.
_FOLLOW_SECONDS = 30.0
_TAKEN_OVER = "a later start of this run ({}) has taken over; this worker leaves without writing."


class PeerWatch:
    """Tells the others that this worker lives, and ends it when one of them does not.

    Args:
        folder: `status` in the run directory.
        cluster: the workers.
        facts: what to tell of this worker: its phase and step.
        give_up: called once, from the watching thread, with the error that names who is gone; it
            must end the process: the main thread may be waiting for ever.
    """

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        facts: Callable[[], dict[str, Any]],
        give_up: Callable[[FlowrateError], None],
    ):
        self._folder = folder
        self._cluster = cluster
        self._facts = facts
        self._give_up = give_up
        self._attempt = find_attempt(os.environ)
        self._began = time.time()
        self._beats = 0
        self._ending: dict[str, Any] = {}
        self._peers = {
            index: _Peer(self._path(index), self._attempt, self._is_connected)
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
        where = f"{status.get('phase')}, step {status.get('step')}" if status else "its start"
        said = f": {words}" if words else f" (last seen in {where})"
        return PeerLost(f"lost {self._cluster.describe(index)}: {what}{said}")

    def _run(self) -> None:
        while not self._is_over.wait(_BEAT_SECONDS):
            if later := self._later_attempt():
                self._give_up(ClusterError(_TAKEN_OVER.format(later)))
                return
            self._beat()
            if stranger := self._find_stranger():
                self._give_up(stranger)
                return
            # A worker that has saved and left (143) leaves the others to save and leave.
            lost = self._lost(ends_well=(0, Preempted.exit_code))
            if lost and not self._is_over.is_set():
                self._give_up(lost)
                return
            if self._cluster.is_chief:
                self._look_for_stragglers()

    def _look_for_stragglers(self) -> None:
        pace = {index: peer.status for index, peer in self._peers.items()}
        pace[self._cluster.index] = self._facts()
        name = "busy_seconds_per_step"
        self._stragglers.look({i: each[name] for i, each in pace.items() if each.get(name)})

    def _is_connected(self) -> bool:
        return bool(self._facts().get("is_connected"))

    def _later_attempt(self) -> Attempt | None:
        """Returns the later start of this run that writes this worker's status now, if any."""
        status = _read(self._path(self._cluster.index))
        found = Attempt.parse(str(status.get("attempt", "")))
        return found if self._attempt.is_before(found) else None

    def _find_stranger(self) -> PeerLost | None:
        """Returns the error that names a worker of another start, whom this one cannot join."""
        for index, peer in self._peers.items():
            if status := peer.look_for_stranger():
                return PeerLost(
                    f"{self._cluster.describe(index)} is of another start of this run: it was in "
                    f"{status.get('phase')}, step {status.get('step')}, when this worker began; "
                    "end all workers and restart all."
                )
        return None

    def _beat(self) -> None:
        with self._lock:
            self._beats += 1
            status = {
                "worker": self._cluster.index, "address": self._cluster.address,
                "attempt": str(self._attempt), "host": platform.node(), "pid": os.getpid(),
                "began": self._began,
                "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
                "beats": self._beats, "time": time.time(), **self._facts(), **self._ending,
            }  # fmt: skip
            path = self._path(self._cluster.index)
            temporary = path.with_suffix(".tmp")
            try:
                temporary.write_text(json.dumps(status))
                temporary.replace(path)
            except OSError:
                pass  # A full disk is met, and told of, where it matters.

    def _lost(self, ends_well: tuple[int, ...]) -> PeerLost | None:
        for index, peer in self._peers.items():
            status = peer.look()
            if peer.has_been_replaced:
                return self._describe_lost(index, "it was started again, alone")
            exit_code = status.get("exit_code")
            if exit_code in ends_well:
                continue
            if exit_code == PeerLost.exit_code:
                return PeerLost(status.get("error"))  # It has found who was lost first.
            if exit_code is not None:
                return self._describe_lost(index, f"it ended with status {exit_code}")
            if peer.has_been_seen and peer.silence_seconds > _SILENCE_SECONDS:
                return self._describe_lost(index, f"no sign of life for {_SILENCE_SECONDS:.0f} s")
        return None

    def _path(self, index: int) -> Path:
        return self._folder / f"{self._cluster.name(index).replace(' ', '-')}.json"


class _Peer:
    """What is known of another worker by its file; clocks of other machines are not trusted."""

    def __init__(self, path: Path, attempt: Attempt, is_connected: Callable[[], bool]):
        self._path = path
        self._is_connected = is_connected
        self._attempt = str(attempt)
        # What lies there from an earlier start of the run says nothing.
        self._before = _read(path)
        self._looked = self._changed = time.monotonic()
        self._stranger: dict[str, Any] = {}
        self._stranger_since = self._stranger_changed = 0.0
        self.status: dict[str, Any] = {}
        # Whether another process came in the place of one that had been connected.
        self.has_been_replaced = False

    @property
    def has_been_seen(self) -> bool:
        return bool(self.status)

    @property
    def silence_seconds(self) -> float:
        return time.monotonic() - self._changed

    def look(self) -> dict[str, Any]:
        """Returns its newest status; empty where it has given none since this worker started."""
        now = time.monotonic()
        if now - self._looked > _BLINK_SECONDS:
            self._changed = now
        self._looked = now
        status = _read(self._path)
        is_new = status not in ({}, self._before, self.status)
        if is_new and self._before.get("is_connected") and _is_same_process(status, self._before):
            # It was connected without this worker.
            if status != self._stranger:
                self._stranger, self._stranger_changed = status, now
            self._stranger_since = self._stranger_since or now
        # A worker of an earlier start, on a node that was cut off, may write there too.
        elif is_new and status.get("attempt", "") == self._attempt:
            # Whoever this worker is connected to was connected too, whether or not it has said so.
            was_connected = self.status.get("is_connected") or (
                self.status and self._is_connected()
            )
            is_at_work = was_connected and "exit_code" not in self.status
            if is_at_work and not _is_same_process(status, self.status):
                self.has_been_replaced = True
                return self.status
            self.status = status
            self._changed = now
        return self.status

    def look_for_stranger(self) -> dict[str, Any] | None:
        """Returns what it told when this worker began, where it is of another start.

        Where that is an earlier start of the same job, its workers have some time to go.
        """
        self.look()
        if not self._stranger or self.has_been_seen:
            return None
        there = Attempt.parse(str(self._before.get("attempt", "")))
        if not there.is_before(Attempt.parse(self._attempt)):
            return self._before
        now = time.monotonic()
        has_gone = "exit_code" in self._stranger or now - self._stranger_changed > _SILENCE_SECONDS
        has_waited = now - self._stranger_since >= _FOLLOW_SECONDS
        return self._before if has_waited and not has_gone else None


def _is_same_process(status: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(status.get(name) == other.get(name) for name in ("host", "pid", "began"))


def _read(path: Path) -> dict[str, Any]:
    try:
        status = json.loads(path.read_text())
        return status if isinstance(status, dict) else {}
    except (OSError, ValueError):
        return {}
