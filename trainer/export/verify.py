"""An exported file in a process of its own, with nothing but its runtime loaded.

What the file answers is then what it answers elsewhere: the process has never seen the model.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from flowrate.errors import ExportError
from flowrate.native_log import divert_native_stderr
from trainer.export.formats import FORMATS
from trainer.export.interface import Runtime

NUM_WARMUP_CALLS = 20
NUM_TIMED_CALLS = 200

_runtime: Runtime  # Of the process that checks.


class ExportedModel:
    """A file as its own runtime sees it; use as a context.

    Every method raises ExportError where the runtime cannot load or run the file.
    """

    def __init__(self, format: str, path: Path, threads: int, log: Path):
        """Starts the process.

        Args:
            format: of the file.
            path: the file.
            threads: that the runtime may use.
            log: where the runtime's own messages go.
        """
        self._path = path
        self._log = log
        self._pool = concurrent.futures.ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), divert_native_stderr, (log,)
        )
        self._arguments = (format, path, threads)

    def __enter__(self) -> ExportedModel:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def load(self) -> tuple[str, tuple[str, ...]]:
        """Loads the file; returns the runtime's name and the class names that the file tells."""
        return self.call(_load, *self._arguments)

    def answer(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns logits and probabilities, each float32 [N, classes], of uint8 images."""
        return self.call(_answer, images)

    def latencies_ms(self, images: np.ndarray) -> np.ndarray:
        """Returns float64 [NUM_TIMED_CALLS]: the time for one image, each of these in turn."""
        return self.call(_time, images)

    def call(self, function: Callable, *arguments: Any) -> Any:
        """Returns what a function of a module gives in the process."""
        try:
            return self._pool.submit(_as_text, function, *arguments).result()
        except _RuntimeFailure as error:
            raise ExportError(f"{self._path.name}: its own runtime fails: {error}.") from None
        except BrokenProcessPool:
            text = self._log.read_text(errors="replace") if self._log.exists() else ""
            last = (text.strip().splitlines() or ["without a word"])[-1]
            raise ExportError(
                f"{self._path.name}: its own runtime ended within the test split: {last[:200]}."
            ) from None


class _RuntimeFailure(Exception):  # noqa: N818 (carries a message between processes)
    """An error of a runtime, as text: its own class may not travel between processes."""


def _as_text(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:
        line = (str(error).strip().splitlines() or [""])[0][:200]
        raise _RuntimeFailure(f"{type(error).__name__}: {line}") from None


def _load(format: str, path: Path, threads: int) -> tuple[str, tuple[str, ...]]:
    global _runtime
    module, _ = FORMATS.load(format)
    _runtime = module.load(path, threads)
    return _runtime.name, _runtime.class_names


def _answer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, probabilities = _runtime.answer(images)
    return np.asarray(logits), np.asarray(probabilities)


def _time(images: np.ndarray) -> np.ndarray:
    samples = []
    for call in range(NUM_WARMUP_CALLS + NUM_TIMED_CALLS):
        image = images[call % len(images)][None]
        started = time.perf_counter()
        _runtime.answer(image)
        samples.append(time.perf_counter() - started)
    return np.array(samples[NUM_WARMUP_CALLS:]) * 1000
