"""P3: a save outlives a loss of power: the order of its system calls, by strace."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from faults.tools import one_save, strace

STEPS = {"the first step": 20, "the same step again": 10}


# A log of two writes, and a checkpoint of the step that it tells of.
LOG_AND_SAVE = """
import sys
from faults.tools.one_save import arrays
from trainer.config import TrainConfig
from trainer.checkpoints.progress import Progress
from trainer.run_dir.folder import RunDir

run_dir = RunDir.open(TrainConfig(run_dir=sys.argv[1]), print)
for step in (10, 20):
    run_dir.append_metrics("train", {"step": step})
run_dir.checkpoints.save(arrays(seed=1, source="3"), Progress(step=20))
"""


@pytest.fixture(params=STEPS)
def traced(request, tmp_path):
    """A real save after an earlier one: (checkpoints before, after, the calls between)."""
    folder = tmp_path / "run" / "checkpoints"
    step = STEPS[request.param]
    if step == 10:  # Else the first save makes the folder, too.
        one_save.save(folder, 10, seed=1, source="6")
    command = [sys.executable, "-B", "-m", "faults.tools.one_save", str(folder), str(step),
               "2", "6"]  # fmt: skip
    folder.parent.mkdir(exist_ok=True)
    calls = strace.calls(command, tmp_path / "log")
    return folder, folder / f"ckpt-{step:08d}", calls


def places(calls, names: tuple[str, ...], path: Path) -> list[int]:
    """Where among the calls those of these names with this path stand."""
    return [n for n, call in enumerate(calls) if call.name in names and path in call.paths()]


def renames(calls, final: Path) -> list[int]:
    """Where the renames stand by which a checkpoint takes its place."""
    return [
        n for n, call in enumerate(calls)
        if call.name.startswith("rename") and call.paths()[-1] == final
    ]  # fmt: skip


SYNC = ("fsync", "fdatasync")


def test_all_of_it_is_on_the_disk_before_it_takes_its_place(traced):
    folder, final, calls = traced
    (renamed,) = renames(calls, final)
    temporary = final.with_suffix(".tmp")
    files = sorted(path.name for path in final.iterdir())
    assert files == ["arrays.npz", "manifest.json", "progress.json"]
    for name in files:
        written = places(calls, ("write", "ftruncate"), temporary / name)
        synced = places(calls, SYNC, temporary / name)
        assert written
        assert synced
        assert written[-1] < synced[-1] < renamed, name
    (synced,) = places(calls, SYNC, temporary)
    assert synced < renamed
    # Afterwards nothing is deleted before the new name is on the disk.
    assert renamed < places(calls, SYNC, folder)[0]
    deleted = [
        n for n, call in enumerate(calls)
        if n > renamed and call.name in ("unlink", "unlinkat", "rmdir", "rename")
    ]  # fmt: skip
    assert all(places(calls, SYNC, folder)[0] < n for n in deleted)


def test_the_folder_of_checkpoints_is_on_the_disk_too(traced):
    folder, final, calls = traced
    made = places(calls, ("mkdir",), folder)
    if made:
        (renamed,) = renames(calls, final)
        assert any(made[0] < n < renamed for n in places(calls, SYNC, folder.parent))


def test_the_log_up_to_a_checkpoint_is_on_the_disk_before_it(tmp_path):
    """Else a run that goes on after a loss of power would lack rows, and nobody would know."""
    run_dir = tmp_path / "run"
    command = [sys.executable, "-B", "-c", LOG_AND_SAVE, str(run_dir)]
    calls = strace.calls(command, tmp_path / "log")
    (renamed,) = renames(calls, run_dir / "checkpoints" / "ckpt-00000020")
    log = run_dir / "metrics.jsonl"
    written, synced = places(calls, ("write",), log), places(calls, SYNC, log)
    assert len(written) == 2
    assert synced
    assert written[-1] < synced[-1] < renamed
    # And its name.
    assert any(written[0] < n < renamed for n in places(calls, SYNC, run_dir))
