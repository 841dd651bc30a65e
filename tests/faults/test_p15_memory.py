"""P15: memory: files of at most 1 MiB that take as much as they can, many epochs, and none left.

A run that the system kills, because its control group has no memory left, can say nothing itself:
the next start does, and goes on from the last save.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys

import pytest
from faults.tools import image_kinds, runs, worst_images
from faults.tools.memory_group import memory_group
from faults.tools.peak import resident_mebibytes
from faults.tools.sizes import SEED, sized

pytestmark = pytest.mark.slow
_MAX_MEBIBYTES = 300e6 / 2**20
_MAX_GROWTH = 1.05
# A small training holds a quarter of it.
_GROUP_BYTES = 2**30
_KILLED_FLAGS = {
    "dataset": "digits", "model": "cnn", "steps": 6000, "log_every_steps": 50,
    "checkpoint_every_steps": 100, "deterministic": True, "report": False,
}  # fmt: skip
_QUICKEST = ["PNG, 64 Mpx", "PNG, 400 Mpx"]


@pytest.mark.parametrize("program", sized(["train"], ["train", "predict"]))
@pytest.mark.parametrize("name", sized(_QUICKEST, list(worst_images.WORST)))
def test_the_worst_files_of_a_mebibyte(name, program, tmp_path, record):
    content = worst_images.WORST[name]()
    assert len(content) <= worst_images.MAX_BYTES, f"{len(content):,} bytes are more than 1 MiB"
    (tmp_path / "worst").write_bytes(content)
    (tmp_path / "warm").write_bytes(image_kinds.encode(image_kinds.picture(0), "JPEG"))
    done = subprocess.run(
        [sys.executable, "-m", "faults.tools.read_image", program, tmp_path / "warm",
         tmp_path / "worst"],
        env=runs.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr.strip()[-200:]}"
    found = json.loads(done.stdout)
    most = found["mebibytes"]
    assert most < _MAX_MEBIBYTES, f"{most:.0f} MiB for {len(content):,} bytes ({found['said']})"
    record(most_image_mebibytes=most)


def test_many_epochs_take_no_more_than_three(tmp_path, record):
    """Each reads all files anew; the process is looked at from outside."""
    epochs = sized(8, 20)
    for number in range(300):
        path = tmp_path / "photos" / ("cat", "dog")[number % 2] / f"{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image_kinds.picture(SEED * 1000 + number, (400, 300)).save(path)
    training = runs.Training(
        tmp_path / "run", dataset="image_folder", data_dir=tmp_path / "photos", image_size=64,
        model="cnn", cache="none", epochs=epochs, log_every_steps=1, report=False,
        environment={"XDG_CACHE_HOME": str(tmp_path / "cache")},
    )  # fmt: skip
    resident: dict[int, float] = {}

    def look() -> bool:
        epoch = len(training.rows("evaluation"))
        if epoch:
            with contextlib.suppress(OSError, KeyError):  # It has just ended.
                resident[epoch] = resident_mebibytes(process.pid)
        return epoch >= epochs

    with runs.running(training) as process:
        training.wait_until(process, look, timeout_seconds=600)
        ended = training.end(process)
    assert ended.exit_code == 0, f"status {ended.exit_code}: {ended.last_line}"
    early = max(mebibytes for epoch, mebibytes in resident.items() if epoch <= 3)
    late = max(mebibytes for epoch, mebibytes in resident.items() if epoch >= epochs - 2)
    assert late <= _MAX_GROWTH * early, (
        f"{late:.0f} MiB in the last epochs, {early:.0f} MiB after the third"
    )
    record(most_late_over_early=late / early, most_resident_mebibytes=late)


def test_a_run_that_the_system_kills(tmp_path, record):
    """The next start says so, and resumes."""
    reference = runs.reference(**_KILLED_FLAGS)
    with memory_group(_GROUP_BYTES) as group:
        killed = runs.Training(tmp_path / "run", prefix=group.prefix, **_KILLED_FLAGS)
        with runs.running(killed) as process:
            killed.wait_until(process, lambda: killed.step() >= 500)
            with group.fill():
                ended = killed.end(process)
    assert ended.exit_code == -signal.SIGKILL, f"status {ended.exit_code}: {ended.last_line}"
    saved_step = int(killed.checkpoints()[-1].name[5:])
    again = runs.Training(tmp_path / "run", **_KILLED_FLAGS)
    said = again.finish().stdout
    assert re.search(r"ended without a word at step .*137: out of memory", said), f"said: {said}"
    assert "--global_batch_size needs less" in said, f"says not what needs less: {said}"
    assert runs.resumed_step(said) == saved_step
    runs.check_same_run(tmp_path / "run", reference)
    runs.check_no_litter(tmp_path / "run")
    record(kills_by_the_system=1)
