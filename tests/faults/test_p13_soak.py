"""P13: a long training that is killed every minute, held against an undisturbed one and a clock.

The outside clock knows nothing of the trainer's own: a watcher notes when each step of the log is
first seen. Training that counts is, of every start, the time from its first step to the last that a
later start took over. Its share of all the time, from the first start to the last end, is
held against the `effective_training_share` that the run itself tells.
"""

from __future__ import annotations

import math
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from faults.tools import runs
from faults.tools.sizes import FULL, SEED, sized

from flowrate.records import read_json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(14400)]
# Of the memory that the first half of the starts reached.
_ALLOWED_GROWTH = 1.05
_WATCH_SECONDS = 0.05
_KILL_SECONDS, _SOAK_SECONDS = sized((4.0, 60.0), (60.0, 1800.0))
_PACE_STEPS = 5000
_EVALUATE_EVERY_STEPS = 20_000


def test_a_run_that_is_killed_again_and_again(tmp_path, record):
    """Every minute for half an hour; of every change, every 4 s for a minute."""
    flags = {"model": "cnn", "log_every_steps": 20, "deterministic": True, "report": False}
    if FULL:
        flags |= {**runs.data_flags("mnist"), "evaluate_every_steps": _EVALUATE_EVERY_STEPS}
        flags["steps"] = _steps_that_last(tmp_path / "pace", flags)
    else:
        flags |= {"dataset": "digits", "steps": 12_000, "evaluate_every_steps": 2000,
                  "checkpoint_every_steps": 100}  # fmt: skip
    reference = runs.reference(**flags)
    training = runs.Training(tmp_path / "run", **flags)
    watches, elapsed_seconds = _train_and_kill(training)
    runs.check_same_run(training.run_dir, reference)
    runs.check_no_litter(training.run_dir)
    told = read_json(training.run_dir / "result.json")["effective_training_share"]
    least, most = (seconds / elapsed_seconds for seconds in _counted_seconds(watches))
    allowed = sized(0.05, 0.01)
    assert least - allowed <= told <= most + allowed
    growth = _memory_growth(watches)
    assert growth <= _ALLOWED_GROWTH
    assert not FULL or elapsed_seconds >= _SOAK_SECONDS, "the machine has become faster"
    record(kills=len(watches) - 1, told_share=told, least_clock_share=least, most_clock_share=most,
           most_memory_growth=growth, elapsed_seconds=elapsed_seconds)  # fmt: skip


def _steps_that_last(run_dir: Path, flags: dict[str, Any]) -> int:
    """Returns so many steps as last for the soak at the pace of a short run."""
    runs.Training(run_dir, **flags, steps=_PACE_STEPS).finish()
    pace = read_json(run_dir / "result.json")["steps_per_second"]
    return math.ceil(pace * _SOAK_SECONDS / _EVALUATE_EVERY_STEPS) * _EVALUATE_EVERY_STEPS


def _train_and_kill(training: runs.Training) -> tuple[list[_Watch], float]:
    """Starts the training again until it ends; returns what was seen of each start."""
    generator = random.Random(SEED)
    began = time.monotonic()
    watches: list[_Watch] = []
    while True:
        is_over = time.monotonic() - began > _SOAK_SECONDS
        pause = float("inf") if is_over else generator.uniform(0.5, 1.5) * _KILL_SECONDS
        with runs.running(training) as process:
            watches.append(_Watch(process, training))
            watches[-1].look_for(pause)
            if process.poll() is not None:
                break
    elapsed_seconds = time.monotonic() - began
    assert process.returncode == 0, training.said()[-300:]
    assert len(watches) > 1, "the run ended before it was killed once"
    return watches, elapsed_seconds


class _Watch:
    """What is seen of one start from outside.

    Attributes:
        steps: (step, seconds of this process's clock) of each logged step, when first seen.
        training_since: seconds of this process's clock when it said that it trains; 0 before.
        most_mebibytes: of memory that it held.
    """

    def __init__(self, process: subprocess.Popen, training: runs.Training):
        self._process = process
        self._training = training
        self._facts = psutil.Process(process.pid)
        self._said = ""
        self.steps: list[tuple[int, float]] = []
        self.training_since = 0.0
        self.most_mebibytes = 0.0

    def look_for(self, seconds: float) -> None:
        """Looks until the process has ended, or so many seconds after its start.

        On a busy machine a start may take longer than the time between two kills: a short soak
        counts that time from the first logged step, so that it gets anywhere.
        """
        began = time.monotonic()

        def is_over() -> bool:
            since = began if FULL else self.steps[0][1] if self.steps else math.inf
            return time.monotonic() - since > seconds

        for line in self._new_lines(is_over):
            found = re.search(r'"step": (\d+)', line)
            if found and '"kind": "train"' in line:
                self.steps.append((int(found.group(1)), time.monotonic()))

    @property
    def from_step(self) -> int:
        """The step that the start went on from, by its own words; 0 where it began anew."""
        return runs.resumed_step(self._said) or 0

    def _new_lines(self, is_over: Callable[[], bool]) -> Iterator[str]:
        """Yields the lines that are added to metrics.jsonl once training has begun."""
        path, place, identity = self._training.metrics_path, 0, None
        while not is_over() and self._process.poll() is None:
            self._look_at_memory()
            self._said = self._training.said()
            if " steps of " in self._said and path.exists():  # The records are cut back by then.
                self.training_since = self.training_since or time.monotonic()
                with path.open() as file:
                    if identity != os.fstat(file.fileno()).st_ino:
                        identity, place = os.fstat(file.fileno()).st_ino, path.stat().st_size
                    file.seek(place)
                    yield from file
                    place = file.tell()
            time.sleep(_WATCH_SECONDS)
        self._said = self._training.said()

    def _look_at_memory(self) -> None:
        try:
            held = self._facts.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            return
        self.most_mebibytes = max(self.most_mebibytes, held)


def _counted_seconds(watches: list[_Watch]) -> tuple[float, float]:
    """Returns the least and the most seconds of training that later starts took over.

    Steps are logged in batches: when the first is seen, it has been trained already, at some time
    after the start said that it would train. So the truth lies between the two, however busy the
    machine.
    """
    least = most = 0.0
    for watch, later in zip(watches, [*watches[1:], None]):
        kept = [seen for step, seen in watch.steps if later is None or step <= later.from_step]
        if kept:
            least += kept[-1] - kept[0]
            most += kept[-1] - watch.training_since
    return least, most


def _memory_growth(watches: list[_Watch]) -> float:
    """Returns what the later starts reached over what the earlier ones did, of those that trained.

    The last is left out: it alone saves the model.
    """
    reached = [watch.most_mebibytes for watch in watches[:-1] if watch.steps]
    assert len(reached) > 1, "killed before it trained, again and again"
    half = len(reached) // 2
    return max(reached[half:]) / max(reached[:half])
