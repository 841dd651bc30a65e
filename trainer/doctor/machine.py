"""The machine: Python, CPU, memory and folders. Python's own library only."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from pathlib import Path

from trainer.doctor.check import FAILED, GIB, OK, WARNING, Check, in_gib

# As setup.cfg's python_requires.
OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)
# What a run of the digits needs at its peak is 0.6 to 0.9 GiB; photos and their cache need more.
_LEAST_MEMORY_BYTES, _LITTLE_MEMORY_BYTES = GIB, 2 * GIB
# A run of a small model writes a few MB; photos decoded by --cache=disk take gigabytes.
_LEAST_FREE_BYTES, _LITTLE_FREE_BYTES = 100 * 2**20, GIB
# NCCL's buffers; its own guide asks for containers with --shm-size=1g
# (docs.nvidia.com/deeplearning/nccl/user-guide/docs/troubleshooting.html, "Shared memory").
_SHARED_MEMORY_BYTES = GIB
SHARED_MEMORY = Path("/dev/shm")


def python_is_allowed(version: tuple[int, ...] = sys.version_info[:2]) -> bool:
    """Returns whether this Python is among those that setup.cfg allows."""
    return OLDEST_PYTHON <= version[:2] <= NEWEST_PYTHON


def check_python() -> Check:
    """Returns whether this Python is among those that setup.cfg allows."""
    version, virtual = platform.python_version(), sys.prefix != sys.base_prefix
    facts = {"version": version, "executable": sys.executable, "virtual": virtual}
    if python_is_allowed():
        return Check(OK, f"{version} ({sys.executable})", facts=facts)
    oldest, newest = (".".join(map(str, each)) for each in (OLDEST_PYTHON, NEWEST_PYTHON))
    to_do = f"python{newest} -m venv .venv, and install there."
    return Check(FAILED, f"{version}; {oldest} to {newest} can be used", to_do, facts)


def check_cpu() -> Check:
    """Returns whether the CPU has the vector instructions that TensorFlow needs."""
    from flowrate.environment import describe_cpu

    cpu = describe_cpu()
    sets = ", ".join(cpu["flags"]) or "no vector instructions that matter"
    found = f"{cpu['model']}; CPUs: {cpu['count']}; {sets}"
    if platform.machine() not in ("x86_64", "AMD64") or "avx2" in cpu["flags"]:
        return Check(OK, found, facts=cpu)
    to_do = "use a machine made since 2015, or pass the host's CPU on to the virtual machine."
    return Check(WARNING, f"{found}; no AVX2: TensorFlow is slow or does not start", to_do, cpu)


def check_memory() -> Check:
    """Returns whether there is memory for a small run."""
    from flowrate.environment import available_memory_bytes, total_memory_bytes

    available, total = available_memory_bytes(), total_memory_bytes()
    facts = {"available_bytes": available, "total_bytes": total}
    found = f"{in_gib(available)} of {in_gib(total)} can be used"
    if available >= _LITTLE_MEMORY_BYTES:
        return Check(OK, found, facts=facts)
    verdict = WARNING if available >= _LEAST_MEMORY_BYTES else FAILED
    to_do = "end other programs, give the container or job more, or train with --cache=none."
    return Check(verdict, f"{found}; a small run needs about 1 GiB", to_do, facts)


def check_cache_folder() -> Check:
    """Returns whether data sets can be downloaded; what needs no download trains all the same."""
    from input_pipelines.fetch.download import cache_folder

    return check_folder(cache_folder(), "XDG_CACHE_HOME", unwritable=WARNING)


def check_folder(folder: Path, how_to_choose: str, unwritable: str = FAILED) -> Check:
    """Returns whether files can be written in `folder`, and how many bytes.

    Args:
        folder: need not exist: then the nearest one above it is tried.
        how_to_choose: the flag or variable that names it.
        unwritable: the verdict where they cannot.
    """
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    facts = {"path": str(folder), "free_bytes": free}
    elsewhere = f"choose another folder ({how_to_choose})."
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".flowrate-doctor-") as file:
            file.write(b"x")
            file.flush()
    except OSError as error:
        found = f"{folder}: cannot be written: {error.strerror or error}"
        return Check(unwritable, found, f"make it writable, or {elsewhere}", facts)
    found = f"{folder}: {in_gib(free)} free"
    if free >= _LITTLE_FREE_BYTES:
        return Check(OK, found, facts=facts)
    verdict = WARNING if free >= _LEAST_FREE_BYTES else unwritable
    return Check(verdict, found, f"make room there, or {elsewhere}", facts)


def check_shared_memory(path: Path, num_gpus: int) -> Check:
    """Returns whether several GPUs have room in `path` to send each other gradients by NCCL."""
    usage = shutil.disk_usage(path) if path.is_dir() else None
    found = f"{in_gib(usage.free)} of {in_gib(usage.total)} free" if usage else "there is none"
    facts = {"total_bytes": usage.total, "free_bytes": usage.free} if usage else {}
    if num_gpus < 2:
        return Check(OK, f"{found}; only several GPUs (NCCL) need it", facts=facts)
    if usage and usage.free >= _SHARED_MEMORY_BYTES:
        return Check(OK, found, facts=facts)
    to_do = "docker run --shm-size=1g, or in Kubernetes an emptyDir of medium Memory at /dev/shm."
    return Check(WARNING, f"{found}; NCCL wants {in_gib(_SHARED_MEMORY_BYTES)}", to_do, facts)
