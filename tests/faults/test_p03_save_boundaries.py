"""P3: kills a save at each of its system calls that changes the disk, and reads back what is left.

A killed process has made every call before that one, and none after: there is no other moment to
be killed at. test_p03_power_loss.py checks the order of the calls.
"""

from __future__ import annotations

import collections
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faults.tools import one_save, runs, strace
from faults.tools.sizes import sized

from trainer.checkpoints.store import CheckpointStore

pytestmark = pytest.mark.slow
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


@pytest.mark.parametrize("step", [_NEW, _OLD], ids=["next_step", "same_step"])
@pytest.mark.parametrize("source", sized(("4",), ("4", "120", *_MODELS)))
def test_a_save_is_whole_or_absent(source, step, tmp_path, record):
    """Of so many arrays that are made up, or of what a training of the model has saved."""
    if not source.isdecimal():
        source = str(runs.reference(model=source, **_MODEL_FLAGS))
    folder = tmp_path
    before = folder / "before" / "checkpoints"
    one_save.save(before, _OLD, _OLD_SEED, source)
    kills, found_new = 0, 0
    for name, nth in _boundaries(before, folder, step, source):
        place = folder / "place"
        shutil.copytree(before.parent, place)
        command = _command(place / "checkpoints", step, source)
        words = [*strace.killed_at(name, nth), *command]
        done = subprocess.run(words, env=runs.environment(), capture_output=True, text=True)
        where = f"killed at {name} {nth}"
        assert done.returncode in (-9, 137), f"{where}: status {done.returncode}: {done.stderr}"
        found_new += _check_whole(place / "checkpoints", step, source, where)
        kills += 1
        shutil.rmtree(place)
    assert 0 < found_new < kills, f"of {kills} kills {found_new} left the new checkpoint"
    record(kills=kills, found_new=found_new)


def _boundaries(before: Path, folder: Path, step: int, source: str) -> list[tuple[str, int]]:
    """Returns the calls of a save, each as its name and how many of that name it takes."""
    place = folder / "counted"
    shutil.copytree(before, place)
    calls = strace.calls(_command(place, step, source), folder / "strace.log")
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
    assert {"write", "fsync", "rename"} <= names, f"a save makes only {sorted(names)}"
    return found


def _command(folder: Path, step: int, source: str) -> list[str]:
    words = (folder, step, _NEW_SEED, source)
    return [sys.executable, "-B", "-m", "faults.tools.one_save", *map(str, words)]


def _check_whole(folder: Path, step: int, source: str, where: str) -> bool:
    """Checks what a start of the run finds; returns whether that is the new checkpoint."""
    # Whoever only reads does not sweep, and must find as much.
    untouched = CheckpointStore(folder, keep=1, tell=lambda line: None).latest()
    lines: list[str] = []
    store = CheckpointStore(folder, keep=1, tell=lines.append)
    store.sweep()
    found = store.latest()
    assert found is not None, f"{where}: no checkpoint is left"
    assert found.progress == untouched.progress, f"{where}: a sweep changed what is found"
    assert not any("damaged" in line for line in lines), f"{where}: {lines}"
    is_new = found.progress.step == _NEW or _is_made_from(found.arrays, _NEW_SEED, source)
    expected = one_save.arrays(_NEW_SEED if is_new else _OLD_SEED, source)
    assert found.progress.step == (step if is_new else _OLD), f"{where}: step {found.progress}"
    for name, array in expected.items():
        assert found.arrays[name].tobytes() == array.tobytes(), f"{where}: {name} is another"
    litter = [path.name for path in folder.iterdir() if not path.name[5:].isdecimal()]
    assert not litter, f"{where}: left behind: {litter}"
    return is_new


def _is_made_from(arrays: dict[str, np.ndarray], seed: int, source: str) -> bool:
    expected = one_save.arrays(seed, source)
    return all(np.array_equal(arrays[name], array) for name, array in expected.items())


@pytest.mark.parametrize(("name", "nth"), sized(_KILLED_RUNS[:1], _KILLED_RUNS))
def test_a_training_killed_in_a_save(name, nth, tmp_path, record):
    reference = runs.reference(**_FLAGS)
    training = runs.Training(tmp_path / "run", **_FLAGS)
    with runs.running(training) as process:
        training.wait_until(process, lambda: len(training.checkpoints()) > 2)
        with strace.killing(process, name, nth):
            training.wait_until(process, lambda: False)
    assert process.returncode == -9, f"status {process.returncode}: {training.said()[-200:]}"
    saved = int(training.checkpoints()[-1].name[5:])
    assert runs.resumed_step(training.finish().stdout) == saved
    runs.check_same_run(training.run_dir, reference)
    runs.check_no_litter(training.run_dir)
    record(kills=1, steps_lost=0)
