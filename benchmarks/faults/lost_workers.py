"""A worker that is killed, stopped, raises, is cut off from the network or comes back alone.

The others must leave within 30 s and name it, with what befell it; the same command, given again by
the launcher or by whoever started them, then ends with the bits of an undisturbed run.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.faults import _runs, _workers
from benchmarks.faults._attempt import Attempt, NotHere, check
from benchmarks.machine import namespaces
from flowrate.errors import PeerLost
from flowrate.failpoint import VARIABLE
from flowrate.records import read_json
from trainer.distributed.process_group import Host

ID = "P8"
TITLE = "a lost worker is named within 30 s; all begin again and end with the same bits"

_NOTICE_SECONDS = 30.0
# By job: a later start of one waits that long for those who follow the workers of an earlier one.
_ALONE_SECONDS = {"": _NOTICE_SECONDS, "job": 2 * _NOTICE_SECONDS}
_LAUNCHER = ("--workers=2",)
_FLAGS = {
    "dataset": "digits", "model": "mlp64", "steps": 2000, "log_every_steps": 20,
    "evaluate_every_steps": 500, "checkpoint_every_steps": 100, "steps_per_call": 10,
    "deterministic": True, "report": False,
}  # fmt: skip


def attempts(full: bool, seed: int) -> list[Attempt]:
    """Returns losses of each kind: once each, or 24 in all."""
    times = 3 if full else 1
    lost = (1, 0) if full else (1,)
    found = [
        Attempt(f"{name} of worker {worker}, {number}",
                functools.partial(_launched, number=signal_number, lost=worker,
                                  seed=1000 * seed + number))
        for name, signal_number in (("SIGKILL", signal.SIGKILL), ("SIGSTOP", signal.SIGSTOP))
        for worker in lost
        for number in range(times)
    ]  # fmt: skip
    found += [
        Attempt(f"an exception in worker {worker}, {number}",
                functools.partial(_raising, lost=worker, nth=number + 1))
        for worker in lost
        for number in range(times)
    ]  # fmt: skip
    return [
        *found,
        *(
            Attempt(f"the network cut, {number}", functools.partial(_cut, seed=number))
            for number in range(times)
        ),
        *(
            Attempt(f"worker {worker} started again alone{', of a job' * bool(job)}",
                    functools.partial(_alone, lost=worker, job=job))
            for worker, job in ((1, ""), *(((0, ""), (1, "job")) if full else ()))
        ),
    ]  # fmt: skip


def _launched(folder: Path, number: int, lost: int, seed: int) -> dict[str, float]:
    """Loses a worker of the launcher's, which starts all again by itself."""
    training = _runs.Training(folder / "run", launcher=_LAUNCHER, **_FLAGS)
    step = random.Random(seed).randrange(100, 1500)
    with _runs.running(training) as process:
        check(training.wait_until(process, lambda: training.step() >= step), "ended too soon")
        pid = read_json(training.run_dir / "status" / f"worker-{lost}.json")["pid"]
        began = time.monotonic()
        os.kill(pid, number)
        training.wait_until(process, lambda: f"lost worker {lost}" in training.said())
        notice_seconds = time.monotonic() - began
        training.wait_until(process, lambda: "resumed from step" in training.said())
        resume_seconds = time.monotonic() - began
        ended = training.end(process)
    check(ended.exit_code == 0, f"status {ended.exit_code}: {ended.last_line}")
    check(f"worker {lost} failed first" in ended.stderr + ended.stdout, "no cause was named")
    check(notice_seconds <= _NOTICE_SECONDS, f"noticed after {notice_seconds:.0f} s")
    _runs.check_same_run(training.run_dir, _runs.reference(launcher=_LAUNCHER, **_FLAGS))
    return {
        "restarts": 1, "most_notice_seconds": notice_seconds, "most_resume_seconds": resume_seconds,
    }  # fmt: skip


def _raising(folder: Path, lost: int, nth: int) -> dict[str, float]:
    """Lets one worker's program fail in an evaluation; all are then started again."""
    fault = {lost: {VARIABLE: f"evaluate:{nth}:error"}}
    return _lose_and_begin_again(
        folder, [_workers.LOOPBACK] * 2, fault, lost, lambda processes: None,
        words=("by a failpoint",),
    )  # fmt: skip


