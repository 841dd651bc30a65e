"""Facts about the machine and the program, for the record of a run. No TensorFlow."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flowrate.text import masked

# Where the packages of this project lie.
CHECKOUT = Path(__file__).resolve().parents[1]

# Packages whose version changes what a run computes or how fast.
_PACKAGES = (
    "tensorflow", "keras", "numpy", "tensorflow-datasets", "tensorboard", "scikit-learn",
)  # fmt: skip
# Instruction sets that decide which kernels and which precisions are fast.
_CPU_FLAGS = re.compile(r"^(avx2|fma|avx512\w*|amx\w*|avx_vnni|sve\w*|asimd\w*|bf16)$")


def describe_environment(argv: list[str], packages: Sequence[str] = ()) -> dict[str, Any]:
    """Returns JSON-able facts: host, CPU, memory in bytes, versions, commit and command.

    Args:
        argv: the command line, program name first.
        packages: whose versions matter besides the usual ones.
    """
    return {
        "hostname": platform.node(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cpu": describe_cpu(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "versions": {name: _version(name) for name in (*_PACKAGES, *packages)},
        "commit": _commit(),
        "command": masked(shlex.join([sys.executable, "-m", "trainer.main", *argv[1:]])),
        "working_directory": os.getcwd(),
    }


def process_seconds() -> float:
    """Returns the seconds since this process was started, to a hundredth."""
    import psutil  # As below.

    return time.time() - psutil.Process().create_time()


def boot_id() -> str:
    """Returns what tells one boot of the machine from another; empty where it does not say."""
    try:
        return _read("/proc/sys/kernel/random/boot_id").strip()
    except OSError:
        return ""


def num_cpus() -> int:
    """Returns the CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def list_gpus() -> list[str]:
    """Returns the NVIDIA GPUs as their driver names them; empty where none answers."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines()] if done.returncode == 0 else []


def num_gpus() -> int:
    """Returns the NVIDIA GPUs whose driver answers and that this process may see."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = len(list_gpus())
    return found if visible is None else min(found, len(visible.split(",")) if visible else 0)


def available_memory_bytes(
    cgroups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> int:
    """Returns the memory that can be used now without swapping, within the limits that a container
    or a cluster's job has.

    Args:
        cgroups: where the system shows control groups, of version 1 or 2.
        membership: the file that says which of them this process is in.
    """
    import psutil  # Only the cache's choice needs it; it would slow every usage error.

    available = psutil.virtual_memory().available
    for folder, (limit, used, reclaimable) in _memory_cgroups(cgroups, membership):
        try:
            in_use = int(_read(folder / used))
            # Pages of files count as used, but are dropped when memory is asked for.
            statistics = dict(line.split() for line in _read(folder / "memory.stat").splitlines())
            in_use -= int(statistics.get(reclaimable, 0))
            available = min(available, int(_read(folder / limit)) - in_use)
        except (OSError, ValueError):
            continue
    return max(0, available)


def total_memory_bytes(
    cgroups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> int:
    """Returns the memory of the machine, or of the container or job where that has less.

    Args:
        cgroups, membership: as for `available_memory_bytes`.
    """
    import psutil

    total = psutil.virtual_memory().total
    for folder, (limit, _, _) in _memory_cgroups(cgroups, membership):
        with contextlib.suppress(OSError, ValueError):  # "max": no limit
            total = min(total, int(_read(folder / limit)))
    return total


def num_out_of_memory_kills() -> int:
    """Returns how many processes the system has killed for memory since it started, in jobs and
    containers with a limit of their own too; 0 where it does not say.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html (memory.events) and mm/vmstat.c.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in _read("/proc/vmstat").splitlines():
            name, _, number = line.partition(" ")
            if name == "oom_kill":
                return int(number)
    return 0


def _memory_cgroups(cgroups: Path, membership: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Yields the memory control groups this process is in, inner ones first: folder and files."""
    version_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    version_2 = ("memory.max", "memory.current", "inactive_file")
    try:
        lines = _read(membership).splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            base, names = cgroups / "memory", version_1
        elif not controllers:
            base, names = cgroups, version_2
        else:
            continue
        # A container may see its own group as the root, and the path from outside.
        parts = [part for part in Path(path).parts if part not in ("/", "..")]
        for depth in range(len(parts), -1, -1):
            yield base.joinpath(*parts[:depth]), names


def describe_cpu() -> dict[str, Any]:
    """Returns JSON-able: model, number of CPUs this process may use, and instruction sets."""
    text = ""
    if Path("/proc/cpuinfo").exists():
        text = _read("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    return {
        "model": model.group(1) if model else platform.processor() or platform.machine(),
        "count": num_cpus(),
        "flags": [f for f in (flags.group(1).split() if flags else []) if _CPU_FLAGS.match(f)],
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Returns the checkout's commit, with `-dirty` where files differ; None outside a checkout."""
    if not (CHECKOUT / ".git").exists():
        return None
    # Tags are left out: they would stand in the place of the commit.
    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=40",
               "--exclude=*"]  # fmt: skip
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    return output.strip() or None


def _read(path: str | Path) -> str:
    return Path(path).read_text(encoding="utf-8")
