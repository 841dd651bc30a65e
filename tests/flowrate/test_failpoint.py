"""Faults at named places, by an environment variable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flowrate import failpoint
from flowrate.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _not_counted_yet(monkeypatch):
    monkeypatch.setattr(failpoint, "_counts", {})


def test_it_reads_faults():
    found = failpoint.parse("step:3:kill, save:sleep=0.5")
    assert [(point, nth) for point, nth, _ in found] == [("step", 3), ("save", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "step",
        "step:x:kill",
        "stop:kill",
        "step:die",
        "save:sleep=x",
        "save:sleep",
        "save:kill=2",
        "a:b:c:d",
    ],
)
def test_what_it_cannot_read_is_refused(text):
    with pytest.raises(ConfigError, match="POINT:ACTION"):
        failpoint.parse(text)


def test_unset_it_does_nothing(monkeypatch):
    monkeypatch.delenv(failpoint.VARIABLE, raising=False)
    failpoint.reach("step")


def test_only_the_nth_time_counts(monkeypatch):
    monkeypatch.setenv(failpoint.VARIABLE, "step:2:error")
    failpoint.reach("step")
    failpoint.reach("save")
    with pytest.raises(RuntimeError, match="failpoint"):
        failpoint.reach("step")
    failpoint.reach("step")


def test_kill_kills():
    code = "from flowrate.failpoint import reach; reach('save'); print('still here')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {failpoint.VARIABLE: "save:kill"},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert not done.stdout
