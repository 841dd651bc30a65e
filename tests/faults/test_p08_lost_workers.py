"""P8: a worker that is killed, stopped, raises, is cut off from the network or comes back alone.

The others must leave within 30 s and name it, with what befell it; the same command, given again by
the launcher or by whoever started them, then ends with the bits of an undisturbed run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from faults.tools import runs, workers
from faults.tools.sizes import SEED, sized

from benchmarks.machine import namespaces
from flowrate.errors import PeerLost
from flowrate.failpoint import VARIABLE
from flowrate.records import read_json
from trainer.distributed.process_group import Host

pytestmark = pytest.mark.slow
_NOTICE_SECONDS = 30.0
_LAUNCHER = ("--workers=2",)
_FLAGS = {
    "dataset": "digits", "model": "mlp64", "steps": 2000, "log_every_steps": 20,
    "evaluate_every_steps": 500, "checkpoint_every_steps": 100, "steps_per_call": 10,
    "deterministic": True, "report": False,
}  # fmt: skip


_LOST = sized((1,), (1, 0))
_TIMES = range(sized(1, 3))


@pytest.mark.parametrize("number", _TIMES)
@pytest.mark.parametrize("lost", _LOST)
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP])
def test_the_launcher_restarts_all(sent, lost, number, tmp_path, record):
    training = runs.Training(tmp_path / "run", launcher=_LAUNCHER, **_FLAGS)
    step = random.Random(1000 * SEED + number).randrange(100, 1500)
    with runs.running(training) as process:
        assert training.wait_until(process, lambda: training.step() >= step), "ended too soon"
        pid = read_json(training.run_dir / "status" / f"worker-{lost}.json")["pid"]
        began = time.monotonic()
        os.kill(pid, sent)
        training.wait_until(process, lambda: f"lost worker {lost}" in training.said())
        notice_seconds = time.monotonic() - began
        training.wait_until(process, lambda: "resumed from step" in training.said())
        resume_seconds = time.monotonic() - began
        ended = training.end(process)
    assert ended.exit_code == 0, ended.last_line
    assert f"worker {lost} failed first" in ended.stderr + ended.stdout
    assert notice_seconds <= _NOTICE_SECONDS
    runs.check_same_run(training.run_dir, runs.reference(launcher=_LAUNCHER, **_FLAGS))
    record(restarts=1, most_notice_seconds=notice_seconds, most_resume_seconds=resume_seconds)


@pytest.mark.parametrize("number", _TIMES)
@pytest.mark.parametrize("lost", _LOST)
def test_an_exception_in_an_evaluation(lost, number, tmp_path, record):
    """One worker's program fails; all are then started again."""
    fault = {lost: {VARIABLE: f"evaluate:{number + 1}:error"}}
    found = _lose_and_begin_again(
        tmp_path, [workers.LOOPBACK] * 2, fault, lost, lambda processes: None,
        words=("by a failpoint",),
    )  # fmt: skip
    record(**found)


@pytest.mark.parametrize("number", _TIMES)
def test_a_network_that_is_cut(number, tmp_path, record):
    """Both sides leave, and the cable is mended before the restart."""
    if reason := namespaces.why_none():
        pytest.skip(reason)
    step = random.Random(number).randrange(100, 1500)
    with namespaces.virtual_hosts(2) as hosts:

        def cut(processes: list[subprocess.Popen]) -> None:
            probe = runs.Training(tmp_path / "run", **_FLAGS)
            assert probe.wait_until(processes[0], lambda: probe.step() >= step), "ended too soon"
            namespaces.set_cable(1, "down")

        def mend() -> None:
            namespaces.set_cable(1, "up")

        record(**_lose_and_begin_again(tmp_path, hosts, {}, 1, cut, mend=mend, both_leave=True))


@pytest.mark.parametrize("lost", _LOST)
def test_one_that_is_started_again_alone(lost, tmp_path, record):
    """Beside the other, who has not noticed yet."""
    folder = tmp_path
    old = workers.make_workers(folder, [workers.LOOPBACK] * 2, **_FLAGS)
    other = 1 - lost
    with workers.running(old) as processes:
        assert old[0].wait_until(processes[0], old[0].checkpoints), "ended too soon"
        processes[other].send_signal(signal.SIGSTOP)
        runs.kill(processes[lost])
        with runs.running(old[lost]) as alone:
            began = time.monotonic()
            path = folder / "run" / "status" / f"worker-{lost}.json"
            old[lost].wait_until(alone, lambda: read_json(path)["pid"] == alone.pid)
            processes[other].send_signal(signal.SIGCONT)
            left = old[other].end(processes[other], 2 * _NOTICE_SECONDS)
            notice_seconds = time.monotonic() - began
            ended = old[lost].end(alone, 2 * _NOTICE_SECONDS)
            alone_seconds = time.monotonic() - began
    for each in (left, ended):
        assert each.exit_code == PeerLost.exit_code, f"status {each.exit_code}: {each.last_line}"
    assert f"lost worker {lost} (" in left.stderr, left.last_line
    for word in (f"worker {other} (", "is of another start of this run", "restart all"):
        assert word in ended.stderr, f"{word!r} is not in {ended.last_line!r}"
    assert notice_seconds <= _NOTICE_SECONDS, f"left after {notice_seconds:.0f} s"
    assert alone_seconds <= _NOTICE_SECONDS, f"waited {alone_seconds:.0f} s, alone"
    resume_seconds = _begin_again(folder, [workers.LOOPBACK] * 2)
    record(restarts=1, most_notice_seconds=notice_seconds, most_alone_seconds=alone_seconds,
           most_resume_seconds=resume_seconds)  # fmt: skip


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
    all_of_them = workers.make_workers(folder, hosts, environments, **_FLAGS)
    with workers.running(all_of_them) as processes:
        lose(processes)
        if not both_leave:
            processes[lost].wait(240)
        began = time.monotonic()
        left = all_of_them[other].end(processes[other], 2 * _NOTICE_SECONDS)
        notice_seconds = time.monotonic() - began
        if both_leave:
            all_of_them[lost].end(processes[lost], 2 * _NOTICE_SECONDS)
    assert left.exit_code == PeerLost.exit_code, f"status {left.exit_code}: {left.last_line}"
    for word in (f"lost worker {lost} (", *words):
        assert word in left.stderr, f"{word!r} is not in {left.last_line!r}"
    assert notice_seconds <= _NOTICE_SECONDS, f"left after {notice_seconds:.0f} s"
    mend()
    return {
        "restarts": 1, "most_notice_seconds": notice_seconds,
        "most_resume_seconds": _begin_again(folder, hosts),
    }  # fmt: skip


def _begin_again(folder: Path, hosts: Sequence[Host]) -> float:
    """Starts all again, to the undisturbed end; returns the seconds until they went on."""
    again = workers.make_workers(folder, hosts, **_FLAGS)
    began = time.monotonic()
    with workers.running(again) as processes:
        again[0].wait_until(processes[0], lambda: "resumed from step" in again[0].said())
        resume_seconds = time.monotonic() - began
        for worker, process in zip(again, processes):
            ended = worker.end(process)
            assert ended.exit_code == 0, f"status {ended.exit_code}: {ended.last_line}"
    reference = runs.reference(launcher=_LAUNCHER, **_FLAGS)
    runs.check_same_run(folder / "run", reference)
    return resume_seconds
