"""Kills a save at each of its system calls that changes the disk, and reads back what is left.

A killed process has made every call before that one, and none after: there is no other moment to
be killed at. tests/trainer/test_durability.py checks the order that outlives a loss of power.
"""

from __future__ import annotations

import collections
import functools
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.faults import _one_save, _runs, _strace
from benchmarks.faults._attempt import Attempt, check
from trainer.checkpoints.store import CheckpointStore

ID = "P3"
TITLE = "killed at any system call of a save, a whole checkpoint is left, and no litter"

_OLD, _NEW = 10, 20
# What the arrays of the checkpoint before, and of the one that is saved, are made from.
_OLD_SEED, _NEW_SEED = 1, 2
_FLAGS = {
    "dataset": "digits", "model": "mlp64", "steps": 4000, "checkpoint_every_steps": 20,
    "log_every_steps": 10, "evaluate_every_steps": 500, "deterministic": True, "report": False,
}  # fmt: skip
# Small ones: each is saved some hundred times.
_MODELS = ("mlp64", "cnn", "flowers_cnn")
_MODEL_FLAGS = {
    "dataset": "digits", "steps": 20, "checkpoint_every_steps": 10, "keep_checkpoints": 2,
    "ema_decay": 0.9, "report": False,
}  # fmt: skip
# A save calls fsync five times and rename twice, and unlinkat where it deletes an older one.
_KILLED_RUNS = (
    ("rename", 1), ("rename", 2), ("unlinkat", 1), ("unlinkat", 2), ("unlinkat", 3),
    *(("fsync", nth) for nth in range(1, 6)),
)  # fmt: skip


def attempts(full: bool, seed: int) -> list[Attempt]:
    """Returns a save after another and one of the same step: of few arrays, or of models too."""
    saves = (("the next step", _NEW), ("the same step again", _OLD))
    made = [
        Attempt(
            f"{what}, {count} arrays",
            functools.partial(_kill_everywhere, step=step, source=str(count)),
        )
        for count in ((4, 120) if full else (4,))
        for what, step in saves
    ] + [
        Attempt(f"{what}, {model}", functools.partial(_kill_model, model, step))
        for model in (_MODELS if full else ())
        for what, step in saves
    ]
    runs = [
        Attempt(f"a training, killed at {name} {nth}", functools.partial(_kill_run, name, nth))
        for name, nth in _KILLED_RUNS[: None if full else 1]
    ]
    return [*made, *runs]


def _kill_model(model: str, step: int, folder: Path) -> dict[str, float]:
    """Kills saves of what a training of the model has saved after steps 10 and 20."""
    return _kill_everywhere(folder, step, str(_runs.reference(model=model, **_MODEL_FLAGS)))


def _kill_everywhere(folder: Path, step: int, source: str) -> dict[str, float]:
    before = folder / "before" / "checkpoints"
    _one_save.save(before, _OLD, _OLD_SEED, source)
    kills, found_new = 0, 0
    for name, nth in _boundaries(before, folder, step, source):
        place = folder / "place"
        shutil.copytree(before.parent, place)
        command = _command(place / "checkpoints", step, source)
        words = [*_strace.killed_at(name, nth), *command]
        done = subprocess.run(words, cwd=_runs.ROOT, capture_output=True, text=True)
        where = f"killed at {name} {nth}"
        check(done.returncode in (-9, 137), f"{where}: status {done.returncode}: {done.stderr}")
        found_new += _check_whole(place / "checkpoints", step, source, where)
        kills += 1
        shutil.rmtree(place)
    check(0 < found_new < kills, f"of {kills} kills {found_new} left the new checkpoint")
    return {"kills": kills, "found_new": found_new}


def _boundaries(before: Path, folder: Path, step: int, source: str) -> list[tuple[str, int]]:
    """Returns the calls of a save, each as its name and how many of that name it takes."""
    place = folder / "counted"
    shutil.copytree(before, place)
    calls = _strace.calls(_command(place, step, source), folder / "strace.log")
    shutil.rmtree(place)
    seen: collections.Counter[str] = collections.Counter()
    found = []
    for call in calls:
        if call.task != calls[0].task:
            continue  # strace counts for each thread of its own.
        seen[call.name] += 1
        if any(path.is_relative_to(place) for path in call.paths()):
            found.append((call.name, seen[call.name]))
    names = {name for name, _ in found}
    check({"write", "fsync", "rename"} <= names, f"a save makes only {sorted(names)}")
    return found


def _command(folder: Path, step: int, source: str) -> list[str]:
    words = (folder, step, _NEW_SEED, source)
    return [sys.executable, "-B", "-m", "benchmarks.faults._one_save", *map(str, words)]


def _check_whole(folder: Path, step: int, source: str, where: str) -> bool:
    """Checks what a start of the run finds; returns whether that is the new checkpoint."""
    # Whoever only reads does not sweep, and must find as much.
    untouched = CheckpointStore(folder, keep=1, tell=lambda line: None).latest()
    lines: list[str] = []
    store = CheckpointStore(folder, keep=1, tell=lines.append)
    store.sweep()
    found = store.latest()
    check(found is not None and untouched is not None, f"{where}: no checkpoint is left")
    check(found.progress == untouched.progress, f"{where}: a sweep changed what is found")
    check(not any("damaged" in line for line in lines), f"{where}: {lines}")
    is_new = found.progress.step == _NEW or _is_made_from(found.arrays, _NEW_SEED, source)
    expected = _one_save.arrays(_NEW_SEED if is_new else _OLD_SEED, source)
    check(found.progress.step == (step if is_new else _OLD), f"{where}: step {found.progress}")
    for name, array in expected.items():
        check(found.arrays[name].tobytes() == array.tobytes(), f"{where}: {name} is another")
    litter = [path.name for path in folder.iterdir() if not path.name[5:].isdecimal()]
    check(not litter, f"{where}: left behind: {litter}")
    return is_new


def _is_made_from(arrays: dict[str, np.ndarray], seed: int, source: str) -> bool:
    expected = _one_save.arrays(seed, source)
    return all(np.array_equal(arrays[name], array) for name, array in expected.items())


def _kill_run(name: str, nth: int, folder: Path) -> dict[str, float]:
    """Kills a training in one of its saves, and lets the same command end it."""
    reference = _runs.reference(**_FLAGS)
    training = _runs.Training(folder / "run", **_FLAGS)
    with _runs.running(training) as process:
        training.wait_until(process, lambda: len(training.checkpoints()) > 2)
        with _strace.killing(process, name, nth):
            training.wait_until(process, lambda: False)
    check(process.returncode == -9, f"status {process.returncode}: {training.said()[-200:]}")
    saved = int(training.checkpoints()[-1].name[5:])
    ended = training.finish()
    resumed = f"resumed from step {saved:,} ("
    check(resumed in ended.stdout, f"not {resumed!r}: {ended.stdout[-500:]}")
    _runs.check_same_run(training.run_dir, reference)
    _runs.check_no_litter(training.run_dir)
    return {"kills": 1, "steps_lost": 0}
