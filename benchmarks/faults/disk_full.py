"""Fills the disk of a run: for a while, to its end, and only where its figures are written."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import re
import signal
from pathlib import Path

from benchmarks.faults import _disks, _runs
from benchmarks.faults._attempt import Attempt, check
from flowrate.records import read_json

ID = "P10"
TITLE = "a full disk ends no training at once: it is told, tried again, and costs no checkpoint"

# A checkpoint of this model is 0.12 MB; the records and TensorBoard's take 1 MB or less.
_DISK = "size=6m"
_FLAGS = {
    "dataset": "digits", "model": "mlp", "steps": 40_000, "checkpoint_every_steps": 500,
    "evaluate_every_steps": 10_000, "log_every_steps": 500, "deterministic": True,
    "report": False,
}  # fmt: skip
_TOLD = re.compile(r"disk full: ([\d,]+) bytes needed, ([\d,]+) free at (\S+); (ckpt-\d+) is kept")


def attempts(full: bool, seed: int) -> list[Attempt]:
    """Returns attempts of six kinds; each once, or ten times at other moments."""
    return [
        Attempt(
            f"{name}, {number}", functools.partial(run, generator=random.Random(f"{seed}-{number}"))
        )
        for number in range(10 if full else 1)
        for name, run in (
            ("full for a while", _full_for_a_while),
            ("full until it gives up", _full_until_it_gives_up),
            ("full at the end", _full_at_the_end),
            ("full for TensorBoard", _full_for_tensorboard),
            ("full for the records", _full_for_the_records),
            ("full for the report", _full_for_the_report),
        )
    ]


def _full_for_a_while(folder: Path, generator: random.Random) -> dict[str, float]:
    """Training goes on, saves again once there is room, and lacks nothing at its end."""
    with _disks.small_disk(folder / "run", _DISK) as disk:
        training = _runs.Training(disk, **_FLAGS)
        with _runs.running(training) as process:
            _wait_for_checkpoints(training, process, generator)
            with _filled(disk, generator):
                training.wait_until(process, lambda: _TOLD.search(training.said()))
            ended = training.end(process)
        check(ended.exit_code == 0, f"status {ended.exit_code}: {ended.last_line}")
        _check_told(ended.stdout)
        check("the disk takes checkpoints again" in ended.stdout, ended.stdout[-500:])
        _check_as_undisturbed(training, **_FLAGS)
    return {"full_disks": 1}


def _full_until_it_gives_up(folder: Path, generator: random.Random) -> dict[str, float]:
    """Three failures end the run; what was saved is whole, and the same command goes on."""
    flags = {**_FLAGS, "steps": 1_000_000}
    with _disks.small_disk(folder / "run", _DISK) as disk:
        training = _runs.Training(disk, **flags)
        with _runs.running(training) as process:
            _wait_for_checkpoints(training, process, generator)
            with _filled(disk, generator):
                step_before = training.checkpoints()[-1].name
                ended = training.end(process)
                _check_given_up(training, ended, step_before)
        kept = training.checkpoints()[-1].name
        with _runs.running(training) as process:
            training.wait_until(process, lambda: training.checkpoints()[-1].name > kept)
            process.send_signal(signal.SIGTERM)
            again = training.end(process, 60)
        resumed = f"resumed from step {int(kept[5:]):,} ("
        check(resumed in again.stdout, f"not {resumed!r}: {again.stdout[-300:]}")
        _runs.check_no_litter(training.run_dir)
    return {"full_disks": 1, "given_up": 1}


def _full_at_the_end(folder: Path, generator: random.Random) -> dict[str, float]:
    """The last state is tried three times; after room is made, the same command ends the run."""
    flags = {**_FLAGS, "steps": 20_000, "checkpoint_every_steps": 10_000}
    with _disks.small_disk(folder / "run", _DISK) as disk:
        training = _runs.Training(disk, **flags)
        with _runs.running(training) as process:
            training.wait_until(process, lambda: len(training.checkpoints()) >= 1)
            with _filled(disk, generator):
                ended = training.end(process)
                _check_given_up(training, ended, training.checkpoints()[-1].name)
        training.finish()
        _check_as_undisturbed(training, **flags)
    return {"full_disks": 1, "given_up": 1}


def _full_for_tensorboard(folder: Path, generator: random.Random) -> dict[str, float]:
    """One warning; everything else is there."""
    flags = {**_FLAGS, "steps": 5_000}
    place = folder / "run" / "tensorboard"
    # Its four files of this run take 24 kB.
    with _disks.small_disk(place, f"size={generator.choice((4, 8, 12, 16))}k"):
        training = _runs.Training(folder / "run", **flags)
        ended = training.finish()
        said = ended.stdout.count("warning: TensorBoard's files cannot be written")
        check(said == 1, f"{said} warnings: {ended.stdout[-500:]}")
        _check_as_undisturbed(training, **flags)
    return {"full_disks": 1}


def _full_for_the_records(folder: Path, generator: random.Random) -> dict[str, float]:
    """Rows of metrics.jsonl wait in memory while checkpoints, on another disk, are written."""
    (folder / "checkpoints").mkdir()
    with _disks.small_disk(folder / "run", _DISK) as disk:
        (disk / "checkpoints").symlink_to(folder / "checkpoints")
        training = _runs.Training(disk, **_FLAGS)
        with _runs.running(training) as process:
            _wait_for_checkpoints(training, process, generator)
            with _filled(disk, generator, most_left=0):
                training.wait_until(process, lambda: "metrics.jsonl" in training.said())
                before = training.checkpoints()[-1].name
                training.wait_until(process, lambda: training.checkpoints()[-1].name > before)
            ended = training.end(process)
        check(ended.exit_code == 0, f"status {ended.exit_code}: {ended.last_line}")
        said = ended.stdout.count("metrics.jsonl: No space left on device.")
        check(said == 1, f"{said} warnings: {ended.stdout[-500:]}")
        _check_as_undisturbed(training, **_FLAGS)
    return {"full_disks": 1}


def _full_for_the_report(folder: Path, generator: random.Random) -> dict[str, float]:
    """A run that has its result is complete, with a page about it or without."""
    flags = {**_FLAGS, "steps": 2_000, "report": True}
    with _disks.small_disk(folder / "run", _DISK) as disk:
        # Time enough to fill the disk.
        training = _runs.Training(disk, environment={"FLOWRATE_FAULT": "report:sleep=5"}, **flags)
        with _runs.running(training) as process:
            training.wait_until(process, (disk / "result.json").exists, poll_seconds=0.1)
            with _filled(disk, generator, most_left=10_000):
                ended = training.end(process)
        check(ended.exit_code == 0, f"status {ended.exit_code}: {ended.last_line}")
        check("The run is complete without it." in ended.stdout, ended.stdout[-500:])
        result = read_json(disk / "result.json")
        check(result["status"] == "completed", f"result.json: {result['status']}")
        _runs.check_no_litter(disk)
    return {"full_disks": 1}


def _wait_for_checkpoints(training: _runs.Training, process, generator: random.Random) -> None:
    wanted = generator.randint(500, 5_000)
    training.wait_until(
        process, lambda: any(int(path.name[5:]) >= wanted for path in training.checkpoints())
    )


def _filled(
    disk: Path, generator: random.Random, most_left: int = 100_000
) -> contextlib.AbstractContextManager[None]:
    """Leaves less room than a checkpoint needs, or none."""
    return _disks.filled(disk, generator.choice((0, generator.randint(0, most_left))))


def _check_told(said: str) -> None:
    told = _TOLD.search(said)
    check(told, f"nothing was told of the full disk: {said[-500:]}")
    needed, free = (int(told.group(number).replace(",", "")) for number in (1, 2))
    check(free < needed, f"{free} bytes free are enough for {needed}")


def _check_given_up(training: _runs.Training, ended: _runs.Ended, kept: str) -> None:
    check(ended.exit_code == 8, f"status {ended.exit_code}: {ended.last_line}")
    check("3 saves in a row have failed" in ended.last_line, ended.last_line)
    check("Traceback" not in ended.stderr + ended.stdout, ended.stderr)
    _check_told(ended.stdout)
    names = [path.name for path in training.checkpoints()]
    check(kept in names, f"{kept} is gone: {names}")
    told = _TOLD.search(ended.last_line)
    check(told and told.group(4) in names, f"{ended.last_line}: there are {names}")


def _check_as_undisturbed(training: _runs.Training, **flags) -> None:
    _runs.check_same_run(training.run_dir, _runs.reference(**flags))
    _runs.check_no_litter(training.run_dir)
    result = read_json(training.run_dir / "result.json")
    check(result["status"] == "completed", f"result.json: {result['status']}")
    check(os.path.getsize(training.run_dir / "model.keras"), "model.keras is empty")
