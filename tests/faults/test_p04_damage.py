"""P4: bits flipped, files cut short and deleted in the newest checkpoint, and in all of them.

One training makes the checkpoints; copies of its run directory are damaged at places drawn from a
seed. Most copies are read as the trainer reads them, by its own CheckpointStore in this process;
some are gone on with by a real trainer, to the bits of the undisturbed run.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from faults.tools import runs
from faults.tools.sizes import SEED, sized

from flowrate.errors import RunDirError
from trainer.checkpoints.store import ARRAYS, MANIFEST, PROGRESS, CheckpointStore

pytestmark = pytest.mark.slow
_FILES = (ARRAYS, PROGRESS, MANIFEST)
_FLAGS = {
    "dataset": "digits", "model": "mlp", "steps": 60, "checkpoint_every_steps": 20,
    "evaluate_every_steps": 20, "log_every_steps": 5, "keep_checkpoints": 3,
    "deterministic": True, "report": False,
}  # fmt: skip
_STEPS = (20, 40, 60)


_KINDS = ("flip", "cut", "delete")
_OTHERS = (("cut", 1), ("delete", 1))


def _damage(kind: str, path: Path, generator: random.Random) -> str:
    """Damages a file at a random place; returns what was done."""
    content = bytearray(path.read_bytes())
    if kind == "delete":
        path.unlink()
        return f"{path.name} deleted"
    if kind == "flip":
        bit = generator.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        return f"bit {bit} of {path.name} flipped"
    length = generator.choice((0, 60, generator.randrange(len(content)), len(content) - 1))
    path.write_bytes(content[:length])
    return f"{path.name} cut to {length} B"


@pytest.mark.parametrize(("kind", "count"), [*zip(_KINDS, sized((25, 10, 5), (200, 50, 20)))])
def test_damage_is_noticed_and_the_checkpoint_before_is_read(kind, count, tmp_path, record):
    generator = random.Random(SEED)
    original = runs.reference(**_FLAGS) / "checkpoints"
    expected = CheckpointStore(original, 3, print).read(_STEPS[-2])
    for number in range(count):
        copy = Path(shutil.copytree(original, tmp_path / str(number)))
        name = _FILES[number % len(_FILES)]
        newest = copy / f"ckpt-{_STEPS[-1]:08d}"
        what = _damage(kind, newest / name, generator)
        lines: list[str] = []
        found = CheckpointStore(copy, 3, lines.append).latest()
        assert found.progress.step == _STEPS[-2], f"{what}: not noticed"
        assert len(lines) == 1, what
        assert lines[0].startswith(f"{newest.name} damaged: "), what
        # Where the manifest is wrong, the file that it promises something else of may be named.
        assert name in lines[0] or name == MANIFEST, what
        assert newest.with_suffix(".damaged").is_dir(), f"{what}: not set aside"
        for array, value in expected.arrays.items():
            assert found.arrays[array].tobytes() == value.tobytes(), f"{what}: {array} differs"
        shutil.rmtree(copy)
    record(damages=count, noticed=count)


@pytest.mark.parametrize(
    ("kind", "num_damaged"), sized([("flip", 2)], [("flip", 1), ("flip", 2), *_OTHERS])
)
def test_the_trainer_resumes_from_the_last_whole_one(kind, num_damaged, tmp_path, record):
    training, damaged = _damaged_run(tmp_path, kind, num_damaged)
    said = training.finish().stdout
    step = _STEPS[-1 - num_damaged]
    for path in damaged:
        assert f"{path.name} damaged: " in said
        assert path.with_suffix(".damaged").is_dir()
    assert f"using ckpt-{step:08d}." in said
    assert runs.resumed_step(said) == step
    runs.check_same_run(training.run_dir, runs.reference(**_FLAGS))
    record(damages=num_damaged, resumed=1)


def test_the_trainer_refuses_to_start_over(tmp_path, record):
    """Where all are damaged, and where all are gone."""
    training, damaged = _damaged_run(tmp_path, "flip", len(_STEPS))
    line = _check_refused(training, "every checkpoint is damaged")
    assert all(f"{path.name} damaged: " in line for path in damaged)
    shutil.rmtree(training.run_dir / "checkpoints")
    _check_refused(training, "none is left")
    record(damages=2 * len(_STEPS), refused=2)


def test_a_run_without_a_checkpoint_begins_again(tmp_path, record):
    """It was killed before the first, and has nothing to lose."""
    fault = {"FLOWRATE_FAULT": "save:kill"}
    killed = runs.Training(tmp_path / "run", environment=fault, **_FLAGS)
    assert killed.run().exit_code == -9
    training = runs.Training(tmp_path / "run", **_FLAGS)
    said = training.finish().stdout
    for line in ("ended without a word at step", "training begins at step 0 again."):
        assert line in said
    runs.check_same_run(training.run_dir, runs.reference(**_FLAGS))
    runs.check_no_litter(training.run_dir)
    record(kills=1)


def _damaged_run(folder: Path, kind: str, count: int) -> tuple[runs.Training, list[Path]]:
    """Returns a run that has not recorded its end, and its newest checkpoints, damaged."""
    generator = random.Random(SEED)
    run_dir = Path(shutil.copytree(runs.reference(**_FLAGS), folder / "run"))
    (run_dir / "result.json").unlink()
    damaged = [run_dir / "checkpoints" / f"ckpt-{step:08d}" for step in _STEPS[-count:]]
    for path in damaged:
        _damage(kind, path / generator.choice(_FILES), generator)
    return runs.Training(run_dir, **_FLAGS), damaged


def _check_refused(training: runs.Training, words: str) -> str:
    """Returns the line that said so; nothing was changed."""
    before = _contents(training)
    ended = training.run()
    assert ended.exit_code == RunDirError.exit_code, ended.last_line
    assert ended.stderr.count("\n") == 1
    assert f"{words}, refusing to start over" in ended.stderr
    assert _contents(training) == before
    return ended.stderr


def _contents(training: runs.Training) -> dict[str, bytes]:
    files = [training.run_dir / "metrics.jsonl", *training.run_dir.glob("checkpoints/*/*")]
    return {str(path): path.read_bytes() for path in files}
