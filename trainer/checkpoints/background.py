"""Checkpoints written beside training, one at a time, on a thread of their own."""

from __future__ import annotations

import concurrent.futures
import copy
import dataclasses
import time
from collections.abc import Callable

import numpy as np

from flowrate.errors import DiskError
from trainer.checkpoints.interval import SaveInterval
from trainer.checkpoints.progress import Progress
from trainer.checkpoints.store import CheckpointStore

_MOST_FAILURES = 3
_RETRY_SECONDS = 10.0
# At the end of a run, when no step is taken meanwhile.
_LAST_RETRY_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Saved:
    """A checkpoint that is on the disk.

    Attributes:
        step: its own.
        seconds: it took to write, beside training.
        cpu_seconds: of that, what the CPU was busy with it.
    """

    step: int
    seconds: float
    cpu_seconds: float


@dataclasses.dataclass(frozen=True, eq=False)
class _Snapshot:
    arrays: dict[str, np.ndarray]
    progress: Progress

    @classmethod
    def take(cls, arrays: dict[str, np.ndarray], progress: Progress) -> _Snapshot:
        # A variable's numpy view may be the memory that the next step writes to.
        copies = {name: np.array(array) for name, array in arrays.items()}
        return cls(copies, copy.deepcopy(progress))

    @property
    def is_best(self) -> bool:
        best = self.progress.best
        return bool(best and best["step"] == self.progress.step)


# What is on the disk, in order, and what kept the rest from it.
_Outcome = tuple[list[Saved], DiskError | None]


class BackgroundSaver:
    """Writes checkpoints to a store; hashing, writing and syncing happen beside training.

    A save that fails for want of room is retried with the state of that later time; training
    continues meanwhile. The best state so far is written before any checkpoint that names it.

    Args:
        store: takes the checkpoints.
        tell: takes a line for the user.
        is_by_clock: whether saves are due by the clock, besides those that are asked for.
        lost_seconds: tells how long saves have held up training so far.
    """

    def __init__(
        self,
        store: CheckpointStore,
        tell: Callable[[str], None],
        *,
        is_by_clock: bool,
        lost_seconds: Callable[[], float] = lambda: 0.0,
    ):
        self._store = store
        self._tell = tell
        self._is_by_clock = is_by_clock
        self._lost_seconds = lost_seconds
        self._lost_before = 0.0
        self._interval = SaveInterval()
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="saver")
        self._pending: concurrent.futures.Future[_Outcome] | None = None
        self._writing: list[_Snapshot] = []
        self._latest: _Snapshot | None = None  # not on the disk yet
        self._best: _Snapshot | None = None  # not on the disk yet
        self._num_failures = 0
        self._retry_at = 0.0

    def is_due(self) -> bool:
        """Returns whether a save is due by the clock, or one that failed is to be tried again."""
        if self._pending and not self._pending.done():
            return False
        if self._num_failures:
            return time.monotonic() >= self._retry_at
        return self._is_by_clock and self._interval.is_due()

    def start(self, arrays: dict[str, np.ndarray], progress: Progress) -> list[Saved]:
        """Begins to write a checkpoint; waits first for the one before.

        Where a save has failed a moment ago it is left to `finish`, or to the next one.

        Args:
            arrays: of the state; training may change them as soon as this returns.
            progress: of the state.

        Returns:
            The checkpoints that have come to the disk since last asked.

        Raises:
            DivergedError, ClusterError: one before could not be written (CheckpointStore.save).
            DiskError: saves have failed time after time.
        """
        saved = self._wait()
        self._latest = _Snapshot.take(arrays, progress)
        if self._latest.is_best:
            self._best = self._latest
        if not self._num_failures or time.monotonic() >= self._retry_at:
            self._begin()
        return saved

    def hold_best(self, arrays: dict[str, np.ndarray], progress: Progress) -> None:
        """Keeps the best state so far in memory, to be written with the next save."""
        self._best = _Snapshot.take(arrays, progress)

    def finished(self) -> list[Saved]:
        """Returns the checkpoints that have come to the disk since last asked; raises as start."""
        return self._wait() if self._pending and self._pending.done() else []

    def finish(self) -> list[Saved]:
        """Returns when all that was started, or held, is on the disk; raises as start.

        Returns:
            The checkpoints that have come to the disk since last asked.
        """
        saved = self._wait(is_last=True)
        while self._latest or self._best:
            if self._num_failures:
                time.sleep(_LAST_RETRY_SECONDS)
            self._begin()
            saved += self._wait(is_last=True)
        return saved

    def forget(self) -> None:
        """Leaves what is not on the disk yet unwritten: the run goes back to before it."""
        self._latest = self._best = None

    def close(self) -> None:
        """Waits for the checkpoint being written, whatever comes of it."""
        self._thread.shutdown(wait=True)

    def _begin(self) -> None:
        self._interval.begin()
        # In this order: a checkpoint that names the best comes after it.
        both = (self._best, self._latest if self._latest is not self._best else None)
        self._writing = [snapshot for snapshot in both if snapshot]
        self._pending = self._thread.submit(_write, self._store, self._writing)

    def _wait(self, *, is_last: bool = False) -> list[Saved]:
        pending, self._pending = self._pending, None
        if not pending:
            return []
        saved, error = pending.result()
        written = self._writing[: len(saved)]
        self._best = None if self._best in written else self._best
        self._latest = None if self._latest in written else self._latest
        if error:
            self._take_failure(error, is_last)
        else:
            self._take_success(saved)
        return saved

    def _take_failure(self, error: DiskError, is_last: bool) -> None:
        self._num_failures += 1
        if self._num_failures >= _MOST_FAILURES:
            raise DiskError(
                f"{error} {_MOST_FAILURES} saves in a row have failed; mend that, then go on "
                "with the same command."
            ) from error
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        how = "Trying" if is_last else "Training goes on; trying"
        seconds = _LAST_RETRY_SECONDS if is_last else _RETRY_SECONDS
        self._tell(f"{error} {how} again in {seconds:.0f} s.")

    def _take_success(self, saved: list[Saved]) -> None:
        if self._num_failures:
            self._tell(f"ckpt-{saved[-1].step:08d} is saved: the disk takes checkpoints again.")
        self._num_failures = 0
        lost = self._lost_seconds()
        cost = lost - self._lost_before + sum(each.cpu_seconds for each in saved)
        self._lost_before = lost
        line = self._interval.adapt(cost, sum(each.seconds for each in saved))
        if line and self._is_by_clock:
            self._tell(line)


def _write(store: CheckpointStore, snapshots: list[_Snapshot]) -> _Outcome:
    saved: list[Saved] = []
    for snapshot in snapshots:
        started, cpu_started = time.perf_counter(), time.thread_time()
        try:
            store.save(snapshot.arrays, snapshot.progress)
        except DiskError as error:
            return saved, error
        seconds, cpu_seconds = time.perf_counter() - started, time.thread_time() - cpu_started
        saved.append(Saved(snapshot.progress.step, seconds, cpu_seconds))
    return saved, None
