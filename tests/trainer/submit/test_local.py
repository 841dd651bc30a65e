"""Jobs in the background of this machine: to the end, cancelled, swept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flowrate.records import read_json, read_json_lines
from trainer.submit import local
from trainer.submit.config import SubmitConfig
from trainer.submit.job import plan_job

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def submit(tmp_path):
    """Returns a function that runs scripts/submit with the Python of the tests."""
    folders = []

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        folders.extend(word.partition("=")[2] for word in words if word.startswith("--run_dir="))
        return subprocess.run(
            [sys.executable, "-m", "trainer.submit.main", *words], cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
            timeout=120,
        )  # fmt: skip

    yield run
    for folder in {*folders}:
        if (tmp_path / folder / "job.json").exists():
            run("cancel", folder)
            wait_for_end(run, folder)


def wait_for_end(submit, folder: str, seconds: float = 200) -> str:
    end = time.monotonic() + seconds
    while "running" in (shown := submit("status", folder).stdout.splitlines()[0]):
        assert time.monotonic() < end, shown
        time.sleep(0.5)
    return submit("status", folder).stdout


def test_a_run_in_the_background(submit, tmp_path):
    flags = ("--dataset=digits", "--model=mlp64", "--steps=40", "--run_dir=a run")
    done = submit("--cluster=local", "--", *flags)
    assert done.returncode == 0, done.stderr
    assert "scripts/submit status" in done.stdout
    again = submit("--cluster=local", "--", *flags)
    assert again.returncode == 2
    assert "is not over" in again.stderr
    assert "completed" in wait_for_end(submit, "a run")
    assert read_json(tmp_path / "a run" / "result.json")["global_step"] == 40
    assert "test accuracy" in submit("logs", "a run").stdout


@pytest.mark.slow
def test_cancelled_it_saves(submit, tmp_path):
    submit(
        "--cluster=local", "--", "--dataset=digits", "--model=mlp64", "--steps=1000000",
        "--log_every_steps=50", "--run_dir=run",
    )  # fmt: skip
    metrics = tmp_path / "run" / "metrics.jsonl"
    end = time.monotonic() + 120
    while not (metrics.exists() and read_json_lines(metrics)):
        assert time.monotonic() < end
        time.sleep(0.2)
    assert submit("cancel", "run").returncode == 0
    wait_for_end(submit, "run")
    assert read_json(tmp_path / "run" / "result.json")["status"] == "preempted"


@pytest.mark.slow
def test_workers_and_a_sweep_one_after_the_other(submit, tmp_path):
    done = submit(
        "--cluster=local", "--tasks_per_node=2", "--sweep=seed=1..2", "--",
        "--dataset=digits", "--model=mlp64", "--steps=40", "--run_dir=sweep",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = wait_for_end(submit, "sweep")
    assert shown.count("completed") == 2, shown
    results = sorted((tmp_path / "sweep").glob("*/result.json"))
    assert [path.parent.name for path in results] == ["000-seed=1", "001-seed=2"]
    assert {read_json(path)["num_workers"] for path in results} == {2}
    assert len((tmp_path / "sweep" / "sweep.csv").read_text().splitlines()) == 3


RUN = """#!/bin/bash
trap 'touch "$HOME/saved"; exit 143' TERM
touch "$HOME/ready"
while :; do sleep 0.05; done
"""


@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv of util-linux")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_where_the_shell_of_a_job_is_ended_the_run_saves(tmp_path, number):
    (tmp_path / "python").write_text(RUN)
    (tmp_path / "python").chmod(0o755)
    job = plan_job(SubmitConfig(cluster="local"), [f"--run_dir={tmp_path}/run"], tmp_path)
    text = local.render(job).replace(sys.executable, str(tmp_path / "python"))
    shell = subprocess.Popen(["bash", "-c", text], env={**os.environ, "HOME": str(tmp_path)})
    end = time.monotonic() + 60
    for name in ("ready", "saved"):
        while not (tmp_path / name).exists():
            assert time.monotonic() < end, name
            time.sleep(0.05)
        shell.send_signal(number)
    assert shell.wait() == (143 if number == signal.SIGTERM else -signal.SIGKILL)


def test_one_machine_has_one_node(submit):
    done = submit("--cluster=local", "--nodes=2", "--", "--run_dir=run")
    assert done.returncode == 2
    assert "--tasks_per_node" in done.stderr


def test_a_damaged_record_is_named(submit, tmp_path):
    (tmp_path / "run").mkdir()
    for text in ("{", "[]", '{"cluster": "local"}'):
        (tmp_path / "run" / "job.json").write_text(text)
        done = submit("status", "run")
        assert done.returncode == 5
        assert "job.json is damaged" in done.stderr
        assert "Traceback" not in done.stderr
    (tmp_path / "run" / "job.json").unlink()
