"""A long training that is killed every minute, held against an undisturbed one and a clock.

The outside clock knows nothing of the trainer's own: a watcher notes when each step of the log is
first seen. Training that counts is, of every start, the time from its first step to the last that a
later start took over. Its share of all the time, from the first start to the last end, is
held against the `effective_training_share` that the run itself tells.
"""

from __future__ import annotations

import dataclasses
import functools
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

from benchmarks.faults import _runs
from benchmarks.faults._attempt import Attempt, check
from flowrate.records import read_json

ID = "P13"
TITLE = "killed every minute for half an hour, a run tells truly what that cost, and ends the same"

# The run directory of an undisturbed run of the same command, by another process; waited for.
REFERENCE_VARIABLE = "FLOWRATE_SOAK_REFERENCE"
_ALLOWED_DIFFERENCE = 0.01
# Of the memory that the first half of the starts reached.
_ALLOWED_GROWTH = 1.05
_WATCH_SECONDS = 0.05
_SOAK_SECONDS = 1800.0
_PACE_STEPS = 5000
_EVALUATE_EVERY_STEPS = 20_000


@dataclasses.dataclass(frozen=True)
class _Plan:
    """How long, and how often killed, on average; and what is trained.

    On a busy machine a start may take longer than the time between two kills: a short soak counts
    that time from each start's first logged step, so that it gets anywhere.
    """

    kill_seconds: float
    soak_seconds: float
    flags: dict[str, Any]
    waits_for_steps: bool = False


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
    plan = _Plan(4.0, 60.0, flags, waits_for_steps=True)
    return _soak(folder, plan, seed, allowed_difference=0.05)


def _soak_mnist(folder: Path, seed: int) -> dict[str, float]:
    flags = {
        **_runs.data_flags("mnist"), "model": "cnn", "log_every_steps": 20,
        "evaluate_every_steps": _EVALUATE_EVERY_STEPS, "deterministic": True, "report": False,
    }  # fmt: skip
    flags["steps"] = _steps_that_last(folder / "pace", _SOAK_SECONDS, flags)
    found = _soak(folder, _Plan(60.0, _SOAK_SECONDS, flags), seed, _ALLOWED_DIFFERENCE)
    check(
        found["elapsed_seconds"] >= _SOAK_SECONDS,
        f"over after {found['elapsed_seconds']:,.0f} s, before half an hour was; "
        "the machine has become faster on the way",
    )
    return found


def _steps_that_last(run_dir: Path, seconds: float, flags: dict[str, Any]) -> int:
    """Returns the reference's steps, or so many as last that long at the pace of a short run."""
    given = os.environ.get(REFERENCE_VARIABLE)
    if given:
        return read_json(Path(given) / "config.json")["steps"]
    _runs.Training(run_dir, **flags, steps=_PACE_STEPS).finish()
    pace = read_json(run_dir / "result.json")["steps_per_second"]
    return math.ceil(pace * seconds / _EVALUATE_EVERY_STEPS) * _EVALUATE_EVERY_STEPS


def _soak(folder: Path, plan: _Plan, seed: int, allowed_difference: float) -> dict[str, float]:
    given = os.environ.get(REFERENCE_VARIABLE)
    reference = Path(given) if given else _runs.reference(**plan.flags)
    training = _runs.Training(folder / "run", **plan.flags)
    watches, kills, elapsed_seconds = _train_and_kill(training, plan, random.Random(seed))
    while not (reference / "result.json").exists():
        time.sleep(1)
    _runs.check_same_run(training.run_dir, reference)
    _runs.check_no_litter(training.run_dir)
    told = read_json(training.run_dir / "result.json")["effective_training_share"]
    least, most = (seconds / elapsed_seconds for seconds in _counted_seconds(watches))
    check(
        least - allowed_difference <= told <= most + allowed_difference,
        f"the run tells of {told:.1%} training that counts, "
        f"a clock beside it of {least:.1%} to {most:.1%}",
    )
    growth = _memory_growth(watches)
    check(growth <= _ALLOWED_GROWTH, f"memory grew to {growth:.3f} times that of the first starts")
    return {
        "kills": kills, "told_share": told, "least_clock_share": least, "most_clock_share": most,
        "most_memory_growth": growth, "elapsed_seconds": elapsed_seconds,
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
            watch.look_for(pause, plan.waits_for_steps)
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
        training_since: seconds of this process's clock when it said that it trains; 0 before.
        most_mebibytes: of memory that it held.
    """

    def __init__(self, process: subprocess.Popen, training: _runs.Training):
        self._process = process
        self._training = training
        self._facts = psutil.Process(process.pid)
        self._said = ""
        self.steps: list[tuple[int, float]] = []
        self.training_since = 0.0
        self.most_mebibytes = 0.0

    def look_for(self, seconds: float, waits_for_steps: bool) -> None:
        """Looks until the process has ended, or so many seconds after its start, or first step."""
        began = time.monotonic()

        def is_over() -> bool:
            since = self.steps[0][1] if waits_for_steps and self.steps else began
            return bool(self.steps or not waits_for_steps) and time.monotonic() - since > seconds

        for line in self._new_lines(is_over):
            found = re.search(r'"step": (\d+)', line)
            if found and '"kind": "train"' in line:
                self.steps.append((int(found.group(1)), time.monotonic()))

    @property
    def from_step(self) -> int:
        """The step that the start went on from, by its own words; 0 where it began anew."""
        said = re.findall(r"resumed from step ([0-9,]+)", self._said)
        return int(said[-1].replace(",", "")) if said else 0

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
    check(len(reached) > 1, "killed before it trained, again and again")
    half = len(reached) // 2
    return max(reached[half:]) / max(reached[:half])
