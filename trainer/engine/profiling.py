"""`--profile_steps`: a TensorBoard profile of exactly these steps."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf


class StepProfiler:
    """Profiles steps `first` to `last` (1-based, inclusive) into a TensorBoard folder.

    Args:
        steps: (first, last), or None to profile nothing.
        folder: where TensorBoard looks.
    """

    def __init__(self, steps: tuple[int, int] | None, folder: Path):
        self._first, self._last = steps or (0, 0)
        self._folder = folder
        self._is_running = False

    def cut(self, step: int, num_steps: int) -> int:
        """Shortens a call so that it ends where the profile begins or ends."""
        for boundary in (self._first - 1, self._last):
            if step <= boundary < step + num_steps:
                return boundary - step + 1
        return num_steps

    @contextlib.contextmanager
    def around(self, step: int, num_steps: int) -> Iterator[None]:
        """Starts the profile before its first step and stops it after its last.

        A run that is resumed between the two profiles what is left.
        """
        if self._first <= step <= self._last and not self._is_running:
            tf.profiler.experimental.start(str(self._folder))
            self._is_running = True
        yield
        if self._is_running and step + num_steps > self._last:
            tf.profiler.experimental.stop()
            self._is_running = False
