"""What a launcher asks before it starts workers; it may be interrupted meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from trainer.config import TrainConfig
from trainer.data_check import check_data

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_complete_run_is_told_of_without_its_data(tmp_path):
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "result.json").write_text('{"status": "completed"}')
    config = TrainConfig(dataset="image_folder", data_dir="/nowhere")
    assert check_data(config, run_dir, print) == 0
    assert check_data(config, tmp_path / "another", print) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_launcher(tmp_path, number):
    # Images that take a while to be drawn.
    launcher = subprocess.Popen(
        [sys.executable, "-m", "trainer.launch", "--", "--dataset=synthetic",
         "--image_size=1024", f"--run_dir={tmp_path / 'run'}"],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    child = wait_for_session(launcher)
    launcher.send_signal(number)
    _, said = launcher.communicate(timeout=30)
    assert launcher.returncode == 143
    assert said == f"{number.name}: stopped before any worker was started.\n"
    assert not child.is_running()
    assert not (tmp_path / "run").exists()


def wait_for_session(launcher: subprocess.Popen) -> psutil.Process:
    """Returns the process that loads the data, once it is in a session of its own."""
    while True:
        assert launcher.poll() is None, launcher.communicate()
        for child in psutil.Process(launcher.pid).children():
            if os.getsid(child.pid) == child.pid:
                return child
        time.sleep(0.01)
