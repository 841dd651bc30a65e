"""P10: fills the disk of a run: for a while, to its end, and only where its figures are written."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
from pathlib import Path

import pytest
from faults.tools import disks, runs
from faults.tools.sizes import SEED, sized

from flowrate.records import read_json

pytestmark = pytest.mark.slow
# A checkpoint of this model is 0.12 MB; the records and TensorBoard's take 1 MB or less.
_DISK = "size=6m"
_FLAGS = {
    "dataset": "digits", "model": "mlp", "steps": 40_000, "checkpoint_every_steps": 500,
    "evaluate_every_steps": 10_000, "log_every_steps": 500, "deterministic": True,
    "report": False,
}  # fmt: skip
_TOLD = re.compile(r"disk full: ([\d,]+) bytes needed, ([\d,]+) free at (\S+); (ckpt-\d+) is kept")


@pytest.fixture(params=range(sized(1, 10)))
def generator(request) -> random.Random:
    """Other moments, and other amounts of room, for each round."""
    return random.Random(f"{SEED}-{request.param}")


def test_full_for_a_while(generator, tmp_path, record):
    """Training goes on, saves again once there is room, and lacks nothing at its end."""
    with disks.small_disk(tmp_path / "run", _DISK) as disk:
        training = runs.Training(disk, **_FLAGS)
        with runs.running(training) as process:
            _wait_for_checkpoints(training, process, generator)
            with _filled(disk, generator):
                training.wait_until(process, lambda: _TOLD.search(training.said()))
            ended = training.end(process)
        assert ended.exit_code == 0, f"status {ended.exit_code}: {ended.last_line}"
        _check_told(ended.stdout)
        assert "the disk takes checkpoints again" in ended.stdout, ended.stdout[-500:]
        _check_as_undisturbed(training, **_FLAGS)
    record(full_disks=1)


def test_full_until_it_gives_up(generator, tmp_path, record):
    """Three failures end the run; what was saved is whole, and the same command goes on."""
    flags = {**_FLAGS, "steps": 1_000_000}
    with disks.small_disk(tmp_path / "run", _DISK) as disk:
        training = runs.Training(disk, **flags)
        with runs.running(training) as process:
            _wait_for_checkpoints(training, process, generator)
            with _filled(disk, generator):
                step_before = training.checkpoints()[-1].name
                ended = training.end(process)
                _check_given_up(training, ended, step_before)
        kept = training.checkpoints()[-1].name
        with runs.running(training) as process:
            training.wait_until(process, lambda: training.checkpoints()[-1].name > kept)
            process.send_signal(signal.SIGTERM)
            again = training.end(process, 60)
        assert runs.resumed_step(again.stdout) == int(kept[5:])
        runs.check_no_litter(training.run_dir)
    record(full_disks=1, given_up=1)


def test_full_at_the_end(generator, tmp_path, record):
    """The last state is tried three times; after room is made, the same command ends the run."""
    # Long enough for the disk to be full before the end, on a busy machine too.
    flags = {**_FLAGS, "steps": 60_000, "checkpoint_every_steps": 30_000}
    with disks.small_disk(tmp_path / "run", _DISK) as disk:
        training = runs.Training(disk, **flags)
        with runs.running(training) as process:
            training.wait_until(process, lambda: len(training.checkpoints()) >= 1)
            with _filled(disk, generator):
                ended = training.end(process)
                _check_given_up(training, ended, training.checkpoints()[-1].name)
        training.finish()
        _check_as_undisturbed(training, **flags)
    record(full_disks=1, given_up=1)


def test_full_for_tensorboard(generator, tmp_path, record):
    """One warning; everything else is there."""
    flags = {**_FLAGS, "steps": 5_000}
    place = tmp_path / "run" / "tensorboard"
    # Its four files of this run take 24 kB.
    with disks.small_disk(place, f"size={generator.choice((4, 8, 12, 16))}k"):
        training = runs.Training(tmp_path / "run", **flags)
        ended = training.finish()
        said = ended.stdout.count("warning: TensorBoard's files cannot be written")
        assert said == 1, f"{said} warnings: {ended.stdout[-500:]}"
        _check_as_undisturbed(training, **flags)
    record(full_disks=1)


def test_full_for_the_records(generator, tmp_path, record):
    """Rows of metrics.jsonl wait in memory while checkpoints, on another disk, are written."""
    (tmp_path / "checkpoints").mkdir()
    with disks.small_disk(tmp_path / "run", _DISK) as disk:
        (disk / "checkpoints").symlink_to(tmp_path / "checkpoints")
        training = runs.Training(disk, **_FLAGS)
        with runs.running(training) as process:
            _wait_for_checkpoints(training, process, generator)
            with _filled(disk, generator, most_left=0):
                training.wait_until(process, lambda: "metrics.jsonl" in training.said())
                before = training.checkpoints()[-1].name
                training.wait_until(process, lambda: training.checkpoints()[-1].name > before)
            ended = training.end(process)
        assert ended.exit_code == 0, f"status {ended.exit_code}: {ended.last_line}"
        said = ended.stdout.count("metrics.jsonl: No space left on device.")
        assert said == 1, f"{said} warnings: {ended.stdout[-500:]}"
        _check_as_undisturbed(training, **_FLAGS)
    record(full_disks=1)


def test_full_for_the_report(generator, tmp_path, record):
    """A run that has its result is complete, with a page about it or without."""
    flags = {**_FLAGS, "steps": 2_000, "report": True}
    with disks.small_disk(tmp_path / "run", _DISK) as disk:
        # Time enough to fill the disk.
        training = runs.Training(disk, environment={"FLOWRATE_FAULT": "report:sleep=5"}, **flags)
        with runs.running(training) as process:
            training.wait_until(process, (disk / "result.json").exists, poll_seconds=0.1)
            with _filled(disk, generator, most_left=10_000):
                ended = training.end(process)
        assert ended.exit_code == 0, f"status {ended.exit_code}: {ended.last_line}"
        assert "The run is complete without it." in ended.stdout, ended.stdout[-500:]
        result = read_json(disk / "result.json")
        assert result["status"] == "completed", f"result.json: {result['status']}"
        runs.check_no_litter(disk)
    record(full_disks=1)


def _wait_for_checkpoints(training: runs.Training, process, generator: random.Random) -> None:
    wanted = generator.randint(500, 5_000)
    training.wait_until(
        process, lambda: any(int(path.name[5:]) >= wanted for path in training.checkpoints())
    )


def _filled(
    disk: Path, generator: random.Random, most_left: int = 100_000
) -> contextlib.AbstractContextManager[None]:
    """Leaves less room than a checkpoint needs, or none."""
    return disks.filled(disk, generator.choice((0, generator.randint(0, most_left))))


def _check_told(said: str) -> None:
    told = _TOLD.search(said)
    assert told, f"nothing was told of the full disk: {said[-500:]}"
    needed, free = (int(told.group(number).replace(",", "")) for number in (1, 2))
    assert free < needed, f"{free} bytes free are enough for {needed}"


def _check_given_up(training: runs.Training, ended: runs.Ended, kept: str) -> None:
    assert ended.exit_code == 8, f"status {ended.exit_code}: {ended.last_line}"
    assert "3 saves in a row have failed" in ended.last_line, ended.last_line
    assert "Traceback" not in ended.stderr + ended.stdout, ended.stderr
    _check_told(ended.stdout)
    names = [path.name for path in training.checkpoints()]
    assert kept in names, f"{kept} is gone: {names}"
    told = _TOLD.search(ended.last_line)
    assert told, ended.last_line
    assert told.group(4) in names, f"{ended.last_line}: there are {names}"


def _check_as_undisturbed(training: runs.Training, **flags) -> None:
    runs.check_same_run(training.run_dir, runs.reference(**flags))
    runs.check_no_litter(training.run_dir)
    result = read_json(training.run_dir / "result.json")
    assert result["status"] == "completed", f"result.json: {result['status']}"
    assert os.path.getsize(training.run_dir / "model.keras"), "model.keras is empty"
