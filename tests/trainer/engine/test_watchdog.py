"""What takes long is told of, and given up where the user says so."""

from __future__ import annotations

import threading
import time
import types

import pytest

from flowrate.records import read_json
from trainer.engine import watchdog
from trainer.engine.watchdog import Doing, Watchdog


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """Returns a function: what the watchdog says of something that takes long, until it has."""
    monkeypatch.setattr(watchdog, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(watchdog, "_REPORT_SECONDS", 0.05)
    monkeypatch.setattr(watchdog, "_LEAST_STALL_SECONDS", 0.1)

    def make(doing, num_lines, stall_timeout_seconds=0.0):
        lines, are_there = [], threading.Event()

        def tell(line):
            lines.append(str(line))
            if len(lines) >= num_lines:
                are_there.set()

        engine = types.SimpleNamespace(doing=doing)
        dog = Watchdog(engine, tmp_path / "stacks.txt", tell, stall_timeout_seconds, tell)
        assert are_there.wait(30)
        engine.doing = None
        dog.close()
        return lines

    return make


def test_a_compilation_is_told_of_again_and_again(watch, tmp_path):
    lines = watch(Doing("compiling", 1, 1, began=time.monotonic() - 100), 2)
    assert all(line.startswith("still compiling, 10") for line in lines)
    assert not (tmp_path / "stacks.txt").exists()


@pytest.mark.parametrize("what", ["training", "waiting for examples"])
def test_what_takes_longer_than_usual_is_told_of_with_its_stacks(watch, tmp_path, what):
    lines = watch(Doing(what, 1_200, 1_300, began=time.monotonic() - 100), 1)
    path = tmp_path / "stacks.txt"
    assert lines[0] == (
        f"{what} steps 1,200 to 1,300 has taken 100 s so far; where each thread is: {path}"
    )
    assert "test_watchdog.py" in path.read_text()


def test_what_takes_its_usual_time_is_not():
    assert watchdog._patience_seconds(Doing("training", 1, 9, usual_seconds=40)) == 400
    assert watchdog._patience_seconds(Doing("training", 1, 9, usual_seconds=1)) == 60


@pytest.mark.slow
def test_a_step_that_stalls_ends_the_run(trainer_main, tmp_path):
    done = trainer_main(
        "--model=mlp", "--jit=off", "--steps=200", "--steps_per_call=50", "--stall_timeout=15",
        "--run_dir=run",
        FLOWRATE_FAULT="step:2:sleep=120", timeout=100,
    )  # fmt: skip
    assert done.returncode == 145, done.stderr
    stacks = tmp_path / "run" / "stacks.txt"
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: training steps ")
    assert line.endswith(
        f"more than --stall_timeout=15; where each thread is: {stacks}. Begin again with the same "
        "command."
    )
    assert "flowrate/failpoint.py" in stacks.read_text()
    result = read_json(tmp_path / "run" / "result.json")
    assert (result["status"], result["exit_code"]) == ("failed", 145)
