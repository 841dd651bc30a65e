"""Where files go: runs, data, temporary files, shared memory. Python's own library only."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from trainer.doctor.check import FAILED, GIB, MIB, OK, WARNING, Check, guarded, in_gib

SECTION = "machine"
# A run of a small model writes a few MB; photos decoded by --cache=disk take gigabytes.
_LEAST_FREE_BYTES, _LITTLE_FREE_BYTES = 100 * MIB, GIB
# NCCL's buffers; its own guide asks for containers with --shm-size=1g
# (docs.nvidia.com/deeplearning/nccl/user-guide/docs/troubleshooting.html, "Shared memory").
_SHARED_MEMORY_BYTES = GIB
SHARED_MEMORY = Path("/dev/shm")
# A file server's clock may differ by so much before newest and oldest are mixed up.
_CLOCK_SKEW_SECONDS = 5.0
_HOW_TO_CHOOSE = {
    "disk for runs": "--run_dir",
    "disk for data": "XDG_CACHE_HOME",
    "temporary files": "TMPDIR",
}


def look(num_gpus: Callable[[], int]) -> Iterator[Check]:
    """Yields the checks.

    Args:
        num_gpus: says how many GPUs there are; asked for shared memory, which they talk through.
    """
    yield from guarded(
        SECTION, "disk for runs", lambda: check_folder("disk for runs", runs_folder())
    )
    yield from guarded(SECTION, "disk for data", _check_cache)
    yield from guarded(SECTION, "temporary files", _check_temporary)
    yield from guarded(SECTION, "/dev/shm", lambda: check_shared_memory(SHARED_MEMORY, num_gpus()))


def runs_folder() -> Path:
    """Returns where runs go that are given no --run_dir."""
    return Path.cwd() / "runs"


def check_folder(name: str, folder: Path, unwritable: str = FAILED) -> Check:
    """Returns whether files can be written in `folder`, which is made when needed, and how many.

    Args:
        name: of the check.
        folder: need not exist: then the nearest one above it is tried.
        unwritable: the verdict where they cannot.
    """
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    facts = {"path": str(folder), "free_bytes": free}
    found = f"{folder}: {in_gib(free)} free"
    elsewhere = f"choose another folder ({_HOW_TO_CHOOSE[name]})"
    reason, skew_seconds = _try_to_write(existing)
    if reason:
        found, to_do = (
            f"{folder}: cannot be written: {reason}",
            f"make it writable, or {elsewhere}.",
        )
        return Check(SECTION, name, unwritable, found, to_do, facts)
    if free < _LITTLE_FREE_BYTES:
        verdict = WARNING if free >= _LEAST_FREE_BYTES else unwritable
        return Check(SECTION, name, verdict, found, f"make room there, or {elsewhere}.", facts)
    if abs(skew_seconds) > _CLOCK_SKEW_SECONDS:
        found += f"; its clock is {skew_seconds:+.0f} s off this machine's"
        to_do = "set the clocks of this machine and of the file server."
        return Check(SECTION, name, WARNING, found, to_do, facts)
    return Check(SECTION, name, OK, found, facts=facts)


def check_shared_memory(path: Path, num_gpus: int) -> Check:
    """Returns whether several GPUs have room there to send each other gradients by NCCL.

    Args:
        path: where the system keeps it.
        num_gpus: of this machine.
    """
    if not path.is_dir():
        verdict, found, facts = (WARNING if num_gpus > 1 else OK), "there is none", {}
    else:
        usage = shutil.disk_usage(path)
        facts = {"total_bytes": usage.total, "free_bytes": usage.free}
        found = f"{in_gib(usage.free)} of {in_gib(usage.total)} free"
        verdict = WARNING if num_gpus > 1 and usage.free < _SHARED_MEMORY_BYTES else OK
    if verdict == OK:
        used = "" if num_gpus > 1 else "; only several GPUs (NCCL) need it"
        return Check(SECTION, "/dev/shm", OK, found + used, facts=facts)
    return Check(
        SECTION, "/dev/shm", WARNING, f"{found}; NCCL wants {in_gib(_SHARED_MEMORY_BYTES)}",
        "docker run --shm-size=1g, or in Kubernetes an emptyDir of medium Memory at /dev/shm.",
        facts,
    )  # fmt: skip


def _check_cache() -> Check:
    from input_pipelines.fetch.download import cache_folder

    # Without it nothing can be downloaded, but what needs no download trains.
    return check_folder("disk for data", cache_folder(), unwritable=WARNING)


def _check_temporary() -> Check:
    name = "temporary files"
    try:
        folder = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        return Check(
            SECTION, name, FAILED, str(error), "set TMPDIR to a folder that can be written."
        )
    asked = next(
        (os.environ[each] for each in ("TMPDIR", "TEMP", "TMP") if os.environ.get(each)), None
    )
    if asked and Path(asked).absolute() != folder.absolute():
        return Check(
            SECTION, name, WARNING, f"{asked} (TMPDIR) cannot be written; {folder} is used",
            "set TMPDIR to a folder that can be written.", {"path": str(folder), "asked": asked},
        )  # fmt: skip
    return check_folder(name, folder)


def _try_to_write(folder: Path) -> tuple[str | None, float]:
    """Returns why no file can be written, None where one can; and how many seconds the file
    system's clock is ahead of the machine's.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".flowrate-doctor-") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
            return None, os.fstat(file.fileno()).st_mtime - time.time()
    except OSError as error:
        return error.strerror or str(error), 0.0
