"""The ports that trainings listen on, counted on the processes themselves."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import psutil

from benchmarks.faults import _runs
from benchmarks.faults._attempt import Attempt, check

_WORKERS = 2
_FLAGS = {"model": "mlp", "steps": 100_000, "report": False, "log_every_steps": 20}


def attempts() -> list[Attempt]:
    """Returns an attempt for each kind of strategy."""
    return [
        Attempt("open ports, one device", functools.partial(_try_one, strategy="one_device")),
        Attempt(
            "open ports, mirrored",
            functools.partial(_try_one, strategy="mirrored", virtual_devices=2),
        ),
        Attempt("open ports, several workers", _try_several),
    ]


def _try_one(folder: Path, **flags) -> dict[str, float]:
    training = _runs.Training(folder / "run", **_FLAGS, **flags)
    with _runs.running(training) as process:
        training.wait_until(process, training.step)
        check(training.step(), f"nothing was trained: {training.said()[-300:]}")
        ports = _listening(psutil.Process(process.pid))
    check(not ports, f"listens on {ports}")
    return {"open_ports": 0}


def _try_several(folder: Path) -> dict[str, float]:
    training = _runs.Training(folder / "run", **_FLAGS)
    flags = training.command[training.command.index("trainer.main") + 1 :]
    training.command = [
        sys.executable, "-m", "trainer.launch", f"--workers={_WORKERS}", "--", *flags,
    ]  # fmt: skip
    with _runs.running(training) as process:
        training.wait_until(process, training.step, timeout_seconds=200)
        check(training.step(), f"nothing was trained: {training.said()[-300:]}")
        launcher = psutil.Process(process.pid)
        workers = [each for each in launcher.children(recursive=True) if _is_worker(each)]
        ports = [len(_listening(worker)) for worker in workers]
        own = _listening(launcher, with_children=False)
        said = training.said()
        for worker in workers:  # In sessions of their own.
            worker.kill()
    check(ports == [1] * _WORKERS, f"the workers listen on {ports} ports")
    check(not own, f"the launcher listens on {own}")
    check(said.count("warning: each worker's port is open on all its interfaces") == 1, said[-500:])
    return {"open_ports_per_worker": 1}


def _is_worker(process: psutil.Process) -> bool:
    return "trainer.main" in process.cmdline()


def _listening(process: psutil.Process, with_children: bool = True) -> list[str]:
    """Returns the addresses that a process and its children listen on."""
    family = [process, *(process.children(recursive=True) if with_children else [])]
    return [
        f"{connection.laddr.ip}:{connection.laddr.port}"
        for each in family
        for connection in each.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