def _cut(folder: Path, seed: int) -> dict[str, float]:
    """Cuts a worker's cable; both sides must leave, and the cable is mended before the restart."""
    if reason := namespaces.why_none():
        raise NotHere(reason)
    step = random.Random(seed).randrange(100, 1500)
    with namespaces.virtual_hosts(2) as hosts:

        def cut(processes: list[subprocess.Popen]) -> None:
            probe = _runs.Training(folder / "run", **_FLAGS)
            check(probe.wait_until(processes[0], lambda: probe.step() >= step), "ended too soon")
            namespaces.set_cable(1, "down")

        def mend() -> None:
            namespaces.set_cable(1, "up")

        return _lose_and_begin_again(folder, hosts, {}, 1, cut, mend=mend, both_leave=True)


def _alone(folder: Path, lost: int, job: str) -> dict[str, float]:
    """Kills a worker and starts it again beside the other, who has not noticed yet."""
    first, second = ({"FLOWRATE_ATTEMPT": f"{job} {number}" if job else ""} for number in (1, 2))
    old = _workers.make_workers(folder, [_workers.LOOPBACK] * 2, {0: first, 1: first}, **_FLAGS)
    other = 1 - lost
    with _workers.running(old) as processes:
        check(old[0].wait_until(processes[0], lambda: old[0].step() >= 100), "ended too soon")
        processes[other].send_signal(signal.SIGSTOP)
        _runs.kill(processes[lost])
        old[lost].environment |= second
        with _runs.running(old[lost]) as alone:
            began = time.monotonic()
            path = folder / "run" / "status" / f"worker-{lost}.json"
            old[lost].wait_until(alone, lambda: read_json(path)["pid"] == alone.pid)
            processes[other].send_signal(signal.SIGCONT)
            left = old[other].end(processes[other], 2 * _NOTICE_SECONDS)
            notice_seconds = time.monotonic() - began
            ended = old[lost].end(alone, 2 * _ALONE_SECONDS[job])
            alone_seconds = time.monotonic() - began
    for each in (left, ended):
        check(each.exit_code == PeerLost.exit_code, f"status {each.exit_code}: {each.last_line}")
    check(f"lost worker {lost} (" in left.stderr, left.last_line)
    for word in (f"worker {other} (", "is of another start of this run", "restart all"):
        check(word in ended.stderr, f"{word!r} is not in {ended.last_line!r}")
    check(notice_seconds <= _NOTICE_SECONDS, f"left after {notice_seconds:.0f} s")
    check(alone_seconds <= _ALONE_SECONDS[job], f"waited {alone_seconds:.0f} s, alone")
    return {
        "restarts": 1, "most_notice_seconds": notice_seconds, "most_alone_seconds": alone_seconds,
        "most_resume_seconds": _begin_again(folder, [_workers.LOOPBACK] * 2),
    }  # fmt: skip


def _lose_and_begin_again(
    folder: Path,
    hosts: Sequence[Host],
    environments: dict[int, dict[str, str]],
    lost: int,
    lose: Callable[[list[subprocess.Popen]], None],
    *,
    mend: Callable[[], None] = lambda: None,
    both_leave: bool = False,
    words: Sequence[str] = (),
) -> dict[str, float]:
    other = 1 - lost
    workers = _workers.make_workers(folder, hosts, environments, **_FLAGS)
    with _workers.running(workers) as processes:
        lose(processes)
        if not both_leave:
            processes[lost].wait(240)
        began = time.monotonic()
        left = workers[other].end(processes[other], 2 * _NOTICE_SECONDS)
        notice_seconds = time.monotonic() - began
        if both_leave:
            workers[lost].end(processes[lost], 2 * _NOTICE_SECONDS)
    check(left.exit_code == PeerLost.exit_code, f"status {left.exit_code}: {left.last_line}")
    for word in (f"lost worker {lost} (", *words):
        check(word in left.stderr, f"{word!r} is not in {left.last_line!r}")
    check(notice_seconds <= _NOTICE_SECONDS, f"left after {notice_seconds:.0f} s")
    mend()
    return {
        "restarts": 1, "most_notice_seconds": notice_seconds,
        "most_resume_seconds": _begin_again(folder, hosts),
    }  # fmt: skip


def _begin_again(folder: Path, hosts: Sequence[Host]) -> float:
    """Starts all again, to the undisturbed end; returns the seconds until they went on."""
    again = _workers.make_workers(folder, hosts, **_FLAGS)
    began = time.monotonic()
    with _workers.running(again) as processes:
        again[0].wait_until(processes[0], lambda: "resumed from step" in again[0].said())
        resume_seconds = time.monotonic() - began
        for worker, process in zip(again, processes):
            ended = worker.end(process)
            check(ended.exit_code == 0, f"status {ended.exit_code}: {ended.last_line}")
    reference = _runs.reference(launcher=_LAUNCHER, **_FLAGS)
    _runs.check_same_run(folder / "run", reference)
    return resume_seconds
