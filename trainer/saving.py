"""Checkpoints written while training goes on, one at a time, on a thread of their own."""

from __future__ import annotations

import concurrent.futures
import copy
import dataclasses
import time

import numpy as np

from trainer.checkpoints import CheckpointStore
from trainer.progress import Progress


@dataclasses.dataclass(frozen=True)
class Saved:
    """A checkpoint that is on the disk: its step, and the seconds it took to write."""

    step: int
    seconds: float


class BackgroundSaver:
    """Writes checkpoints to a store.

    The arrays are copied from the devices before `start` returns, so training may change them at
    once; hashing, writing and syncing to the disk happen beside it.
    """

    def __init__(self, store: CheckpointStore):
        self._store = store
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="saver")
        self._pending: concurrent.futures.Future[Saved] | None = None

    def start(self, arrays: dict[str, np.ndarray], progress: Progress) -> Saved | None:
        """Begins to write a checkpoint; waits first for the one before, and returns it.

        Raises:
            DivergedError, DiskError: the one before could not be written (CheckpointStore.save).
        """
        before = self.wait()
        # A variable's numpy view may be the memory that the next step writes to.
        arrays = {name: np.array(array) for name, array in arrays.items()}
        self._pending = self._thread.submit(self._save, arrays, copy.deepcopy(progress))
        return before

    def wait(self) -> Saved | None:
        """Waits for the checkpoint being written and returns it; None where there is none.

        Raises:
            DivergedError, DiskError: it could not be written.
        """
        pending, self._pending = self._pending, None
        return pending.result() if pending else None

    def close(self) -> None:
        """Waits for the checkpoint being written, whatever comes of it."""
        self._thread.shutdown(wait=True)

    def _save(self, arrays: dict[str, np.ndarray], progress: Progress) -> Saved:
        started = time.perf_counter()
        self._store.save(arrays, progress)
        return Saved(progress.step, time.perf_counter() - started)
