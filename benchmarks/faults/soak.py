"""A long training that is killed every minute, held against an undisturbed one and a clock.

The outside clock knows nothing of the trainer's own: a watcher notes when each step of the log is
first seen. Training that counts is, of every start, the time from its first logged step to the last
that a later start took over. Its share of all the time, from the first start to the last end, is
held against the `effective_training_share` that the run itself tells.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import random
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.faults import _runs
from benchmarks.faults._attempt import Attempt, check
from flowrate.records import read_json

ID = "P13"
TITLE = "killed every minute for half an hour, a run tells truly what that cost, and ends the same"

# An undisturbed run of the soak's command that is there already, of another process.
REFERENCE_VARIABLE = "FLOWRATE_SOAK_REFERENCE"
_ALLOWED_DIFFERENCE = 0.01
# Of the memory that the first starts reached, in their first minutes.
_ALLOWED_GROWTH = 1.05
_WATCH_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How long, and how often killed, on average; and what is trained."""

    kill_seconds: float
    soak_seconds: float
    flags: dict[str, Any]


def attempts(full: bool, seed: int) -> list[Attempt]:
    """Returns the soak of half an hour, or one of a minute."""
    return [Attempt("mnist cnn, 30 minutes", functools.partial(_soak_mnist, seed=seed))
            if full else Attempt("digits cnn, a minute", functools.partial(_soak_digits, seed=seed))
            ]  # fmt: skip


def _soak_digits(folder: Path, seed: int) -> dict[str, float]:
    flags = {
        "dataset": "digits", "model": "cnn", "steps": 12_000, "log_every_steps": 20,
        "evaluate_every_steps": 2000, "checkpoint_every_steps": 100, "deterministic": True,
        "report": False,
    }  # fmt: skip
    return _soak(folder, _Plan(12.0, 60.0, flags), seed, allowed_difference=0.05)


def _soak_mnist(folder: Path, seed: int) -> dict[str, float]:
    flags = {
        **_runs.data_flags("mnist"), "model": "cnn", "steps": 240_000, "log_every_steps": 20,
        "evaluate_every_steps": 20_000, "deterministic": True, "report": False,
    }  # fmt: skip
    return _soak(folder, _Plan(60.0, 1800.0, flags), seed, _ALLOWED_DIFFERENCE)


def _soak(folder: Path, plan: _Plan, seed: int, allowed_difference: float) -> dict[str, float]:
    given = os.environ.get(REFERENCE_VARIABLE)
    reference = Path(given) if given else _runs.reference(**plan.flags)
    training = _runs.Training(folder / "run", **plan.flags)
    watches, kills, elapsed_seconds = _train_and_kill(training, plan, random.Random(seed))
    _runs.check_same_run(training.run_dir, reference)
    _runs.check_no_litter(training.run_dir)
    told = read_json(training.run_dir / "result.json")["effective_training_share"]
    seen = _counted_seconds(watches) / elapsed_seconds
    check(
        abs(told - seen) <= allowed_difference,
        f"the run tells of {told:.1%} training that counts, a clock beside it of {seen:.1%}",
    )
    most_mebibytes = [watch.most_mebibytes for watch in watches]
    growth = most_mebibytes[-1] / most_mebibytes[0]
    check(growth <= _ALLOWED_GROWTH, f"memory grew to {growth:.3f} times that of the first start")
    return {
        "kills": kills, "told_share": told, "clock_share": seen, "most_memory_growth": growth,
        "elapsed_seconds": elapsed_seconds,
    }  # fmt: skip


def _train_and_kill(
    training: _runs.Training, plan: _Plan, generator: random.Random
) -> tuple[list[_Watch], int, float]:
    """Starts the training again until it ends; returns what was seen of each start."""
    began = time.monotonic()
    watches: list[_Watch] = []
    while True:
        is_over = time.monotonic() - began > plan.soak_seconds
        pause = float("inf") if is_over else generator.uniform(0.5, 1.5) * plan.kill_seconds
        with _runs.running(training) as process:
            watch = _Watch(process, training)
            watches.append(watch)
            watch.look_for(pause)
            if process.poll() is not None:
                break
        print(f"    kill {len(watches)} at {time.monotonic() - began:.0f} s, "
              f"step {watch.steps[-1][0] if watch.steps else 0:,}", flush=True)  # fmt: skip
    elapsed_seconds = time.monotonic() - began
    check(process.returncode == 0, f"status {process.returncode}: {training.said()[-300:]}")
    check(len(watches) > 1, "the run ended before it was killed once")
    return watches, len(watches) - 1, elapsed_seconds


class _Watch:
    """What is seen of one start from outside.

    Attributes:
        steps: (step, seconds of this process's clock) of each logged step, when first seen.
        most_mebibytes: of memory that it held.
    """

    def __init__(self, process: subprocess.Popen, training: _runs.Training):
        self._process = process
        self._training = training
        self._facts = psutil.Process(process.pid)
        self._said = ""
        self.steps: list[tuple[int, float]] = []
        self.most_mebibytes = 0.0

    def look_for(self, seconds: float) -> None:
        """Looks until the process has ended, or so many seconds are over."""
        end = time.monotonic() + seconds
        for line in self._new_lines(end):
            found = re.search(r'"step": (\d+)', line)
            if found and '"kind": "train"' in line:
                self.steps.append((int(found.group(1)), time.monotonic()))

    @property
    def from_step(self) -> int:
        """The step that the start went on from, by its own words; 0 where it began anew."""
        said = re.findall(r"resumed from step ([0-9,]+)", self._said)
        return int(said[-1].replace(",", "")) if said else 0

    def _new_lines(self, end: float) -> Iterator[str]:
        """Yields the lines that are added to metrics.jsonl once training has begun."""
        path, place, identity = self._training.metrics_path, 0, None
        while time.monotonic() < end and self._process.poll() is None:
            self._look_at_memory()
            self._said = self._training.said()
            if " steps of " in self._said and path.exists():  # The records are cut back by then.
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


def _counted_seconds(watches: list[_Watch]) -> float:
    """Returns the seconds of training, over all starts, that later starts took over."""
    total = 0.0
    for watch, later in zip(watches, [*watches[1:], None]):
        kept = [seen for step, seen in watch.steps if later is None or step <= later.from_step]
        if kept:
            total += kept[-1] - kept[0]
    return total
