"""Whether other work was seen: with made-up counters, and with a real busy process."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time

import pytest

from benchmarks.machine import health

QUIET = health.Snapshot(
    seconds=100.0, busy_seconds=50.0, stolen_seconds=1.0, own_seconds=10.0,
    by_process={(7, "chromium"): 3.0}, cpu_mhz=[3000.0, 3000.0], load_average=0.3,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _two_cpus(monkeypatch):
    monkeypatch.setattr(health, "num_cpus", lambda: 2)
    monkeypatch.setattr(health, "_gpus", list)


def after(**changes) -> health.Snapshot:
    return dataclasses.replace(QUIET, seconds=110.0, **changes)


def test_our_own_work_is_no_noise():
    found = health.describe(QUIET, after(busy_seconds=68.0, own_seconds=28.0))
    assert (found["noisy"], found["reasons"], found["busy_processes"]) == (False, [], [])
    assert found["load_average"] == 0.3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"busy_seconds": 60.0}, "other processes used 50% of the CPUs"),
        ({"stolen_seconds": 3.0}, "the hypervisor took 10% of the CPUs"),
        ({"cpu_mhz": [2000.0, 3000.0]}, "clock fell"),
    ],
)
def test_each_kind_of_noise_has_its_reason(changes, reason):
    found = health.describe(QUIET, after(**changes))
    assert found["noisy"]
    assert any(reason in each for each in found["reasons"])


def test_busy_processes_are_named_with_their_share():
    found = health.describe(QUIET, after(by_process={(7, "chromium"): 8.0, (8, "idle"): 0.1}))
    assert found["busy_processes"] == [{"name": "chromium", "cpu_percent": 50.0}]


def test_a_real_busy_process_is_seen():
    before = health.take_snapshot()
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(0.5)
            found = health.describe(before, health.take_snapshot())
            if any(each["name"].startswith("python") for each in found["busy_processes"]):
                break
    finally:
        busy.kill()
        busy.wait()
    assert found["noisy"]
    assert any(each["name"].startswith("python") for each in found["busy_processes"])
