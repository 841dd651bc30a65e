"""Memory: files of at most 1 MiB that take as much as they can, many epochs, and none left.

A run that the system kills, because its control group has no memory left, can say nothing itself:
the next start does, and goes on from the last save.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks.faults import _bad_images, _runs, _worst_images
from benchmarks.faults._attempt import Attempt, check
from benchmarks.faults._memory_group import memory_group
from benchmarks.faults._peak import resident_mebibytes

ID = "P15"
TITLE = "no image file of 1 MiB takes 300 MB; memory does not grow; a run killed for it goes on"

_MAX_MEBIBYTES = 300e6 / 2**20
_MAX_GROWTH = 1.05
# A small training holds a quarter of it.
_GROUP_BYTES = 2**30
_KILLED_FLAGS = {
    "dataset": "digits", "model": "cnn", "steps": 6000, "log_every_steps": 50,
    "checkpoint_every_steps": 100, "deterministic": True, "report": False,
}  # fmt: skip
_QUICKEST = ("PNG, 400 Mpx", "JPEG, long and thin")


def attempts(full: bool, seed: int) -> list[Attempt]:
    """Returns one for each of the worst files, or of three; and a run of 20 epochs, or of 8."""
    names = list(_worst_images.WORST) if full else ["PNG, 64 Mpx", *_QUICKEST]
    programs = ("train", "predict") if full else ("train",)
    return [
        *(
            Attempt(f"{program}: {name}", functools.partial(_read, program=program, name=name))
            for name in names
            for program in programs
        ),
        Attempt("many epochs", functools.partial(_train, seed=seed, epochs=20 if full else 8)),
        Attempt("killed by the system for want of memory", _run_out),
    ]


def _read(folder: Path, program: str, name: str) -> dict[str, float]:
    content = _worst_images.WORST[name]()
    check(len(content) <= _worst_images.MAX_BYTES, f"{len(content):,} bytes are more than 1 MiB")
    (folder / "worst").write_bytes(content)
    (folder / "warm").write_bytes(_bad_images.encode(_bad_images.picture(0), "JPEG"))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults._decode_child", program, folder / "warm",
         folder / "worst"],
        cwd=_runs.ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    check(done.returncode == 0, f"status {done.returncode}: {done.stderr.strip()[-200:]}")
    found = json.loads(done.stdout)
    most = found["mebibytes"]
    check(most < _MAX_MEBIBYTES, f"{most:.0f} MiB for {len(content):,} bytes ({found['said']})")
    return {"most_image_mebibytes": most}


def _train(folder: Path, seed: int, epochs: int) -> dict[str, float]:
    """Reads files anew in each epoch, and looks at the process from outside."""
    for number in range(300):
        path = folder / "photos" / ("cat", "dog")[number % 2] / f"{number:03}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        _bad_images.picture(seed * 1000 + number, (400, 300)).save(path)
    training = _runs.Training(
        folder / "run", dataset="image_folder", data_dir=folder / "photos", image_size=64,
        model="cnn", cache="none", epochs=epochs, log_every_steps=1, report=False,
        environment={"XDG_CACHE_HOME": str(folder / "cache")},
    )  # fmt: skip
    resident: dict[int, float] = {}

    def look() -> bool:
        epoch = len(training.rows("evaluation"))
        if epoch:
            with contextlib.suppress(OSError, KeyError):  # It has just ended.
                resident[epoch] = resident_mebibytes(process.pid)
        return epoch >= epochs

    with _runs.running(training) as process:
        training.wait_until(process, look, timeout_seconds=600)
        ended = training.end(process)
    check(ended.exit_code == 0, f"status {ended.exit_code}: {ended.last_line}")
    early = max(mebibytes for epoch, mebibytes in resident.items() if epoch <= 3)
    late = max(mebibytes for epoch, mebibytes in resident.items() if epoch >= epochs - 2)
    check(
        late <= _MAX_GROWTH * early,
        f"{late:.0f} MiB in the last epochs, {early:.0f} MiB after the third",
    )
    return {"most_late_over_early": late / early, "most_resident_mebibytes": late}


def _run_out(folder: Path) -> dict[str, float]:
    """Leaves a run in training without memory; it must be told of, and go on."""
    reference = _runs.reference(**_KILLED_FLAGS)
    with memory_group(_GROUP_BYTES) as group:
        killed = _runs.Training(folder / "run", prefix=group.prefix, **_KILLED_FLAGS)
        with _runs.running(killed) as process:
            killed.wait_until(process, lambda: killed.step() >= 500)
            with group.fill():
                ended = killed.end(process)
    check(ended.exit_code == -signal.SIGKILL, f"status {ended.exit_code}: {ended.last_line}")
    saved_step = int(killed.checkpoints()[-1].name[5:])
    again = _runs.Training(folder / "run", **_KILLED_FLAGS)
    said = again.finish().stdout
    check(re.search(r"ended without a word at step .*137: out of memory", said), f"said: {said}")
    check("--global_batch_size needs less" in said, f"says not what needs less: {said}")
    resumed = re.search(r"resumed from step ([0-9,]+)", said)
    check(resumed and int(resumed.group(1).replace(",", "")) == saved_step, f"said: {said}")
    _runs.check_same_run(folder / "run", reference)
    _runs.check_no_litter(folder / "run")
    return {"kills_by_the_system": 1}
