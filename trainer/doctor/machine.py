"""The machine itself: system, Python, CPU, memory, files and clock. Python's own library only."""

from __future__ import annotations

import datetime
import platform
import sys
from collections.abc import Iterator

from trainer.doctor.check import FAILED, GIB, OK, WARNING, Check, guarded, in_gib

SECTION = "machine"
# As setup.cfg's python_requires.
OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)
# What a run of the digits needs at its peak is 0.6 to 0.9 GiB; photos and their cache need more.
_LEAST_MEMORY_BYTES, _LITTLE_MEMORY_BYTES = GIB, 2 * GIB
# Data sets of files, TensorFlow's threads and the sockets of workers.
_FEW_FILES = 1024
# No run takes place before this program was written.
_EARLIEST_YEAR = 2026


def look() -> Iterator[Check]:
    """Yields the checks."""
    for name, check in (
        ("system", _check_system),
        ("Python", _check_python),
        ("CPU", _check_cpu),
        ("memory", _check_memory),
        ("open files", _check_open_files),
        ("clock", _check_clock),
    ):
        yield from guarded(SECTION, name, check)


def python_is_allowed(version: tuple[int, ...] = sys.version_info[:2]) -> bool:
    """Returns whether this Python is among those that setup.cfg allows."""
    return OLDEST_PYTHON <= version[:2] <= NEWEST_PYTHON


def _check_system() -> Check:
    facts = {"platform": platform.platform(), "machine": platform.machine()}
    if sys.platform.startswith("linux"):
        return Check(SECTION, "system", OK, facts["platform"], facts=facts)
    return Check(
        SECTION, "system", WARNING, f"{facts['platform']}: only Linux was tried",
        "use Linux, a container or WSL 2 where something does not work.", facts,
    )  # fmt: skip


def _check_python() -> Check:
    version = platform.python_version()
    oldest, newest = (".".join(map(str, each)) for each in (OLDEST_PYTHON, NEWEST_PYTHON))
    facts = {
        "version": version,
        "executable": sys.executable,
        "virtual": sys.prefix != sys.base_prefix,
    }
    if python_is_allowed():
        return Check(SECTION, "Python", OK, f"{version} ({sys.executable})", facts=facts)
    return Check(
        SECTION, "Python", FAILED, f"{version}; {oldest} to {newest} can be used",
        f"python{newest} -m venv .venv, and install there.", facts,
    )  # fmt: skip


def _check_cpu() -> Check:
    from flowrate.environment import describe_cpu

    cpu = describe_cpu()
    sets = ", ".join(cpu["flags"]) or "no vector instructions that matter"
    found = f"{cpu['model']}; CPUs: {cpu['count']}; {sets}"
    is_slow = platform.machine() in ("x86_64", "AMD64") and "avx2" not in cpu["flags"]
    if is_slow:
        return Check(
            SECTION, "CPU", WARNING, f"{found}; no AVX2: TensorFlow is slow, or does not start",
            "use a machine made since 2015, or pass the host's CPU on to the virtual machine.", cpu,
        )  # fmt: skip
    return Check(SECTION, "CPU", OK, found, facts=cpu)


def _check_memory() -> Check:
    from flowrate.environment import available_memory_bytes, total_memory_bytes

    available, total = available_memory_bytes(), total_memory_bytes()
    facts = {"available_bytes": available, "total_bytes": total}
    found = f"{in_gib(available)} of {in_gib(total)} can be used"
    if available >= _LITTLE_MEMORY_BYTES:
        return Check(SECTION, "memory", OK, found, facts=facts)
    verdict = WARNING if available >= _LEAST_MEMORY_BYTES else FAILED
    return Check(
        SECTION, "memory", verdict, f"{found}; a small run needs about 1 GiB",
        "end other programs, give the container or job more memory, or train with --cache=none.",
        facts,
    )  # fmt: skip


def _check_open_files() -> Check:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    facts = {"soft": soft, "hard": hard}
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= _FEW_FILES:
        found = "no limit" if soft == unlimited else f"at most {soft:,}"
        return Check(SECTION, "open files", OK, found, facts=facts)
    return Check(
        SECTION, "open files", WARNING, f"at most {soft:,}: several workers may fail",
        f"ulimit -n {_FEW_FILES if hard == unlimited else max(soft, min(hard, 65_536))}", facts,
    )  # fmt: skip


def _check_clock() -> Check:
    now = datetime.datetime.now(datetime.timezone.utc)
    found = f"{now:%Y-%m-%d %H:%M} UTC"
    facts = {"time_utc": now.isoformat(timespec="seconds")}
    if now.year >= _EARLIEST_YEAR:
        return Check(SECTION, "clock", OK, found, facts=facts)
    return Check(
        SECTION, "clock", FAILED, f"{found} cannot be: downloads and names of runs depend on it",
        "set the clock (timedatectl set-ntp true).", facts,
    )  # fmt: skip
