"""Asynchronous training by real processes: chief, workers and parameter servers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from flowrate.records import read_json, read_json_lines

ROOT = Path(__file__).resolve().parents[2]
FLAGS = (
    "--strategy=parameter_server", "--dataset=digits", "--model=mlp64", "--global_batch_size=32",
    "--seed=3", "--log_every_steps=50", "--bringup_timeout=120",
)  # fmt: skip
# Of 1,437 examples: 4 epochs of 44.9 steps.
EPOCHS, NUM_STEPS, NUM_TEST_EXAMPLES = 4, 180, 360
# Long enough to be disturbed.
LONG = (*FLAGS, "--steps=1500", "--evaluate_every_steps=500", "--checkpoint_every_steps=100")
TIMEOUT_SECONDS = 300
TASKS = [("chief", 0), ("worker", 0), ("worker", 1), ("ps", 0)]


class Cluster:
    """A chief, two workers and a parameter server; leaves none of them behind."""

    def __init__(self, run_dir: Path, *flags: str):
        self.run_dir = run_dir
        self._flags = flags
        sockets = [socket.socket() for _ in TASKS]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        self.addresses = {t: f"127.0.0.1:{s.getsockname()[1]}" for t, s in zip(TASKS, sockets)}
        for each in sockets:
            each.close()
        self.processes: dict[tuple[str, int], subprocess.Popen] = {}

    def __enter__(self) -> Cluster:
        for job, index in TASKS:
            self.start(job, index)
        return self

    def __exit__(self, *_) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
            process.stdout.close()

    def start(self, job: str, index: int) -> None:
        jobs: dict[str, list[str]] = {}
        for (name, _), address in self.addresses.items():
            jobs.setdefault(name, []).append(address)
        config = {"cluster": jobs, "task": {"type": job, "index": index}}
        self.processes[job, index] = subprocess.Popen(
            [sys.executable, "-m", "trainer.main", f"--run_dir={self.run_dir}", *self._flags],
            cwd=ROOT, env={**os.environ, "TF_CONFIG": json.dumps(config)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def kill(self, job: str, index: int) -> None:
        process = self.processes[job, index]
        process.kill()
        process.communicate()

    def wait_for_step(self, step: int) -> None:
        end = time.monotonic() + TIMEOUT_SECONDS
        while not any(row["step"] >= step for row in rows(self.run_dir, "train")):
            assert time.monotonic() < end
            assert self.processes["chief", 0].poll() is None, self.finish()
            time.sleep(0.05)

    def finish(self) -> dict[tuple[str, int], tuple[int, str]]:
        """Returns (exit status, output) of each task, once all have ended."""
        found = {}
        for task, process in self.processes.items():
            output = process.communicate(timeout=TIMEOUT_SECONDS)[0]
            found[task] = (process.returncode, output)
        return found


def rows(run_dir: Path, kind: str) -> list[dict]:
    path = run_dir / "metrics.jsonl"
    found = read_json_lines(path) if path.exists() else []
    return [row for row in found if row["kind"] == kind]


def statuses(ends: dict) -> list[int]:
    return [ends[task][0] for task in TASKS]


def last_arrays(run_dir: Path) -> dict[str, np.ndarray]:
    newest = sorted((run_dir / "checkpoints").glob("ckpt-????????"))[-1]
    with np.load(newest / "arrays.npz", allow_pickle=False) as archive:
        return dict(archive)


def test_it_learns_and_counts_every_step_and_example(tmp_path):
    with Cluster(tmp_path / "run", *FLAGS, f"--epochs={EPOCHS}") as cluster:
        ends = cluster.finish()
    assert statuses(ends) == [0, 0, 0, 0], ends
    result = read_json(tmp_path / "run" / "result.json")
    assert result["status"] == "completed"
    assert result["global_step"] == NUM_STEPS
    assert result["test_examples"] == NUM_TEST_EXAMPLES
    assert result["test_accuracy"] > 0.8
    trained = rows(tmp_path / "run", "train")
    assert [row["step"] for row in trained] == [50, 100, 150, 180]
    assert last_arrays(tmp_path / "run")["optimizer/0000/iteration"] == NUM_STEPS
    assert (tmp_path / "run" / "model.keras").exists()
