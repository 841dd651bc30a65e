"""Bits flipped, files cut short and deleted in the newest checkpoint, and in all of them.

One training makes the checkpoints; copies of its run directory are damaged at places drawn from a
seed. Most copies are read as the trainer reads them, by its own CheckpointStore in this process;
some are gone on with by a real trainer, to the bits of the undisturbed run.
"""

from __future__ import annotations

import functools
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults import _runs
from benchmarks.faults._attempt import Attempt, check
from flowrate.errors import RunDirError
from trainer.checkpoints.store import ARRAYS, MANIFEST, PROGRESS, CheckpointStore

ID = "P4"
TITLE = "a damaged checkpoint is noticed and named, and the one before is used; never step 0"

_FILES = (ARRAYS, PROGRESS, MANIFEST)
_FLAGS = {
    "dataset": "digits", "model": "mlp", "steps": 60, "checkpoint_every_steps": 20,
    "evaluate_every_steps": 20, "log_every_steps": 5, "keep_checkpoints": 3,
    "deterministic": True, "report": False,
}  # fmt: skip
_STEPS = (20, 40, 60)


def attempts(full: bool, seed: int) -> list[Attempt]:
    """Returns the damages, those of one kind in one attempt: 40 and 270 in all, and the resumes."""
    counts = (200, 50, 20) if full else (25, 10, 5)
    kinds = {"bits flipped": _flip, "files cut short": _cut, "files deleted": _delete}
    resumes = {
        "resumed after a flipped bit": (_flip, 1),
        "resumed after two damaged": (_flip, 2),
        "resumed after a file cut short": (_cut, 1),
        "resumed after a deleted file": (_delete, 1),
        "refused after all damaged": (_flip, 3),
    }
    return [
        *(
            Attempt(f"{count} {name}", functools.partial(_read, damage, count, seed))
            for (name, damage), count in zip(kinds.items(), counts)
        ),
        *(
            Attempt(name, functools.partial(_resume, damage, num_damaged, seed))
            for name, (damage, num_damaged) in resumes.items()
        ),
        Attempt("refused after all deleted", _refuse_after_deletion),
        Attempt("begun again before the first checkpoint", _begin_again),
    ]


def _read(damage: Callable, count: int, seed: int, folder: Path) -> dict[str, float]:
    """Damages the newest checkpoint again and again, and reads what is left as the trainer does."""
    generator = random.Random(seed)
    original = _runs.reference(**_FLAGS) / "checkpoints"
    expected = CheckpointStore(original, 3, print).read(_STEPS[-2])
    for number in range(count):
        copy = Path(shutil.copytree(original, folder / str(number)))
        name = _FILES[number % len(_FILES)]
        newest = copy / f"ckpt-{_STEPS[-1]:08d}"
        what = damage(newest / name, generator)
        lines: list[str] = []
        found = CheckpointStore(copy, 3, lines.append).latest()
        check(found.progress.step == _STEPS[-2], f"{what}: not noticed")
        check(
            len(lines) == 1 and lines[0].startswith(f"{newest.name} damaged: "), f"{what}: {lines}"
        )
        # Where the manifest is wrong, the file that it promises something else of may be named.
        check(name in lines[0] or name == MANIFEST, f"{what}: {lines[0]}")
        check(newest.with_suffix(".damaged").is_dir(), f"{what}: not set aside")
        for array, value in expected.arrays.items():
            check(found.arrays[array].tobytes() == value.tobytes(), f"{what}: {array} differs")
        shutil.rmtree(copy)
    return {"damages": count, "noticed": count}


def _resume(damage: Callable, num_damaged: int, seed: int, folder: Path) -> dict[str, float]:
    """Damages the newest checkpoints of an interrupted run, and lets the trainer go on with it."""
    generator = random.Random(seed)
    training = _interrupted(folder)
    damaged = [
        folder / "run" / "checkpoints" / f"ckpt-{step:08d}" for step in _STEPS[-num_damaged:]
    ]
    for path in damaged:
        damage(path / generator.choice(_FILES), generator)
    before = _contents(training)
    ended = training.run()
    if num_damaged == len(_STEPS):
        _check_refused(
            training, ended, before, "every checkpoint is damaged, refusing to start over"
        )
        for path in damaged:
            check(f"{path.name} damaged: " in ended.stderr, f"{path.name} is not named")
        return {"damages": num_damaged, "refused": 1}
    check(ended.exit_code == 0, f"status {ended.exit_code}: {ended.last_line}")
    step = _STEPS[-1 - num_damaged]
    for path in damaged:
        check(f"{path.name} damaged: " in ended.stdout, f"{path.name} is not named")
        check(path.with_suffix(".damaged").is_dir(), f"{path.name} is not set aside")
    check(f"; set aside; using ckpt-{step:08d}." in ended.stdout, "what is used is not said")
    check(f"resumed from step {step} (" in ended.stdout, f"not resumed from step {step}")
    _runs.check_same_run(training.run_dir, _runs.reference(**_FLAGS))
    return {"damages": num_damaged, "resumed": 1}


def _refuse_after_deletion(folder: Path) -> dict[str, float]:
    training = _interrupted(folder)
    shutil.rmtree(training.run_dir / "checkpoints")
    before = _contents(training)
    _check_refused(training, training.run(), before, "none is left, refusing to start over")
    return {"damages": len(_STEPS), "refused": 1}


def _begin_again(folder: Path) -> dict[str, float]:
    """A run that was killed before its first checkpoint has nothing to lose, and says so."""
    training = _runs.Training(folder / "run", environment={"FLOWRATE_FAULT": "save:kill"}, **_FLAGS)
    check(training.run().exit_code == -9, "not killed in its first save")
    training = _runs.Training(folder / "run", **_FLAGS)
    ended = training.finish()
    for line in ("ended without a word at step", "training begins at step 0 again."):
        check(line in ended.stdout, f"not said: {line}")
    _runs.check_same_run(training.run_dir, _runs.reference(**_FLAGS))
    _runs.check_no_litter(training.run_dir)
    return {"kills": 1}


def _check_refused(
    training: _runs.Training, ended: _runs.Ended, before: dict[str, bytes], words: str
) -> None:
    check(ended.exit_code == RunDirError.exit_code, f"status {ended.exit_code}: {ended.last_line}")
    check(ended.stderr.count("\n") == 1 and words in ended.stderr, f"said: {ended.stderr!r}")
    check(_contents(training) == before, "files were changed")


def _interrupted(folder: Path) -> _runs.Training:
    """Returns a run that has every checkpoint but has not told how it ended."""
    shutil.copytree(_runs.reference(**_FLAGS), folder / "run")
    (folder / "run" / "result.json").unlink()
    return _runs.Training(folder / "run", **_FLAGS)


def _contents(training: _runs.Training) -> dict[str, bytes]:
    """Returns what must stay as it is where a run is refused, by path."""
    files = [training.run_dir / "metrics.jsonl", *training.run_dir.glob("checkpoints/*/*")]
    return {str(path): path.read_bytes() for path in files}


def _flip(path: Path, generator: random.Random) -> str:
    content = bytearray(path.read_bytes())
    bit = generator.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    return f"bit {bit} of {path.name} flipped"


def _cut(path: Path, generator: random.Random) -> str:
    content = path.read_bytes()
    length = generator.choice((0, 60, generator.randrange(len(content)), len(content) - 1))
    path.write_bytes(content[:length])
    return f"{path.name} cut to {length} B"


def _delete(path: Path, generator: random.Random) -> str:
    path.unlink()
    return f"{path.name} deleted"
